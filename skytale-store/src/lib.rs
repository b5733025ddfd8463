#![doc = include_str!("../README.md")]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
#[cfg(feature = "sql")]
mod sql;
mod store;

pub use error::{Result, Source, StoreError};
pub use memory::{MemoryCapacity, MemoryStore};
#[cfg(feature = "sql")]
pub use sql::{SqlOptions, SqlStore};
pub use store::{
    Appended, Durability, GroupEpoch, GroupId, Head, MessageId, NewRecord, Outcome, Precondition, Record,
    Store,
};
