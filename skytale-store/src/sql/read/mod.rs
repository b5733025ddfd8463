//! Reads of the log: pages of records, and the notification of new ones.

pub(crate) mod append_notifier;
pub(crate) mod pages;
