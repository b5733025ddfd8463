//! What a step of the machine asks of the world: to store, then to send, then to tell.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::event::Event;

/// What kind of thing a record is. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// openmls's own, of one group.
    Group = 1,
    /// A channel: its group and how far it was read.
    Channel = 2,
    /// A change of the group that is wanted.
    Intent = 3,
    /// A message on its way to the relay.
    Outgoing = 4,
    /// An event that the agent has not acknowledged.
    Event = 5,
    /// The commit that is pending.
    Pending = 6,
    /// openmls's own, of the agent's key packages.
    KeyPackage = 7,
    /// The agent's identity.
    Identity = 8,
    /// A key package that was sent with an invite.
    Joining = 9,
    /// That the last steps of a channel may be missing; of the agent, that the relay may have key packages of others.
    Doubt = 10,
    /// Since when the relay has key packages of the agent's, and of this state alone.
    Stocked = 11,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put {
        kind: Kind,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        kind: Kind,
        key: Vec<u8>,
    },
    /// Deletes every record of the kind whose key is at most this one.
    DeleteThrough {
        kind: Kind,
        key: Vec<u8>,
    },
}

/// A place in the order of a channel's events: the number of the message, and which of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EventKey {
    pub sequence: u64,
    pub part: u32,
}

impl EventKey {
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.sequence.to_be_bytes()[..], &self.part.to_be_bytes()].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sequence, part) = bytes.split_first_chunk::<8>()?;
        let part = part.try_into().ok()?;
        Some(Self { sequence: u64::from_be_bytes(*sequence), part: u32::from_be_bytes(part) })
    }
}

/// By which a caller recognises what became of its request.
pub(crate) type Ticket = u64;

/// Everything that the steps since the last time ask for. Nothing of it may be sent or told before `changes` are stored,
/// all of them together.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub changes: Vec<Change>,
    pub frames: Vec<Bytes>,
    /// Events with a key are stored, and come again until they are acknowledged.
    pub events: Vec<(Option<EventKey>, Event)>,
    /// What callers are told; for what was sequenced, its number.
    pub done: Vec<(Ticket, Result<u64>)>,
    /// Why the stream is of no use: it is given up, and another one opened later.
    pub hang_up: Option<Error>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        let tells = !self.events.is_empty() || !self.done.is_empty();
        self.changes.is_empty() && self.frames.is_empty() && !tells && self.hang_up.is_none()
    }
}
