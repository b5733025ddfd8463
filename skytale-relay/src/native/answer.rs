//! What a native agent is answered.

use skytale_core::SequenceNumber;
use skytale_core::extension::{Accepted, Code, Content, Missed, Refused};
use skytale_store::StoreError;

/// Why a native agent's request was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: Code,
    text: String,
    standing: Option<Standing>,
    pub missed: Vec<Missed>,
    pub more: bool,
}

/// Where the group stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    epoch: u64,
    winner: SequenceNumber,
    last: SequenceNumber,
}

impl Refusal {
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), standing: None, missed: Vec::new(), more: false }
    }

    pub fn invalid() -> Self {
        Self::new(Code::Invalid, "the request is incomplete or names no channel like org/ns/name")
    }

    /// Says why the archive did not take a message that was made in an epoch.
    pub fn of(error: &StoreError, made_in: Option<u64>) -> Self {
        match error {
            StoreError::Conflict { current, winner, last } => {
                let (epoch, winner) = (current.0, winner.unwrap_or(*last));
                let stale = made_in.is_none_or(|made_in| made_in < epoch);
                let code = if stale { Code::StaleEpoch } else { Code::FutureEpoch };
                let text = format!(
                    "the group is at epoch {epoch}, by the commit with sequence number {winner}; process what was \
                     missed and make the message again"
                );
                Self { standing: Some(Standing { epoch, winner, last: *last }), ..Self::new(code, text) }
            }
            StoreError::OtherGroup => {
                Self::new(Code::WrongGroup, "the channel belongs to another group: join that one")
            }
            error => Self::new(Code::Unavailable, format!("{error}; send it again with the same message id")),
        }
    }

    /// Returns the channel's last number, where the refusal is about an epoch.
    pub fn last(&self) -> Option<SequenceNumber> {
        self.standing.map(|standing| standing.last)
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
            retry_after_ms: 0,
        }
    }
}

/// Says under which number a message was archived.
pub(crate) fn accepted(sequence: SequenceNumber, repeated: bool) -> Content {
    Content::Accepted(Accepted { sequence: sequence.0, repeated, expires: 0 })
}

/// Says that a message was refused by the archive.
pub(crate) fn refused(error: &StoreError, made_in: Option<u64>) -> Content {
    Content::Refused(Refusal::of(error, made_in).into())
}
