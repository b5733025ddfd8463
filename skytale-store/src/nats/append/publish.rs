//! Putting one block into the stream, once.

use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;

use crate::error::{Result, StoreError};
use crate::nats::stream::block::Block;
use crate::nats::stream::retry::{PAUSE, TRY};
use crate::nats::stream::{Log, Placed};

/// The outcome of publishing a block.
pub(crate) enum Published {
    /// It is the channel's next block, at this place in the stream.
    Kept(u64),
    /// This block of another writer is.
    Lost(Placed),
}

/// The outcome of one attempt.
enum Tried {
    Kept(u64),
    /// The channel has gone on since, perhaps by this very block.
    Overtaken,
    /// The servers did not answer, or not to the point: it may have been kept.
    Unknown,
    Full(String),
}

impl Log {
    /// Publishes a block as the one after its `previous`, again until its fate is known.
    ///
    /// The servers keep a block only right after the one that it names, so however often it is sent, and whenever a copy
    /// arrives, it is kept once at most.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`], [`StoreError::Invalid`] for a block too large for the servers: not kept. Any other: it may be.
    pub async fn publish(&self, subject: &str, block: &Block) -> Result<Published> {
        let (mut headers, bytes) = block.encode();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(block.previous));
        loop {
            let fate = match self.try_publish(subject, headers.clone(), bytes.clone()).await? {
                Tried::Kept(at) => return Ok(Published::Kept(at)),
                Tried::Full(what) => {
                    return self.fate(subject, block).await?.ok_or(StoreError::Full { what });
                }
                Tried::Overtaken | Tried::Unknown => self.fate(subject, block).await?,
            };
            if let Some(fate) = fate {
                return Ok(fate);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_publish(&self, subject: &str, headers: HeaderMap, bytes: Bytes) -> Result<Tried> {
        let request = Request::new().headers(headers).payload(bytes).timeout(Some(TRY));
        let answer = match self.client.send_request(subject.to_owned(), request).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == RequestErrorKind::MaxPayloadExceeded => return Err(TOO_LARGE),
            Err(_) => return Ok(Tried::Unknown),
        };
        match serde_json::from_slice(&answer.payload) {
            Ok(Response::Ok(PublishAck { sequence, .. })) => Ok(Tried::Kept(sequence)),
            Ok(Response::Err { error }) => refusal(&error),
            Err(_) => Ok(Tried::Unknown),
        }
    }

    /// Finds out which block is the one after `block.previous`; `None` while there is none.
    async fn fate(&self, subject: &str, block: &Block) -> Result<Option<Published>> {
        let Some(next) = self.next_at_leader(subject, block.previous + 1).await? else { return Ok(None) };
        if next.block.id == block.id {
            return Ok(Some(Published::Kept(next.at)));
        }
        if next.block.previous == block.previous {
            return Ok(Some(Published::Lost(next)));
        }
        Err(StoreError::unavailable("whether the records were kept is not known: what followed was trimmed"))
    }
}

const TOO_LARGE: StoreError =
    StoreError::Invalid { what: "the records of one append are larger than the NATS servers' max_payload" };

fn refusal(error: &async_nats::jetstream::Error) -> Result<Tried> {
    match error.error_code() {
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
            Ok(Tried::Overtaken)
        }
        ErrorCode::STREAM_STORE_FAILED if error.to_string().contains("maximum") => {
            Ok(Tried::Full(error.to_string()))
        }
        ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => {
            Ok(Tried::Full(error.to_string()))
        }
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            Err(TOO_LARGE)
        }
        _ => Ok(Tried::Unknown),
    }
}
