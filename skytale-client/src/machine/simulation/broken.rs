//! A log whose gate is broken: it takes every commit.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, SequenceNumber};
use skytale_store::{
    Appended, Durability, Head, MemoryStore, MessageId, NewRecord, Precondition, Record, Result, Store,
};

#[derive(Debug)]
pub(super) struct BrokenGate(pub Arc<MemoryStore>);

#[async_trait]
impl Store for BrokenGate {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        _: Precondition,
    ) -> Result<Appended> {
        self.0.append(channel, records, Precondition::Any).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        self.0.find(channel, id).await
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        self.0.head(channel).await
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.0.read(channel, after)
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.0.follow(channel, after)
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.0.trim(channel, through).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        self.0.expire(before).await
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.0.channels()
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }
}
