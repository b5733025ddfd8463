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
pub use contract::agents::{Agent, AgentQuery, AgentRegistry};
pub use contract::backplane::{Backplane, BackplaneMessage, Delivery, Topic};
pub use contract::channels::{
    ChannelEntry, ChannelRegistry, Invite, JoinRequest, Member, NewJoinRequest, Role,
};
pub use contract::directory::{
    Attachment, ClaimedKeyPackage, CommitAttachments, KeyPackageDirectory, MAX_GROUP_INFOS,
};
pub use contract::precondition::{GroupEpoch, GroupId, Precondition, PreconditionFailed};
pub use contract::record::{AppendOutcome, Appended, MessageId, NewRecord, Record};
pub use contract::store::{Durability, Head, Store};
pub use contract::usage::{Day, DayUsage, Usage, Used};
pub use error::{BoxError, Result, StoreError};
pub use memory::{MemoryBackplane, MemoryCapacity, MemoryStore};
pub use metered_log::MeteredLog;
#[cfg(feature = "nats")]
pub use nats::{NatsBackplane, NatsOptions, NatsStore};
#[cfg(feature = "sql")]
pub use sql::{PgBackplane, SqlOptions, SqlStore};
