#![doc = include_str!("../README.md")]

#[cfg(feature = "conformance")]
pub mod conformance;
mod directory;
mod error;
mod memory;
#[cfg(feature = "sql")]
mod sql;
mod store;

pub use directory::{Bundle, ClaimedKeyPackage, Deposit, Directory, GROUP_INFOS};
pub use error::{Result, Source, StoreError};
pub use memory::{MemoryCapacity, MemoryStore};
#[cfg(feature = "sql")]
pub use sql::{SqlOptions, SqlStore};
pub use store::{
    Appended, Durability, GroupEpoch, GroupId, Head, MessageId, NewRecord, Outcome, Precondition, Record,
    Store, Unmet,
};
