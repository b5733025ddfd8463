//! The size of the messages of a session that are not archived yet, or wait behind one that is not.

use std::iter::Sum;

use skytale_core::Envelope;

use crate::limits::Limits;

/// Messages, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    messages: usize,
    bytes: usize,
}

impl InFlight {
    pub fn of(envelope: &Envelope) -> Self {
        Self { messages: 1, bytes: envelope.frame().len() }
    }

    pub fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }

    pub fn subtract(&mut self, less: Self) {
        self.messages -= less.messages;
        self.bytes -= less.bytes;
    }

    /// Tells whether one message more may be taken.
    pub fn has_room(self, limits: &Limits) -> bool {
        self.messages < limits.unarchived_in_flight && self.bytes < limits.unarchived_bytes_in_flight
    }
}

impl Sum for InFlight {
    fn sum<I: Iterator<Item = Self>>(several: I) -> Self {
        several.fold(Self::default(), |mut all, one| {
            all.add(one);
            all
        })
    }
}
