//! Appends to the stream: batches, their publication, and the contest with other relays.

pub(crate) mod batch;
mod publish;
pub(crate) mod writer;
