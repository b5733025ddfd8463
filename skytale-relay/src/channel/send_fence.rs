//! Send fences: no message of a session overtakes an earlier one whose append failed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use skytale_store::MessageId;
use tokio::time::Instant;

use crate::outbound::session_id::SessionId;

/// Sessions that have a message to send again before anything else that they send to the channel is archived.
///
/// A native sender has many messages on their way. Were those after a failed one archived, its receivers would have to keep
/// the keys of all between, which MLS does only for some.
#[derive(Debug, Default)]
pub(super) struct SendFences(Mutex<Vec<Hold>>);

#[derive(Debug)]
struct Hold {
    session: SessionId,
    first: MessageId,
    until: Instant,
}

/// How long a session is held for a message that it may have given up.
const PATIENCE: Duration = Duration::from_secs(5);

impl SendFences {
    /// Holds a session until it sends a message again, unless it is held for an earlier one.
    pub fn hold(&self, session: SessionId, first: MessageId) {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.iter().all(|hold| hold.session != session) {
            holds.push(Hold { session, first, until: Instant::now() + PATIENCE });
        }
    }

    /// Tells whether a message has to wait; the one that a session is held for need not, and frees it.
    pub fn has(&self, session: SessionId, message: MessageId) -> bool {
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.is_empty() {
            return false;
        }
        let now = Instant::now();
        holds.retain(|hold| hold.until > now && (hold.session, hold.first) != (session, message));
        holds.iter().any(|hold| hold.session == session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_is_held_until_it_repeats_the_first_message_or_gives_it_up() {
        let (fences, session, other) = (SendFences::default(), SessionId::next(), SessionId::next());
        let [first, second, third] = [1, 2, 3].map(|number| MessageId([number; 16]));
        fences.hold(session, first);
        fences.hold(session, second);
        assert!(!fences.has(other, third));
        assert!(fences.has(session, third) && fences.has(session, second));
        assert!(!fences.has(session, first) && !fences.has(session, second));
        fences.hold(session, first);
        assert!(fences.has(session, second));
        tokio::time::advance(PATIENCE).await;
        assert!(!fences.has(session, second));
    }
}
