//! The handlers, one module for each path.

pub(crate) mod accounts;
pub(crate) mod agents;
pub(crate) mod channels;
pub(crate) mod discovery;
pub(crate) mod joins;
pub(crate) mod key_packages;
pub(crate) mod keys;
pub(crate) mod tokens;
pub(crate) mod usage;
