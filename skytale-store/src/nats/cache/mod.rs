//! Caches of channel state, so that a process need not ask the servers again.

pub(crate) mod channels;
pub(crate) mod message_ids;
