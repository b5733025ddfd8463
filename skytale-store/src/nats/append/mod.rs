//! Appends to the stream: batches, their publication, and the contest with other relays.

pub(crate) mod batch;
pub(crate) mod contest;
mod publish;
pub(crate) mod writer;
