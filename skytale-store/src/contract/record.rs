//! Records of the channel log, and the outcome of their append.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use skytale_core::{Dialect, SequenceNumber};

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The dialect of the body.
    pub dialect: Dialect,
    /// The id by which a repetition is recognised.
    pub message_id: Option<MessageId>,
    /// The frame. Its bytes are kept as they are.
    pub body: Bytes,
    /// The account whose [`Usage`](super::usage::Usage) it counts in.
    pub account: Option<Arc<str>>,
}

impl NewRecord {
    /// Makes a record without a message id.
    pub fn new(dialect: Dialect, body: Bytes) -> Self {
        Self { dialect, message_id: None, body, account: None }
    }

    /// Sets the id by which a repetition is recognised.
    pub fn with_message_id(mut self, id: MessageId) -> Self {
        self.message_id = Some(id);
        self
    }

    /// Sets the account whose [`Usage`](super::usage::Usage) it counts in. Default: nobody's.
    pub fn with_account(mut self, account: impl Into<Arc<str>>) -> Self {
        self.account = Some(account.into());
        self
    }
}

/// A record as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position in the channel.
    pub sequence: SequenceNumber,
    /// When it was appended, to the millisecond; never decreases within a channel.
    pub appended_at: SystemTime,
    /// The dialect of the body.
    pub dialect: Dialect,
    /// The id by which a repetition is recognised.
    pub message_id: Option<MessageId>,
    /// The frame.
    pub body: Bytes,
}

/// Sixteen bytes that a sender chose for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 16]);

/// The outcome for one record of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It was appended under this number.
    Appended(SequenceNumber),
    /// The channel held it already, under this number.
    Duplicate(SequenceNumber),
}

impl AppendOutcome {
    /// Returns the record's number.
    pub const fn sequence(self) -> SequenceNumber {
        match self {
            Self::Appended(number) | Self::Duplicate(number) => number,
        }
    }
}

/// The outcomes for the records of an append, in their order.
pub type Appended = Vec<AppendOutcome>;
