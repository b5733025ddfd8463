//! The machine's records as they are stored.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::effects::{Change, Kind};
use super::history::HistoryRecord;
use crate::error::{Error, Result};

/// What is stored of one channel: by kind, then key.
pub(crate) type Stored = BTreeMap<Kind, BTreeMap<Vec<u8>, Vec<u8>>>;

/// The one record of a kind that has one.
pub(crate) const ONLY: &[u8] = b"";

/// A channel: its group and how far it was read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChannelRecord {
    pub group: Vec<u8>,
    /// The last number that was applied.
    pub cursor: u64,
    pub phase: Phase,
    /// How many messages the agent has said in its life.
    pub said: u64,
    /// How many events the last number has brought so far.
    #[serde(default)]
    pub parts: u32,
    /// The number of the first external commit that the agent has refused.
    #[serde(default)]
    pub uninvited: Option<u64>,
    /// What was read, as a digest.
    #[serde(default)]
    pub history: HistoryRecord,
}

/// Where the agent stands with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The channel is the agent's once its first commit is accepted.
    Founding,
    /// The agent is a member.
    Member,
    /// The group went on without the agent, at the commit with this number.
    Forked(u64),
    /// The agent was removed.
    Evicted,
}

/// A change of the group that is wanted, until it has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Intent {
    /// The first commit, by which the channel becomes the group's.
    Found,
    /// New keys for the agent's own leaf.
    Rotate,
    /// A member more.
    Add { agent: String, key_package: Vec<u8> },
    /// An agent less, with every leaf it has.
    Remove { agent: String },
    /// A leaf less, which asked for it.
    RemoveLeaf { leaf: u32, signature_key: Vec<u8> },
}

/// A commit that is pending, and what it brings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub id: [u8; 16],
    pub commit: Vec<u8>,
    pub welcome: Option<Vec<u8>>,
    /// Whom the Welcome is for.
    pub agents: Vec<String>,
    pub group_info: Vec<u8>,
    /// Which intents it fulfils.
    pub intents: Vec<u64>,
}

/// A message on its way to the relay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub content: Vec<u8>,
    pub sealed: Option<Sealed>,
}

/// An encrypted message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub id: [u8; 16],
    pub epoch: u64,
    pub message: Vec<u8>,
}

pub(crate) fn put(kind: Kind, key: &[u8], value: &impl Serialize) -> Result<Change> {
    let value = rmp_serde::to_vec(value).map_err(Error::state)?;
    Ok(Change::Put { kind, key: key.to_vec(), value })
}

pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|_| Error::corrupt("a record of the agent's state"))
}

/// Reads every numbered record of a kind.
pub(crate) fn read_all<T: DeserializeOwned>(stored: &Stored, kind: Kind) -> Result<BTreeMap<u64, T>> {
    let records = stored.get(&kind).into_iter().flatten();
    records.map(|(key, value)| Ok((number(key)?, read(value)?))).collect()
}

fn number(key: &[u8]) -> Result<u64> {
    let key = key.try_into().map_err(|_| Error::corrupt("a key of the agent's state"))?;
    Ok(u64::from_be_bytes(key))
}
