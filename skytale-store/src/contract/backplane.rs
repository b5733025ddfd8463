//! Messages between relays over one store, beside the log.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use skytale_core::Dialect;

use crate::error::Result;

/// One relay's line to the others over the same store: for frames that are not archived.
///
/// Archived records need no backplane: relays follow the log. The contract, which `conformance::backplane` (behind the
/// feature `conformance`) runs against an implementation:
///
/// - **Interest.** A message reaches those that listened to its topic when it was sent, and nobody else; nothing is kept.
/// - **Delivery.** [`Delivery::All`] reaches every other relay that listens, [`Delivery::AnyOne`] exactly one of them.
/// - **No echo.** A relay never receives what it sent itself.
/// - **Order.** What one relay sends to one topic with one delivery arrives in that order, each message at most once.
/// - **No waiting.** A receiver that does not read loses messages, and keeps neither senders nor other receivers waiting.
#[async_trait]
pub trait Backplane: fmt::Debug + Send + Sync + 'static {
    /// Listens to a topic: what others send to it once this has returned is received.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`](crate::error::StoreError::Unavailable) where the engine cannot be reached.
    async fn listen(&self, topic: Topic) -> Result<()>;

    /// Listens to a topic no more; nothing happens if it did not.
    async fn leave(&self, topic: Topic) -> Result<()>;

    /// Sends a message of any size to those that listen to a topic. It may leave this process later; [`flush`](Self::flush)
    /// waits for that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`](crate::error::StoreError::Unavailable) where the engine cannot be reached, in which case the
    /// message, or one that was sent before and waited, may or may not arrive.
    async fn send(&self, topic: Topic, delivery: Delivery, body: Bytes) -> Result<()>;

    /// Waits until what was sent before has left this process: what it sends last needs it. Default: it has, once
    /// [`send`](Self::send) returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`](crate::error::StoreError::Unavailable) where the engine cannot be reached, or could not be when
    /// something was to leave since this or [`send`](Self::send) returned last.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Streams what others send to the topics that are listened to, until the backplane is closed. Of several streams of
    /// one backplane each receives every message.
    fn received(&self) -> BoxStream<'static, BackplaneMessage>;
}

/// The subscribers of a message: those of a channel in one dialect, or those of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// The channel's components.
    pub channel: [u64; 3],
    /// The dialect of the subscribers.
    pub dialect: Dialect,
    /// The instance; `None` for all subscribers of the name.
    pub instance: Option<u128>,
}

/// The relays that a message reaches, of those that listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Every one.
    All,
    /// One of them.
    AnyOne,
}

/// A message from another relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackplaneMessage {
    /// What it was sent to.
    pub topic: Topic,
    /// The bytes, as they were sent.
    pub body: Bytes,
}

/// Writes the topic as lower-case hexadecimal numbers and points, at most 83 characters.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.channel;
        write!(f, "{first:016x}{second:016x}{third:016x}.{}", self.dialect.number())?;
        self.instance.map_or(Ok(()), |instance| write!(f, ".{instance:032x}"))
    }
}
