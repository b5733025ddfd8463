//! SQLite: connections, when a commit is durable, and the write-ahead log.

pub(crate) mod dedicated_connection;
pub(crate) mod file_lock;
mod open;
pub(crate) mod poison;
pub(crate) mod sync_horizon;
pub(crate) mod sync_thread;
pub(crate) mod wal_checkpoint;
