#![doc = include_str!("../README.md")]

#[cfg(any(feature = "nats", feature = "sql"))]
mod checksum;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
mod error;
mod memory;
mod metered_log;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "sql")]
mod sql;
mod usage_counts;

pub use contract::accounts::{Account, Accounts, ApiKey, Revocation, Revoked};
pub use contract::agents::{Agent, AgentQuery, Agents};
pub use contract::backplane::{Backplane, Parcel, Reach, Topic};
pub use contract::channels::{ChannelEntry, Channels, Invite, Member, NewRequest, Request, Role};
pub use contract::directory::{Bundle, ClaimedKeyPackage, Deposit, Directory, GROUP_INFOS};
pub use contract::store::{
    Appended, Durability, GroupEpoch, GroupId, Head, MessageId, NewRecord, Outcome, Precondition, Record,
    Store, Unmet,
};
pub use contract::usage::{Day, DayUsage, Usage, Used};
pub use error::{Result, Source, StoreError};
pub use memory::{MemoryBackplane, MemoryCapacity, MemoryStore};
pub use metered_log::CountedStore;
#[cfg(feature = "nats")]
pub use nats::{NatsBackplane, NatsOptions, NatsStore};
#[cfg(feature = "sql")]
pub use sql::{PgBackplane, SqlOptions, SqlStore};
