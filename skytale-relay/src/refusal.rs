//! Answers to native agents: acceptances with a sequence number, and refusals.

use std::time::Duration;

use skytale_core::SequenceNumber;
use skytale_core::extension::{self, Accepted, Code, Content, Missed, Refused};
use skytale_store::{Durability, StoreError};

use crate::close_reason::CloseReason;

/// Why a native agent's request was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    text: String,
    standing: Option<Standing>,
    retry_after: Duration,
    pub missed: Vec<Missed>,
    pub more: bool,
}

/// Where the group stands: its epoch, the commit that began it, the channel's last number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub epoch: u64,
    pub winner: SequenceNumber,
    pub last: SequenceNumber,
}

impl Standing {
    /// Reads where the archive says that the group stands.
    pub fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Conflict { current, winner, last } => {
                Some(Self { epoch: current.0, winner: winner.unwrap_or(*last), last: *last })
            }
            _ => None,
        }
    }
}

impl Refusal {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        let (standing, retry_after) = (None, Duration::ZERO);
        Self { code, text: text.into(), standing, retry_after, missed: Vec::new(), more: false }
    }

    pub fn invalid() -> Self {
        Self::new(Code::Invalid, "the request is incomplete or names no channel like org/ns/name")
    }

    /// Says why the archive did not take a message that was made in an epoch.
    pub fn of(error: &StoreError, made_in: Option<u64>) -> Self {
        if let Some(standing) = Standing::of(error) {
            let Standing { epoch, winner, .. } = standing;
            let stale = made_in.is_none_or(|made_in| made_in < epoch);
            let code = if stale { Code::StaleEpoch } else { Code::FutureEpoch };
            let text = format!(
                "the group is at epoch {epoch}, by the commit with sequence number {winner}; process what was missed \
                 and make the message again"
            );
            return Self { standing: Some(standing), ..Self::new(code, text) };
        }
        match error {
            StoreError::OtherGroup => {
                Self::new(Code::WrongGroup, "the channel belongs to another group: join that one")
            }
            error => Self::new(Code::Unavailable, format!("{error}; send it again with the same message id")),
        }
    }

    /// Says that another member commits first, who lost before.
    pub fn not_your_turn(wait: Duration, standing: Option<Standing>, applied: SequenceNumber) -> Self {
        let text = "a member that lost before commits first: process its commit when it comes and make this one again, \
                    or send the same one again after retry_after_ms";
        let more = standing.is_some_and(|standing| applied < standing.last);
        Self { standing, more, ..Self::new(Code::NotYourTurn, text).retry_after(wait) }
    }

    /// Sets after which time the same may be sent again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    /// Tells whether another member commits first.
    pub fn is_about_turns(&self) -> bool {
        self.code == Code::NotYourTurn
    }

    /// Returns the channel's last number, where the refusal is about an epoch.
    pub fn last(&self) -> Option<SequenceNumber> {
        self.standing.map(|standing| standing.last)
    }
}

impl From<CloseReason> for Refusal {
    fn from(close: CloseReason) -> Self {
        let code = match close {
            CloseReason::Forbidden { .. } => Code::NotAuthorized,
            CloseReason::QuotaExceeded { .. } => Code::Quota,
            CloseReason::NotMls => Code::NotMls,
            _ => Code::Unavailable,
        };
        let refusal = Self::new(code, close.to_string());
        match close {
            CloseReason::QuotaExceeded { resets_in, .. } => refusal.retry_after(resets_in),
            _ => refusal,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::of(&error, None)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let standing = refusal.standing;
        Self {
            code: refusal.code.into(),
            text: refusal.text,
            epoch: standing.map_or(0, |standing| standing.epoch),
            winner: standing.map_or(0, |standing| standing.winner.0),
            last: standing.map_or(0, |standing| standing.last.0),
            missed: refusal.missed,
            more: refusal.more,
            retry_after_ms: refusal.retry_after.as_micros().div_ceil(1_000) as u64,
        }
    }
}

/// Says that a request was done, and a number.
pub(crate) fn accepted(sequence: SequenceNumber, repeated: bool) -> Content {
    Content::Accepted(Accepted { sequence: sequence.0, repeated, ..Default::default() })
}

/// Says under which number a message was archived, or the last of a channel, and what it survives there.
pub(crate) fn archived(sequence: SequenceNumber, repeated: bool, durability: Durability) -> Content {
    let durability = match durability {
        Durability::Memory => extension::Durability::Memory,
        Durability::Process => extension::Durability::Process,
        Durability::Disk => extension::Durability::Disk,
    };
    let durability = durability.into();
    Content::Accepted(Accepted { sequence: sequence.0, repeated, durability, ..Default::default() })
}

/// Says that a message was refused by the archive.
pub(crate) fn refused(error: &StoreError, made_in: Option<u64>) -> Content {
    Content::Refused(Refusal::of(error, made_in).into())
}
