//! Callers that wait to be told what became of their requests.

use std::collections::HashMap;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{Error, Result};
use crate::machine::effects::Ticket;

/// Who is told what became of a request, and the room that it takes up until then.
#[derive(Debug)]
pub(crate) struct Waiting {
    done: oneshot::Sender<Result<u64>>,
    #[expect(dead_code, reason = "held, not read")]
    room: Option<OwnedSemaphorePermit>,
}

impl From<oneshot::Sender<Result<u64>>> for Waiting {
    fn from(done: oneshot::Sender<Result<u64>>) -> Self {
        Self { done, room: None }
    }
}

impl Waiting {
    pub fn holding(room: OwnedSemaphorePermit, done: oneshot::Sender<Result<u64>>) -> Self {
        Self { done, room: Some(room) }
    }

    pub fn tell(self, outcome: Result<u64>) {
        let _ = self.done.send(outcome);
    }
}

/// Callers that wait to be told what became of their requests.
#[derive(Debug, Default)]
pub(crate) struct PendingCalls {
    waiting: HashMap<Ticket, Waiting>,
    last: Ticket,
}

impl PendingCalls {
    pub fn issue(&mut self, waiting: impl Into<Waiting>) -> Ticket {
        self.last += 1;
        self.waiting.insert(self.last, waiting.into());
        self.last
    }

    /// Tells a caller what became of its request.
    pub fn tell(&mut self, ticket: Ticket, outcome: Result<u64>) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            waiting.tell(outcome);
        }
    }

    /// Tells all callers that theirs failed: the first why.
    pub fn fail(&mut self, error: Error) {
        let mut error = Some(error);
        for (_, waiting) in self.waiting.drain() {
            waiting.tell(Err(error.take().unwrap_or(Error::Closed)));
        }
    }

    /// Tells all callers that the relay does not permit it.
    pub fn refuse(&mut self, reason: &str) {
        for (_, waiting) in self.waiting.drain() {
            waiting.tell(Err(Error::NotAuthorized { reason: reason.to_owned() }));
        }
    }
}
