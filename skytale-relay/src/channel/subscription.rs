//! The subscription of one session to one name.

use std::sync::Arc;

use skytale_core::{ChannelName, Dialect, Envelope, SequenceNumber};

use super::Channel;
use crate::outbound::cursor::{Cursor, LiveChannel};
use crate::outbound::queue::Outbox;
use crate::outbound::session_id::SessionId;

/// A session's outbox, and its cursor on a channel.
#[derive(Debug)]
pub(crate) struct Subscription {
    outbox: Arc<Outbox>,
    cursor: Arc<Cursor>,
}

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what comes next.
    Live,
    /// With what the archive holds after a number.
    After(SequenceNumber),
}

impl Subscription {
    /// Makes a subscription; one that is live begins after `head`.
    pub fn new(
        outbox: Arc<Outbox>,
        channel: &Arc<Channel>,
        dialect: Dialect,
        id: Option<u128>,
        start: Start,
        head: SequenceNumber,
    ) -> Self {
        let live = Arc::downgrade(channel);
        let cursor = match start {
            Start::Live => Cursor::live(live, dialect, id, channel.delivered().max(head)),
            Start::After(number) => Cursor::replaying(live, dialect, id, number),
        };
        Self { outbox, cursor: Arc::new(cursor) }
    }

    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    pub fn cursor(&self) -> &Arc<Cursor> {
        &self.cursor
    }

    pub fn session(&self) -> SessionId {
        self.outbox.session()
    }

    /// Tells whether a message to the channel is for this subscription.
    pub fn wants(&self, envelope: &Envelope) -> bool {
        self.cursor.wants(envelope)
    }
}

impl LiveChannel for Channel {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    fn delivered(&self) -> SequenceNumber {
        Channel::delivered(self)
    }
}
