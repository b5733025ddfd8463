//! Reasons to close a session.

use std::time::Duration;

use skytale_core::{ChannelName, Epoch, FrameError, IntegrityError, SequenceNumber, Verb};
use thiserror::Error;

/// Why a relay ends a session. The text is for the peer: it says what was wrong and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer ended it.
    #[error("the peer ended the session")]
    ByPeer,
    /// The transport broke or refused a frame.
    #[error("{0}")]
    Transport(String),
    /// A frame cannot be accepted.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A frame is longer than is allowed, and was not read.
    #[error("a frame is longer than the {allowed} bytes that are allowed: send it in parts")]
    FrameTooLong {
        /// How many bytes are allowed.
        allowed: usize,
    },
    /// The link has no key, although the peer asked for one.
    #[error("{0}")]
    Integrity(#[from] IntegrityError),
    /// A frame's link integrity tag is missing or wrong.
    #[error(
        "the link integrity tag (header_mac) is missing or wrong: tag every message with the key of this link"
    )]
    WrongTag,
    /// The principal may not do this.
    #[error("not permitted to {verb} on {channel}: use a token that grants it")]
    Forbidden {
        /// What was tried.
        verb: Verb,
        /// Where.
        channel: ChannelName,
    },
    /// More was published in a second than is allowed.
    #[error("more than {allowed} messages published in a second: send more slowly")]
    PublishRate {
        /// How many are allowed.
        allowed: u32,
    },
    /// The peer reads too slowly for what is not archived.
    #[error("slow consumer: more than {allowed} {what} waited to be read; reconnect to go on")]
    SlowConsumer {
        /// The unit of what waited.
        what: &'static str,
        /// How much may wait.
        allowed: usize,
    },
    /// A native agent takes nothing of what waits for it.
    #[error("slow consumer: nothing was read for {} s; reconnect to go on", .allowed.as_secs_f32())]
    Stalled {
        /// How long that may last.
        allowed: Duration,
    },
    /// A commit lost its epoch to another one and was not delivered.
    #[error(
        "commit refused: the group is at epoch {current} already, by the commit with sequence number {winner}; \
         process that one and commit again"
    )]
    CommitRefused {
        /// The group's epoch.
        current: Epoch,
        /// The commit that won.
        winner: SequenceNumber,
    },
    /// A group command carries bytes that are no MLS commit or proposal.
    #[error("group command refused: its MLS content is no MLSMessage of MLS 1.0 with a commit or proposal")]
    NotMls,
    /// The credentials have expired.
    #[error("the token has expired: reconnect with a fresh one")]
    Expired,
    /// The credentials were revoked.
    #[error("the token was revoked: reconnect with a fresh one")]
    Revoked,
    /// The account has sent what its plan allows.
    #[error(
        "the plan allows {allowed} messages a month, and they are sent: it begins again in {} s",
        .resets_in.as_secs()
    )]
    QuotaExceeded {
        /// How many messages are allowed in a month.
        allowed: u64,
        /// When the next month begins.
        resets_in: Duration,
    },
    /// The archive cannot take or give messages.
    #[error("the archive is unavailable; nothing that was acknowledged is lost; reconnect to go on")]
    ArchiveUnavailable,
    /// The relay is shutting down.
    #[error("the relay is draining; reconnect after {} s", .retry_after.as_secs())]
    Draining {
        /// When to come back.
        retry_after: Duration,
    },
}

impl CloseReason {
    /// Returns a short word for metrics and logs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ByPeer => "by_peer",
            Self::Transport(_) => "transport",
            Self::Frame(_) | Self::FrameTooLong { .. } => "frame",
            Self::Integrity(_) | Self::WrongTag => "integrity",
            Self::Forbidden { .. } => "forbidden",
            Self::PublishRate { .. } => "publish_rate",
            Self::SlowConsumer { .. } | Self::Stalled { .. } => "slow_consumer",
            Self::CommitRefused { .. } => "commit_refused",
            Self::NotMls => "not_mls",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::ArchiveUnavailable => "archive_unavailable",
            Self::Draining { .. } => "draining",
        }
    }
}
