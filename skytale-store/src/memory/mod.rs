//! A store in memory, for as long as the process runs.

mod accounts;
mod agents;
pub(crate) mod backplane;
mod capacity;
mod channels;
mod directory;
mod log;
mod usage;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use skytale_core::{ChannelName, SequenceNumber};
use tokio::sync::watch;

use crate::contract::precondition::Precondition;
use crate::contract::record::{Appended, MessageId, NewRecord, Record};
use crate::contract::store::{Durability, Head, Store};
use crate::error::Result;
use crate::usage_counts::{Countable, Meters};
pub use backplane::MemoryBackplane;
pub use capacity::MemoryCapacity;
use log::Log;

/// A [`Store`] in memory, bounded per channel.
///
/// Its appends never wait: their future is ready when first polled.
#[derive(Debug)]
pub struct MemoryStore {
    shards: [RwLock<HashMap<ChannelName, Arc<Channel>>>; SHARDS],
    hasher: std::hash::RandomState,
    capacity: MemoryCapacity,
    directory: directory::DirectoryTable,
    accounts: accounts::AccountTable,
    agents: agents::AgentTable,
    channels: channels::ChannelTable,
    meters: Meters,
}

const SHARDS: usize = 16;

/// How many records a reader takes while it holds the channel's lock.
const PAGE: usize = 256;

#[derive(Debug)]
struct Channel {
    log: Mutex<Log>,
    appends: watch::Sender<()>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// Makes an empty store with the default capacity.
    pub fn new() -> Self {
        Self {
            shards: Default::default(),
            hasher: std::hash::RandomState::new(),
            capacity: MemoryCapacity::default(),
            directory: Default::default(),
            accounts: Default::default(),
            agents: Default::default(),
            channels: Default::default(),
            meters: Default::default(),
        }
    }

    /// Sets how much each channel keeps.
    pub fn with_capacity(mut self, capacity: MemoryCapacity) -> Self {
        self.capacity = capacity;
        self
    }

    fn channel(&self, name: &ChannelName) -> Arc<Channel> {
        let shard = self.shard(name);
        if let Some(channel) = shard.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return channel.clone();
        }
        let mut channels = shard.write().unwrap_or_else(PoisonError::into_inner);
        channels.entry(name.clone()).or_insert_with(Channel::new).clone()
    }

    fn shard(&self, name: &ChannelName) -> &RwLock<HashMap<ChannelName, Arc<Channel>>> {
        &self.shards[self.hasher.hash_one(name) as usize % SHARDS]
    }

    fn all(&self) -> Vec<(ChannelName, Arc<Channel>)> {
        let read = |shard: &RwLock<HashMap<_, _>>| {
            let channels = shard.read().unwrap_or_else(PoisonError::into_inner);
            channels
                .iter()
                .map(|(name, channel): (&ChannelName, &Arc<Channel>)| (name.clone(), channel.clone()))
                .collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(read).collect()
    }
}

impl Channel {
    fn new() -> Arc<Self> {
        Arc::new(Self { log: Mutex::default(), appends: watch::Sender::new(()) })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(&self, after: SequenceNumber) -> Result<Vec<Record>> {
        self.log().page(after, PAGE)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        let channel = self.channel(channel);
        let countable = Countable::of(&records);
        let appended = channel.log().append(records, &precondition, self.capacity)?;
        self.meters.count(countable, &appended);
        if channel.appends.receiver_count() > 0 {
            channel.appends.send_replace(());
        }
        Ok(appended)
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        Ok(self.channel(channel).log().find(id))
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        Ok(self.channel(channel).log().head())
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        let channel = self.channel(channel);
        let pages = stream::unfold(Some(after), move |after| {
            let page = after.map(|after| channel.page(after));
            async move { next_page(page?, after?) }
        });
        pages.flat_map(stream::iter).boxed()
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        let channel = self.channel(channel);
        let appends = channel.appends.subscribe();
        let pages =
            stream::unfold((Some(after), appends, channel), |(after, mut appends, channel)| async move {
                let after = after?;
                loop {
                    appends.borrow_and_update();
                    if let Some((items, next)) = next_page(channel.page(after), after) {
                        return Some((items, (next, appends, channel)));
                    }
                    appends.changed().await.ok()?;
                }
            });
        pages.flat_map(stream::iter).boxed()
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.channel(channel).log().trim(through);
        Ok(())
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        Ok(self.all().iter().map(|(_, channel)| channel.log().expire(before)).sum())
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        let heads = self.all().into_iter().map(|(name, channel)| (name, channel.log().head()));
        stream::iter(heads.filter(|(_, head)| head.last.0 > 0).map(Ok).collect::<Vec<_>>()).boxed()
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

/// Turns a page into stream items and the position after it; `None` at the head, and nothing follows an error.
fn next_page(
    page: Result<Vec<Record>>,
    after: SequenceNumber,
) -> Option<(Vec<Result<Record>>, Option<SequenceNumber>)> {
    match page {
        Ok(records) if records.is_empty() => None,
        Ok(records) => {
            let last = records.last().map_or(after, |record| record.sequence);
            Some((records.into_iter().map(Ok).collect(), Some(last)))
        }
        Err(error) => Some((vec![Err(error)], None)),
    }
}
