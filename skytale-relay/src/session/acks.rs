//! Answers to SLIM group commands: in the stream where a peer asks for them, else a refusal by ending it.

use std::collections::HashMap;
use std::sync::Arc;

use skytale_core::{Envelope, MessageKind, SequenceNumber, compose};
use skytale_store::{AppendOutcome, StoreError};

use crate::close_reason::CloseReason;
use crate::outbound::queue::Outbox;

/// The metadata key by which a peer asks to be answered its commits in the stream.
const WANTS_ANSWER: &str = "skytale.ack";

/// Tells the sender of a command what became of it: in the stream if it asked for that, else a refusal by ending the
/// stream, since SLIM's agents have no use for an answer of the relay's.
pub(super) fn settle(
    outbox: &Outbox,
    command: &Envelope,
    outcome: Result<AppendOutcome, StoreError>,
) -> Result<(), CloseReason> {
    match outcome {
        Ok(outcome) => {
            let number = outcome.sequence().to_string();
            if wants_answer(command) {
                answer(outbox, command, MessageKind::GroupAck, [("skytale.seq", number)].into());
            }
            Ok(())
        }
        Err(StoreError::Conflict { current, winner, last }) => {
            let winner = winner.unwrap_or(last);
            if wants_answer(command) {
                answer(outbox, command, MessageKind::GroupNack, refusal(current.0, winner, last));
                return Ok(());
            }
            Err(CloseReason::CommitRefused { current, winner })
        }
        Err(_) => Err(CloseReason::ArchiveUnavailable),
    }
}

/// Refuses a command that cannot be read: in the stream if its sender asked for that, else by ending the stream.
pub(super) fn refuse(outbox: &Outbox, command: &Envelope, close: CloseReason) -> Result<(), CloseReason> {
    if !wants_answer(command) {
        return Err(close);
    }
    answer(outbox, command, MessageKind::GroupNack, [("skytale.code", "NOT_MLS".to_owned())].into());
    tracing::debug!(reason = %close, "group command refused");
    Ok(())
}

fn answer(outbox: &Outbox, command: &Envelope, kind: MessageKind, metadata: HashMap<&str, String>) {
    if let Some(answer) = compose::group_answer(command, kind, metadata) {
        outbox.offer_own_message(&Arc::new(answer));
    }
}

fn refusal(epoch: u64, winner: SequenceNumber, last: SequenceNumber) -> HashMap<&'static str, String> {
    [
        ("skytale.code", "STALE_EPOCH".to_owned()),
        ("skytale.epoch", epoch.to_string()),
        ("skytale.winner", winner.to_string()),
        ("skytale.last", last.to_string()),
    ]
    .into()
}

fn wants_answer(envelope: &Envelope) -> bool {
    let strings_only = envelope.publish().is_some_and(|publish| publish.header.destination.is_strings_only());
    strings_only || envelope.metadata(WANTS_ANSWER).is_some()
}
