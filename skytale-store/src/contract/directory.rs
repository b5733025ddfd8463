//! The directory of key packages, and of the Welcomes and GroupInfos that commits attach.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use skytale_core::{ChannelName, SequenceNumber};

use super::record::MessageId;
use crate::error::Result;

/// Key packages by agent, and what commits bring with them.
///
/// The contract, which `conformance::directory` runs against an implementation:
///
/// - **Key packages.** Each one that is not of last resort is given once, oldest first, however many claim at the same
///   time. The one of last resort is given when there is no other, any number of times. One with the same bytes as one
///   that is held of the agent is not held twice, so that an upload whose answer was lost can be repeated, until some of
///   it is claimed.
/// - **Attachments.** A [`CommitAttachments`] is deposited before its commit is decided, so that no accepted commit lacks it. Whether
///   its commit was accepted is noted by [`resolve`](KeyPackageDirectory::resolve), and until then is for the caller to find out
///   ([`Store::find`](super::store::Store::find)). A deposit that is repeated is kept once. No deposit makes room for another
///   one before its own commit is resolved, so that those who lose take nothing away.
#[async_trait]
pub trait KeyPackageDirectory: fmt::Debug + Send + Sync + 'static {
    /// Adds the key packages of an agent that are not held of it, replaces the one of last resort if there is a new one,
    /// and returns how many of the others there are.
    async fn add_key_packages(
        &self,
        agent: &ChannelName,
        key_packages: Vec<Bytes>,
        last_resort: Option<Bytes>,
    ) -> Result<u32>;

    /// Returns those of some key packages that are not held of an agent, each once, without regard to the one of last
    /// resort.
    async fn unheld_key_packages(&self, agent: &ChannelName, key_packages: Vec<Bytes>) -> Result<Vec<Bytes>>;

    /// Returns how many key packages an agent has, without the one of last resort.
    async fn count_key_packages(&self, agent: &ChannelName) -> Result<u32>;

    /// Forgets every key package of an agent, the one of last resort, too.
    async fn drop_key_packages(&self, agent: &ChannelName) -> Result<()>;

    /// Takes a key package of an agent, if it has any.
    async fn claim_key_package(&self, agent: &ChannelName) -> Result<Option<ClaimedKeyPackage>>;

    /// Returns an agent's key package of last resort, if it has left one, and takes none.
    async fn last_resort(&self, agent: &ChannelName) -> Result<Option<Bytes>>;

    /// Keeps what a commit brings.
    async fn deposit(&self, attachments: CommitAttachments) -> Result<()>;

    /// Notes that a commit was accepted under a number, or, with `None`, forgets what it would have brought.
    async fn resolve(
        &self,
        channel: &ChannelName,
        commit: MessageId,
        accepted: Option<SequenceNumber>,
    ) -> Result<()>;

    /// Returns an agent's Welcomes, oldest first, at most `most`, without the first `skip`.
    async fn welcomes(&self, agent: &ChannelName, skip: u32, most: u32) -> Result<Vec<Attachment>>;

    /// Drops a Welcome that its agent has stored.
    async fn drop_welcome(&self, agent: &ChannelName, commit: MessageId) -> Result<()>;

    /// Returns a channel's GroupInfos, newest first: the last [`MAX_GROUP_INFOS`] of commits that are known to be accepted,
    /// and among them those of commits that are not resolved.
    async fn group_infos(&self, channel: &ChannelName) -> Result<Vec<Attachment>>;

    /// Drops the Welcomes that were deposited before a time and never fetched, and the GroupInfos of before it that a newer
    /// one of an accepted commit has followed; returns how many.
    async fn expire_deposits(&self, before: SystemTime) -> Result<u64>;
}

/// The most GroupInfos kept of a channel's accepted commits; those of rejected commits are dropped at once.
pub const MAX_GROUP_INFOS: usize = 4;

/// A key package that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKeyPackage {
    /// The bytes.
    pub key_package: Bytes,
    /// Whether it may be given again.
    pub is_last_resort: bool,
    /// How many others are left.
    pub left: u32,
}

/// The Welcomes and the GroupInfo of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitAttachments {
    /// The channel of the commit.
    pub channel: ChannelName,
    /// The commit's message id.
    pub commit: MessageId,
    /// Welcomes, each with the agent it is for.
    pub welcomes: Vec<(ChannelName, Bytes)>,
    /// The encrypted GroupInfo of the epoch that the commit begins.
    pub group_info: Option<Bytes>,
}

/// A Welcome or GroupInfo that was deposited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The channel of the commit.
    pub channel: ChannelName,
    /// The commit's message id.
    pub commit: MessageId,
    /// The commit's number, once it is known to be accepted.
    pub accepted: Option<SequenceNumber>,
    /// The bytes.
    pub body: Bytes,
}
