//! The channel log's contract.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use futures::stream::BoxStream;
use skytale_core::{ChannelName, SequenceNumber};

use super::precondition::Precondition;
use super::record::{Appended, MessageId, NewRecord, Record};
use crate::error::Result;

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
///   [`AppendOutcome::Duplicate`](super::record::AppendOutcome::Duplicate) with the first number. This holds inside one call, too, and before any precondition.
/// - **Preconditions.** See [`Precondition`]. A conflict changes nothing and reports where the group stands.
/// - **Usage.** A record that names an account counts in its [`Usage`](super::usage::Usage) in the same step that appends it; a
///   repetition does not count, and a store that keeps no usage ignores it.
/// - **Reading.** `read` yields the records after a number in order and ends at the head; `follow` goes on with what
///   is appended later, by this or any other process over the same storage.
/// - **Trimming.** A reader that asks for records at or below the floor gets one [`StoreError::Gone`](crate::error::StoreError::Gone) and nothing else.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Appends records to a channel and returns their numbers.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`](crate::error::StoreError::Conflict) where the precondition does not hold; [`StoreError::Unavailable`](crate::error::StoreError::Unavailable) where the storage
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

/// The failures that a returned append survives.
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

/// The last number and the floor of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last number given; 0 where none was.
    pub last: SequenceNumber,
    /// The last number trimmed; 0 where none was.
    pub floor: SequenceNumber,
}
