//! A store in NATS JetStream, and a backplane on core NATS.
//!
//! One stream holds all channels, each under a subject of its own; one message is one [`Block`](crate::nats::stream::block::Block): the records of one
//! append, or of several that came at the same time, and where the channel stands after them. A server keeps a block only
//! right after the one that it names, so there is one order whoever appends.

mod append;
pub(crate) mod backplane;
mod cache;
mod connect;
mod endpoints;
pub(crate) mod options;
mod read;
mod stream;
mod trim;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, SequenceNumber};

use crate::contract::precondition::Precondition;
use crate::contract::record::{Appended, MessageId, NewRecord, Record};
use crate::contract::store::{Durability, Head, Store};
use crate::error::{Result, StoreError};
use crate::nats::append::batch::AppendRequest;
use crate::nats::append::writer::Writer;
use crate::nats::cache::channels::{Channel, ChannelCache};
use crate::nats::read::reader::Reader;
use crate::nats::read::tail::Feeds;
pub use backplane::NatsBackplane;
use connect::Connected;
pub use options::NatsOptions;
use stream::Log;

/// A [`Store`] in NATS JetStream, for several relays in one or more places.
///
/// **What a returned append survives.** The stream keeps it on as many servers as it has replicas: with three, the end of any one of
/// them. Servers write to their disks when they acknowledge, but unless `sync_interval: always` is set they leave it to the
/// operating system for up to two minutes, so that a power failure of a whole cluster, or of the only server, could undo
/// what was acknowledged. [`durability`](Store::durability) is [`Durability::Disk`] where the servers say that they always sync,
/// which only an account that may ask `$SYS.REQ.SERVER.PING.JSZ` learns, and [`Durability::Process`] otherwise.
///
/// Servers are 2.9 or later, with more than one replica all 2.11 or later. They need a `max_payload` larger than the largest
/// record, and no other limits than those of size: a full stream refuses appends with [`StoreError::Full`], and loses nothing.
/// An append has at most 2,048 message ids.
///
/// The store keeps no [`Usage`](crate::contract::usage::Usage): where that is wanted, a [`MeteredLog`](crate::metered_log::MeteredLog) wraps it.
#[derive(Debug)]
pub struct NatsStore {
    log: Log,
    writer: Writer,
    channels: ChannelCache,
    feeds: Feeds,
    durability: Durability,
}

impl NatsStore {
    /// Connects to servers, and makes the stream where there is none.
    ///
    /// `servers` is one or more URLs, separated by commas: `nats://[user:password@]host[:4222]`, or `tls://`; a user
    /// without a password is a token.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] where the servers cannot do what the options ask for, or have a stream that the store cannot
    /// rely on; [`StoreError::Unavailable`] where they cannot be reached, or have no JetStream.
    pub async fn connect(servers: &str, options: NatsOptions) -> Result<Self> {
        let Connected { log, durability, reconnected } = Connected::to(servers, &options).await?;
        let block_bytes = options.block_bytes.min(log.client.max_payload() / 2);
        let feeds = Feeds::new(reconnected);
        let writer = Writer::new(log.clone(), feeds.clone(), block_bytes);
        let channels = ChannelCache::new(options.channels, options.message_ids);
        Ok(Self { log, writer, channels, feeds, durability })
    }

    /// Makes the relay's end of the backplane, on the connection of the store. A store has one end: two would not hear each
    /// other.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] where the servers cannot be reached.
    pub async fn backplane(&self) -> Result<NatsBackplane> {
        NatsBackplane::join(&self.log).await
    }

    fn channel(&self, components: [u64; 3]) -> Arc<Channel> {
        self.channels.get(components, || self.log.subjects.log(components))
    }

    fn reader(&self, channel: &ChannelName, after: SequenceNumber) -> Reader {
        Reader::new(self.log.clone(), self.log.subjects.log(channel.components()), after)
    }
}

#[async_trait]
impl Store for NatsStore {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        let ids = records.iter().filter(|record| record.message_id.is_some()).count();
        if ids > crate::nats::stream::block::MOST_IDS {
            return Err(StoreError::Invalid { what: "an append has at most 2,048 message ids" });
        }
        let text = channel.text().map(Into::into);
        let request = AppendRequest { records, precondition, text, trim: None };
        self.writer.append(&self.channel(channel.components()), request).await
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        let channel = self.channel(channel.components());
        let mut memory = channel.memory.lock().await;
        if let Some(number) = memory.index.find(id) {
            return Ok(Some(number));
        }
        let Some(tail) = self.log.tail(&channel.subject).await? else { return Ok(None) };
        memory.index.apply(&tail);
        let floor = tail.block.state.floor;
        memory.index.catch_up(&self.log, &channel.subject, tail.at, floor).await?;
        channel.ids.store(memory.index.len(), Ordering::Relaxed);
        Ok(memory.index.find(id))
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        let tail = self.log.head(&self.log.subjects.log(channel.components())).await?;
        Ok(tail.map(|tail| tail.head()).unwrap_or_default())
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.reader(channel, after).read()
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        self.reader(channel, after).follow(self.feeds.clone())
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        self.trim_channel(&self.channel(channel.components()), through).await
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        let mut components = self.log.all_components();
        let mut expired = 0;
        while let Some(components) = components.try_next().await? {
            expired += self.expire_channel(components, before).await?;
        }
        Ok(expired)
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        self.log.all_heads()
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn preserves_append_order(&self) -> bool {
        true
    }
}
