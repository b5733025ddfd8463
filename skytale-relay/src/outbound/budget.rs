//! The budget of one session: how many messages and bytes of each kind may wait for it.

use std::time::Duration;

use crate::close_reason::CloseReason;
use crate::limits::{Limits, UNARCHIVED_BYTES_FACTOR};

/// How much of each kind may wait.
#[derive(Debug)]
pub(super) struct Allowed {
    pub archived: Amount,
    pub unarchived: Amount,
    pub answers: Amount,
    pub stalled: Duration,
}

/// A number of messages, and of their bytes.
#[derive(Debug, Default)]
pub(super) struct Amount {
    messages: usize,
    bytes: usize,
}

impl Allowed {
    pub fn by(limits: &Limits) -> Self {
        let bytes = limits.queued_bytes.saturating_mul(UNARCHIVED_BYTES_FACTOR);
        Self {
            archived: Amount { messages: limits.queued_messages, bytes: limits.queued_bytes },
            unarchived: Amount { messages: limits.queued_unarchived, bytes },
            answers: Amount { messages: limits.queued_answers, bytes },
            stalled: limits.stalled,
        }
    }
}

impl Amount {
    /// Tells whether `size` bytes more are too many; one message always has room.
    pub fn is_full_for(&self, size: usize, allowed: &Self) -> bool {
        self.messages >= allowed.messages || (self.messages > 0 && self.bytes + size > allowed.bytes)
    }

    /// Returns why a session reads too slowly for `size` bytes more, which are named as messages and as bytes.
    pub fn excess(
        &self,
        size: usize,
        allowed: &Self,
        [messages, bytes]: [&'static str; 2],
    ) -> Option<CloseReason> {
        let (what, allowed_of_it) = match self.messages >= allowed.messages {
            true => (messages, allowed.messages),
            false => (bytes, allowed.bytes),
        };
        self.is_full_for(size, allowed).then_some(CloseReason::SlowConsumer { what, allowed: allowed_of_it })
    }

    pub fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub fn subtract(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
