//! The request to append a message to the archive.

use std::sync::Arc;

use skytale_core::Envelope;
use skytale_store::{AppendOutcome, MessageId, Precondition, Store, StoreError};
use tokio::sync::oneshot;

use super::append_condition::AppendCondition;
use crate::limits::plan_quota::Reservation;
use crate::limits::proposal_limits::ProposalLimits;
use crate::outbound::queue::Outbox;
use crate::telemetry::Meter;

/// A message on its way to the archive.
#[derive(Debug)]
pub(crate) struct AppendRequest {
    pub envelope: Arc<Envelope>,
    pub publisher: Arc<Outbox>,
    /// What must hold; `None` for a message that only wants a number.
    pub condition: Option<AppendCondition>,
    /// The account whose use it counts in.
    pub account: Option<Arc<str>>,
    /// Counts it in the account's plan as long as it is not archived.
    #[expect(dead_code, reason = "held, not read")]
    pub counted: Option<Reservation>,
    /// The number under which a native publisher is answered.
    pub request: Option<u64>,
    /// The account, for a native proposal, of which so many are allowed.
    pub proposer: Option<Arc<str>>,
    /// Told what became of the message.
    pub done: Option<oneshot::Sender<Result<AppendOutcome, StoreError>>>,
}

impl AppendRequest {
    /// Returns what must hold for the message.
    pub(super) fn precondition(&self) -> &Precondition {
        self.condition.as_ref().map_or(&Precondition::Any, |condition| &condition.precondition)
    }

    /// Returns the id of a native message that is no commit: those of one sender are archived in their order.
    pub(super) fn in_turn(&self) -> Option<MessageId> {
        let condition = self.condition.as_ref().filter(|condition| !condition.precondition.advances())?;
        self.request.and(condition.message_id)
    }

    /// Returns the epoch that a native commit was made in; `None` for any other message.
    pub(super) fn commits_in(&self) -> Option<u64> {
        let condition = self.condition.as_ref().filter(|condition| condition.precondition.advances())?;
        self.request.and(condition.epoch())
    }
}

/// Where messages are appended, and counted.
#[derive(Clone, Debug)]
pub(crate) struct Appending {
    pub store: Arc<dyn Store>,
    pub meter: Meter,
    pub proposals: ProposalLimits,
}
