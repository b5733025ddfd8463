//! The channel log: its contract and its words.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, Dialect, Epoch, SequenceNumber};

use crate::error::{Result, StoreError};

/// An append-only log per channel.
///
/// The contract, which `conformance` (behind the feature of that name) runs against an implementation:
///
/// - **Numbers.** A channel's records are numbered from 1 without gaps, in the order in which they were appended. A
///   number is never given twice, even after [`trim`](Store::trim). Channels are independent; two [`ChannelName`]s
///   that are equal name the same channel whether or not they carry text.
/// - **All or nothing.** The records of one [`append`](Store::append) get consecutive numbers, or none is kept.
/// - **Durability.** What `append` returned is as durable as [`durability`](Store::durability) says.
/// - **Idempotency.** A record whose message id the channel holds already is not appended again; its outcome is
///   [`AppendOutcome::Duplicate`] with the first number. This holds inside one call, too, and before any precondition.
/// - **Preconditions.** See [`Precondition`]. A conflict changes nothing and reports where the group stands.
/// - **Usage.** A record that names an account counts in its [`Usage`](super::usage::Usage) in the same step that appends it; a
///   repetition does not count, and a store that keeps no usage ignores it.
/// - **Reading.** `read` yields the records after a number in order and ends at the head; `follow` goes on with what
///   is appended later, by this or any other process over the same storage.
/// - **Trimming.** A reader that asks for records at or below the floor gets one [`StoreError::Gone`] and nothing else.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Appends records to a channel and returns their numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] where the precondition does not hold; [`StoreError::Unavailable`] where the storage
    /// failed, in which case the records may or may not have been kept.
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended>;

    /// Returns the number of the record that has a message id.
    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>>;

    /// Returns the last number and the floor of a channel; both 0 for a channel that has no records.
    async fn head(&self, channel: &ChannelName) -> Result<Head>;

    /// Streams the records after `after`, and ends at the head.
    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>>;

    /// Streams the records after `after`, and never ends.
    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>>;

    /// Drops a channel's records up to and including `through`. Numbers go on as if they were still there.
    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()>;

    /// Trims every channel's records that were appended before a time, and returns how many.
    async fn expire(&self, before: SystemTime) -> Result<u64>;

    /// Lists the channels that have ever had a record.
    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>>;

    /// Returns what a returned append survives.
    fn durability(&self) -> Durability;

    /// Tells whether appends to one channel are numbered in the order in which they are first polled, however many of them
    /// this process has on their way at once. Default: `false`; the relay then has one at a time.
    fn preserves_append_order(&self) -> bool {
        false
    }
}

/// What a returned append survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: it lives as long as the process.
    Memory,
    /// The end of the process, but not of the machine.
    Process,
    /// The end of the machine: it is on stable storage.
    Disk,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory (lost when the process ends)",
            Self::Process => "process (survives a crash of the process)",
            Self::Disk => "disk (survives a power failure)",
        })
    }
}

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

/// The id of an MLS group, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(Bytes);

impl GroupId {
    /// The longest id, in bytes.
    pub const MAX: usize = 255;

    /// Makes a group id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for an id of more than [`GroupId::MAX`] bytes.
    pub fn new(id: impl Into<Bytes>) -> Result<Self> {
        let id = id.into();
        if id.len() > Self::MAX {
            return Err(StoreError::Invalid { what: "a group id has at most 255 bytes" });
        }
        Ok(Self(id))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A group at an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The group.
    pub group: GroupId,
    /// The epoch that a message was made in.
    pub epoch: Epoch,
}

/// What must hold for an append. Each channel keeps one current epoch per group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    Any,
    /// The group, if the channel knows it, is at this epoch.
    At(GroupEpoch),
    /// The group, if the channel knows it, is at this epoch; it advances to the next. The first commit of an epoch
    /// wins: this is the one compare-and-append that decides it.
    Advance(GroupEpoch),
    /// The group, if the channel knows it, is at this epoch or an earlier one; it advances to the one after this. For
    /// groups whose relay does not see every commit.
    AdvanceFrom(GroupEpoch),
    /// As [`At`](Self::At), and the channel knows no other group.
    AtSole(GroupEpoch),
    /// As [`AtSole`](Self::AtSole), but the group may have advanced since, by at most so many epochs.
    RecentSole(GroupEpoch, u64),
    /// As [`Advance`](Self::Advance), and the channel knows no other group: the first commit binds the channel to its
    /// group.
    AdvanceSole(GroupEpoch),
}

/// Why a precondition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreconditionFailed {
    /// The group is at another epoch, this one.
    Epoch(Epoch),
    /// The channel belongs to another group.
    OtherGroup,
}

impl Precondition {
    /// Decides against the group's current epoch and whether the channel knows other groups, and returns the epoch to
    /// store.
    ///
    /// # Errors
    ///
    /// [`PreconditionFailed`] where the precondition does not hold.
    pub fn decide(
        &self,
        current: Option<Epoch>,
        others: bool,
    ) -> std::result::Result<Option<Epoch>, PreconditionFailed> {
        let (wanted, advances) = match self {
            Self::Any => return Ok(None),
            Self::At(wanted) | Self::AtSole(wanted) | Self::RecentSole(wanted, _) => (wanted, false),
            Self::Advance(wanted) | Self::AdvanceFrom(wanted) | Self::AdvanceSole(wanted) => (wanted, true),
        };
        if others && self.is_sole() {
            return Err(PreconditionFailed::OtherGroup);
        }
        let (earlier, later) = self.leeway();
        let fits = |current: Epoch| {
            let allowed = if wanted.epoch <= current { earlier } else { later };
            wanted.epoch.0.abs_diff(current.0) <= allowed
        };
        match current {
            Some(current) if !fits(current) => Err(PreconditionFailed::Epoch(current)),
            _ if advances && wanted.epoch.0 >= i64::MAX as u64 => {
                Err(PreconditionFailed::Epoch(current.unwrap_or_default()))
            }
            _ => Ok(advances.then(|| wanted.epoch.next())),
        }
    }

    /// Returns how many epochs a message may be behind its group, and ahead of it.
    const fn leeway(&self) -> (u64, u64) {
        match self {
            Self::RecentSole(_, past) => (*past, 0),
            Self::AdvanceFrom(_) => (0, u64::MAX),
            _ => (0, 0),
        }
    }

    /// Tells whether the group has to be the channel's only one.
    pub const fn is_sole(&self) -> bool {
        matches!(self, Self::AtSole(_) | Self::RecentSole(..) | Self::AdvanceSole(_))
    }

    /// Tells whether the append begins an epoch.
    pub const fn advances(&self) -> bool {
        matches!(self, Self::Advance(_) | Self::AdvanceFrom(_) | Self::AdvanceSole(_))
    }

    /// Returns the group that the precondition is about.
    pub fn group(&self) -> Option<&GroupId> {
        self.at().map(|at| &at.group)
    }

    /// Returns the group, and the epoch that the message was made in.
    pub fn at(&self) -> Option<&GroupEpoch> {
        match self {
            Self::Any => None,
            Self::At(at) | Self::AtSole(at) | Self::RecentSole(at, _) => Some(at),
            Self::Advance(at) | Self::AdvanceFrom(at) | Self::AdvanceSole(at) => Some(at),
        }
    }
}

/// What became of one record of an append.
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

/// What became of the records of an append, in their order.
pub type Appended = Vec<AppendOutcome>;

/// Where a channel stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last number given; 0 where none was.
    pub last: SequenceNumber,
    /// The last number trimmed; 0 where none was.
    pub floor: SequenceNumber,
}
