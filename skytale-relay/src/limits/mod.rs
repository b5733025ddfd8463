//! Limits of a relay, and the counters that hold accounts and sessions to them.

pub(crate) mod external_joins;
pub(crate) mod handshakes;
pub(crate) mod key_package_claims;
pub(crate) mod per_account;
pub(crate) mod plan_quota;
pub(crate) mod proposal_limits;
pub(crate) mod publish_rate;

use std::time::Duration;

use skytale_core::FrameLimits;

use proposal_limits::ProposalLimits;

/// Every limit of a relay. A peer that meets one is told which, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// What one frame may hold.
    pub frame: FrameLimits,
    /// The most sessions at once. Default: 65,536.
    pub sessions: usize,
    /// The most sessions of one account at once. Default: 16,384.
    pub sessions_per_principal: usize,
    /// The most subscriptions of one session. Default: 4,096.
    pub subscriptions_per_session: usize,
    /// The most subscriptions of one account. Default: 65,536.
    pub subscriptions_per_principal: usize,
    /// The most channels with subscribers at once. Default: 1,048,576.
    pub channels: usize,
    /// The most messages that one session may publish in a second. Default: 1,000,000.
    pub publish_rate: u32,
    /// The most archived messages that wait for one session; beyond, it reads the archive instead. Default: 1,024.
    pub queued_messages: usize,
    /// The most bytes of archived messages that wait for one session. Default: 4 MiB.
    pub queued_bytes: usize,
    /// The most unarchived messages that wait for one session; beyond, it is closed. Default: 4,096.
    pub queued_unarchived: usize,
    /// The most answers of the relay's that wait for one session, which take no more bytes than unarchived messages;
    /// beyond, it is closed. Default: 16,384.
    pub queued_answers: usize,
    /// How long a native agent may take nothing of what waits for it; then its session is closed, and it resumes with
    /// another. Default: 30 s.
    pub stalled: Duration,
    /// The most messages of one session that wait to be archived, or for those before; beyond, it is read no further.
    /// Default: 1,024.
    pub unarchived_in_flight: usize,
    /// The most bytes of these messages; beyond, it is read no further. Default: 4 MiB.
    pub unarchived_bytes_in_flight: usize,
    /// The most proposals of native agents in one epoch of a channel. Default: 64.
    pub proposals_per_epoch: usize,
    /// The most proposals of one account in one epoch of a channel. Default: 8.
    pub proposals_per_principal: usize,
    /// The most key packages of one agent that one account claims in a minute. Default: 10.
    pub claims_per_minute: u32,
    /// The most key packages of one agent that all accounts claim in an hour; beyond, they are given the one of last
    /// resort. Default: 100.
    pub claims_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: FrameLimits::default(),
            sessions: 65_536,
            sessions_per_principal: 16_384,
            subscriptions_per_session: 4_096,
            subscriptions_per_principal: 65_536,
            channels: 1 << 20,
            publish_rate: 1_000_000,
            queued_messages: 1_024,
            queued_bytes: 4 * 1024 * 1024,
            queued_unarchived: 4_096,
            queued_answers: 16_384,
            stalled: Duration::from_secs(30),
            unarchived_in_flight: 1_024,
            unarchived_bytes_in_flight: 4 * 1024 * 1024,
            proposals_per_epoch: 64,
            proposals_per_principal: 8,
            claims_per_minute: 10,
            claims_per_hour: 100,
        }
    }
}

impl Limits {
    pub(crate) fn proposals(&self) -> ProposalLimits {
        ProposalLimits { per_epoch: self.proposals_per_epoch, per_principal: self.proposals_per_principal }
    }
}

/// How many times the bytes of archived messages may wait of unarchived ones, and of answers.
pub(crate) const UNARCHIVED_BYTES_FACTOR: usize = 8;
