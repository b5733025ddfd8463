//! The stream that holds every channel's blocks.

pub(crate) mod block;
mod codec;
mod group_epochs;
pub(crate) mod retry;
pub(crate) mod subjects;
pub(crate) mod sync_policy;

use std::future::Future;
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{DirectGetErrorKind, LastRawMessageErrorKind, Stream};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;

use crate::error::{BoxError, Result};
use block::Block;
use retry::persist;
use subjects::Subjects;

/// A way to the stream.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub client: Client,
    pub stream: Stream<()>,
    pub subjects: Subjects,
    /// How long a call may take.
    pub timeout: Duration,
}

/// A block, and its sequence in the stream.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub at: u64,
    pub block: Block,
}

impl Log {
    /// Returns a channel's last block, from the stream's leader: what was appended before is in it.
    pub async fn tail(&self, subject: &str) -> Result<Option<Placed>> {
        let ask = || self.stream.raw_message_builder().last_by_subject(subject).send();
        self.ask_leader(ask).await
    }

    /// Returns a channel's first block from a place in the stream on, from the stream's leader.
    pub async fn next_at_leader(&self, subject: &str, from: u64) -> Result<Option<Placed>> {
        let ask = || self.stream.raw_message_builder().sequence(from.max(1)).next_by_subject(subject).send();
        self.ask_leader(ask).await
    }

    /// Returns a channel's first block from a place in the stream on, from any server; one that lags may not have it yet.
    pub async fn next(&self, subject: &str, from: u64) -> Result<Option<Placed>> {
        let ask = || async {
            let get = self.stream.direct_get_builder().sequence(from.max(1)).next_by_subject(subject);
            match get.send().await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        self.persist(ask).await?.map(place).transpose()
    }

    async fn ask_leader<F>(&self, ask: impl Fn() -> F) -> Result<Option<Placed>>
    where
        F: Future<Output = Result<StreamMessage, async_nats::jetstream::stream::RawMessageError>>,
    {
        let ask = || async {
            match ask().await {
                Ok(message) => Ok(Some(message)),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        self.persist(ask).await?.map(place).transpose()
    }

    /// Asks until there is an answer, for as long as a call may take.
    pub async fn persist<T, F>(&self, ask: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, BoxError>>,
    {
        persist(self.timeout, ask).await
    }
}

impl Placed {
    pub fn decode(at: u64, headers: Option<&HeaderMap>, payload: Bytes) -> Result<Self> {
        Ok(Self { at, block: Block::decode(headers, payload)? })
    }
}

fn place(message: StreamMessage) -> Result<Placed> {
    Placed::decode(message.sequence, Some(&message.headers), message.payload)
}
