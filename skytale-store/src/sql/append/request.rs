//! A request to append, as it waits for the writer.

use skytale_core::ChannelName;
use tokio::sync::oneshot;

use crate::contract::precondition::Precondition;
use crate::contract::record::{Appended, NewRecord};
use crate::error::{Result, StoreError};

/// The records that one caller appends to one channel.
pub(crate) struct Append {
    pub channel: ChannelName,
    pub records: Vec<NewRecord>,
    pub precondition: Precondition,
    reply: oneshot::Sender<Result<Appended>>,
}

impl Append {
    /// Makes a request, and the receiver of its outcome.
    pub fn new(
        channel: ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> (Self, oneshot::Receiver<Result<Appended>>) {
        let (reply, appended) = oneshot::channel();
        (Self { channel, records, precondition, reply }, appended)
    }

    /// Returns the number of records and the bytes of their bodies.
    pub fn size(&self) -> (usize, usize) {
        (self.records.len(), self.records.iter().map(|record| record.body.len()).sum())
    }

    /// Answers the caller.
    pub fn answer(self, outcome: Result<Appended>) {
        let _ = self.reply.send(outcome);
    }
}

/// Answers every caller of a group with an error.
pub(crate) fn reject_all(group: Vec<Append>, error: impl Fn() -> StoreError) {
    for append in group {
        append.answer(Err(error()));
    }
}
