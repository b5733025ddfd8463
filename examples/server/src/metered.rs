//! Measuring what the engine is asked.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use metrics::{counter, histogram};
use skytale_core::{ChannelName, SequenceNumber};
use skytale_store::{
    Appended, Durability, Head, MessageId, NewRecord, Precondition, Record, Result, Store, StoreError,
};

/// A store whose calls are timed (`skytale_store_seconds`), and whose failures are counted (`skytale_store_failures_total`).
#[derive(Debug)]
pub struct Metered(Arc<dyn Store>);

impl Metered {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

async fn timed<T>(call: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let since = Instant::now();
    let outcome = work.await;
    histogram!("skytale_store_seconds", "call" => call).record(since.elapsed());
    if let Err(error) = &outcome {
        count(call, error);
    }
    outcome
}

/// Counts a failure of the engine; a conflict is an answer.
fn count(call: &'static str, error: &StoreError) {
    if error.is_retryable() {
        counter!("skytale_store_failures_total", "call" => call).increment(1);
    }
}

#[async_trait]
impl Store for Metered {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        timed("append", self.0.append(channel, records, precondition)).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        timed("find", self.0.find(channel, id)).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        timed("head", self.0.head(channel)).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        watched("read", self.0.read(channel, after))
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        watched("follow", self.0.follow(channel, after))
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        timed("trim", self.0.trim(channel, through)).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        timed("expire", self.0.expire(before)).await
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.0.channels()
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn preserves_append_order(&self) -> bool {
        self.0.preserves_append_order()
    }
}

/// Counts the failures of a stream.
fn watched(
    call: &'static str,
    records: BoxStream<'static, Result<Record>>,
) -> BoxStream<'static, Result<Record>> {
    let watch = move |record: &Result<Record>| {
        if let Err(error) = record {
            count(call, error);
        }
    };
    records.inspect(watch).boxed()
}
