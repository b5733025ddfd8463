#![doc = include_str!("../README.md")]

mod accounts;
mod agents;
mod backplane;
mod channels;
#[cfg(any(feature = "nats", feature = "sql"))]
mod checksum;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counted;
mod directory;
mod error;
mod memory;
mod meters;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "sql")]
mod sql;
mod store;
mod usage;

pub use accounts::{Account, Accounts, ApiKey, Revocation, Revoked};
pub use agents::{Agent, AgentQuery, Agents};
pub use backplane::{Backplane, Parcel, Reach, Topic};
pub use channels::{ChannelEntry, Channels, Invite, Member, NewRequest, Request, Role};
pub use counted::CountedStore;
pub use directory::{Bundle, ClaimedKeyPackage, Deposit, Directory, GROUP_INFOS};
pub use error::{Result, Source, StoreError};
pub use memory::{MemoryBackplane, MemoryCapacity, MemoryStore};
#[cfg(feature = "nats")]
pub use nats::{NatsBackplane, NatsOptions, NatsStore};
#[cfg(feature = "sql")]
pub use sql::{PgBackplane, SqlOptions, SqlStore};
pub use store::{
    Appended, Durability, GroupEpoch, GroupId, Head, MessageId, NewRecord, Outcome, Precondition, Record,
    Store, Unmet,
};
pub use usage::{Day, DayUsage, Usage, Used};
