//! The contracts of storage: one trait for the channel log, and one each for the tables and the backplane beside it.

pub(crate) mod accounts;
pub(crate) mod agents;
pub(crate) mod backplane;
pub(crate) mod channels;
pub(crate) mod directory;
pub(crate) mod precondition;
pub(crate) mod record;
pub(crate) mod store;
pub(crate) mod usage;
