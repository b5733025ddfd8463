//! The registry of channels: owners, members, invites and join requests.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use skytale_core::ChannelName;

use crate::error::Result;

/// Keeps which account owns a channel, which others are members, and who asks to join.
#[async_trait]
pub trait ChannelRegistry: fmt::Debug + Send + Sync + 'static {
    /// Registers a channel for an account, unless somebody has it; returns the entry that stands.
    async fn register_channel(&self, channel: ChannelEntry) -> Result<ChannelEntry>;

    /// Returns a channel that is registered.
    async fn channel(&self, name: &ChannelName) -> Result<Option<ChannelEntry>>;

    /// Returns what an account is to a channel; `None` where it is nothing to it, or nobody has registered it.
    async fn role(&self, channel: &ChannelName, account: &str) -> Result<Option<Role>>;

    /// Lists the channels that an account owns or is a member of, by name, after a name.
    async fn channels_of(&self, account: &str, after: &str, most: u32) -> Result<Vec<(ChannelEntry, Role)>>;

    /// Lists the accounts of a channel, its owner first, then as they came.
    async fn members(&self, channel: &ChannelName) -> Result<Vec<Member>>;

    /// Ends an account's membership; `false` where it has none. An owner stays.
    async fn remove_member(&self, channel: &ChannelName, account: &str) -> Result<bool>;

    /// Keeps an invite.
    async fn add_invite(&self, invite: Invite) -> Result<()>;

    /// Makes the asking account a member and keeps its request, by one use of an invite to this channel: all of it, or
    /// nothing. A request whose id is known already uses nothing. `false` where there is no such invite, or it is used up
    /// or expired.
    async fn join(&self, request: NewJoinRequest) -> Result<bool>;

    /// Leases requests of a channel that nobody has answered, oldest first, to the caller alone, until `until`.
    async fn lease_requests(
        &self,
        channel: &ChannelName,
        now: SystemTime,
        until: SystemTime,
        most: u32,
    ) -> Result<Vec<JoinRequest>>;

    /// Returns a request.
    async fn request(&self, id: &str) -> Result<Option<JoinRequest>>;

    /// Answers a request with a Welcome, unless it was answered; returns what it is answered with, `None` where there is
    /// no such request.
    async fn answer_request(&self, id: &str, welcome: Bytes) -> Result<Option<Bytes>>;

    /// Drops a request; `false` where there is none.
    async fn drop_request(&self, id: &str) -> Result<bool>;

    /// Drops requests that were made, and invites that expired, before a time; returns how many.
    async fn expire_requests(&self, before: SystemTime) -> Result<u64>;
}

/// A channel that is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEntry {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: ChannelName,
    /// The account that owns it.
    pub owner: String,
    /// When it was registered, to the millisecond.
    pub created_at: SystemTime,
}

/// The role of an account in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It registered the channel.
    Owner,
    /// It was invited.
    Member,
}

/// An account of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub account: String,
    /// What it is to the channel.
    pub role: Role,
    /// Since when, to the millisecond.
    pub since: SystemTime,
}

/// A way into a channel, without the token that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The digest of its token.
    pub digest: [u8; 32],
    /// The channel.
    pub channel: ChannelName,
    /// How often it may still be used.
    pub uses: u32,
    /// When it expires.
    pub expires_at: SystemTime,
}

/// A request to join a channel, with the invite that permits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJoinRequest {
    /// The id that the request gets; the same for the same account, invite and key package, so that a repetition is
    /// recognised.
    pub id: String,
    /// The channel.
    pub channel: ChannelName,
    /// The digest of the invite's token.
    pub invite: [u8; 32],
    /// The account that asks.
    pub account: String,
    /// The agent that asks.
    pub identity: String,
    /// Its key package.
    pub key_package: Bytes,
    /// When it asks.
    pub at: SystemTime,
}

/// A request to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRequest {
    /// Its id.
    pub id: String,
    /// The channel.
    pub channel: ChannelName,
    /// The account that asks.
    pub account: String,
    /// The agent that asks.
    pub identity: String,
    /// Its key package.
    pub key_package: Bytes,
    /// When it asked, to the millisecond.
    pub created_at: SystemTime,
    /// The Welcome that it was answered with.
    pub welcome: Option<Bytes>,
}
