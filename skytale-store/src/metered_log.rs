//! Counts usage for a log that does not count it itself.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, SequenceNumber};

use crate::contract::precondition::Precondition;
use crate::contract::record::{Appended, MessageId, NewRecord, Record};
use crate::contract::store::{Durability, Head, Store};
use crate::contract::usage::{Day, DayUsage, Usage, Used};
use crate::error::Result;
use crate::usage_counts::{Countable, Meters};

/// A [`Store`] that keeps no usage, such as [`NatsStore`](crate::nats::NatsStore), with a [`Usage`] beside it.
///
/// Counts are handed over every second, and by [`flush`](Self::flush): a process that is killed loses the last second's.
/// Clones count together.
#[derive(Clone, Debug)]
pub struct MeteredLog {
    log: Arc<dyn Store>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    usage: Arc<dyn Usage>,
    pending: Meters,
    /// Held while counts are between memory and the usage.
    handing_over: tokio::sync::Mutex<()>,
}

/// How often counts are handed over.
const INTERVAL: Duration = Duration::from_secs(1);

impl MeteredLog {
    /// Counts what is appended to a log.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(log: Arc<dyn Store>, usage: Arc<dyn Usage>) -> Self {
        let (pending, handing_over) = Default::default();
        let counts = Arc::new(Counts { usage, pending, handing_over });
        tokio::spawn(hand_over(Arc::downgrade(&counts)));
        Self { log, counts }
    }

    /// Hands over what was counted; a host does so before it ends.
    ///
    /// # Errors
    ///
    /// Those of [`Usage::count`]; nothing is lost, and it is tried again.
    pub async fn flush(&self) -> Result<()> {
        self.counts.flush().await
    }
}

impl Counts {
    async fn flush(&self) -> Result<()> {
        let _alone = self.handing_over.lock().await;
        let mut failed = Ok(());
        for ((account, day), used) in self.pending.take() {
            if failed.is_ok() {
                failed = self.usage.count(&account, day, used).await;
            }
            if failed.is_err() {
                self.pending.add(account, day, used);
            }
        }
        failed
    }
}

async fn hand_over(counts: Weak<Counts>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(counts) = counts.upgrade() else { return };
        if let Err(error) = counts.flush().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "usage waits to be counted");
        }
    }
}

#[async_trait]
impl Usage for MeteredLog {
    async fn count(&self, account: &str, day: Day, used: Used) -> Result<()> {
        self.counts.usage.count(account, day, used).await
    }

    async fn usage(&self, account: &str, first: Day, last: Day) -> Result<Vec<DayUsage>> {
        self.flush().await?;
        self.counts.usage.usage(account, first, last).await
    }
}

#[async_trait]
impl Store for MeteredLog {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        let countable = Countable::of(&records);
        let appended = self.log.append(channel, records, precondition).await?;
        self.counts.pending.count(countable, &appended);
        Ok(appended)
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.log.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        self.log.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.log.read(channel, after)
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.log.follow(channel, after)
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.log.trim(channel, through).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        self.log.expire(before).await
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.log.channels()
    }

    fn durability(&self) -> Durability {
        self.log.durability()
    }

    fn preserves_append_order(&self) -> bool {
        self.log.preserves_append_order()
    }
}
