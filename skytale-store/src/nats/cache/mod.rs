//! State of channels that a process keeps so that it need not ask the servers again.

pub(crate) mod channels;
pub(crate) mod message_ids;
