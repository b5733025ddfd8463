//! Appends to the log: a queue, batches of one transaction each, and the blocks that they write.

mod batch_plan;
pub(crate) mod block;
pub(crate) mod block_statements;
mod channel_cache;
pub(crate) mod meter;
pub(crate) mod request;
pub(crate) mod transaction;
pub(crate) mod writer;
