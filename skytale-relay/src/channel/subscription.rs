//! One session's subscription to one name, and how far it has got.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use skytale_core::{Dialect, Envelope, SequenceNumber};

use super::Channel;
use crate::outbound::queue::{Outbox, SessionId};

/// A cursor on a channel: live while its session keeps up, else reading the archive.
///
/// `last` and `behind` change only under the lock of the outbox.
#[derive(Debug)]
pub(crate) struct Subscription {
    outbox: Arc<Outbox>,
    channel: Weak<Channel>,
    dialect: Dialect,
    /// The instance subscribed; `None` is the name without an id.
    id: Option<u128>,
    last: AtomicU64,
    /// The last number that was put on its way.
    given: AtomicU64,
    behind: AtomicBool,
    /// Whether it still reads what was archived before it began.
    replaying: AtomicBool,
    ended: AtomicBool,
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
        let (last, given, behind) = match start {
            Start::Live => (channel.delivered().max(head).0, 0, false),
            Start::After(number) => (number.0, number.0, true),
        };
        Self {
            outbox,
            channel: Arc::downgrade(channel),
            dialect,
            id,
            last: last.into(),
            given: given.into(),
            behind: behind.into(),
            replaying: behind.into(),
            ended: false.into(),
        }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Returns the channel, unless the subscription has ended.
    pub(crate) fn channel(&self) -> Option<Arc<Channel>> {
        self.channel.upgrade().filter(|_| !self.ended.load(Ordering::Relaxed))
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub fn session(&self) -> SessionId {
        self.outbox.session()
    }

    /// Tells whether a message to the channel is for this subscription.
    ///
    /// A message to an instance is for the subscriptions to that instance, one without an id for all.
    pub fn wants(&self, envelope: &Envelope) -> bool {
        let Some(publish) = envelope.publish().filter(|_| envelope.dialect() == self.dialect) else {
            return false;
        };
        let wanted = publish.header.destination.name.id;
        wanted.is_none() || wanted == self.id
    }

    pub fn last(&self) -> SequenceNumber {
        SequenceNumber(self.last.load(Ordering::Relaxed))
    }

    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Tells whether it still reads what was archived before it began.
    pub(crate) fn is_replaying(&self) -> bool {
        self.replaying.load(Ordering::Relaxed)
    }

    pub(crate) fn reach(&self, number: SequenceNumber) {
        self.last.fetch_max(number.0, Ordering::Relaxed);
    }

    /// Notes that a message is on its way, and returns the number of the one before.
    pub(crate) fn give(&self, number: SequenceNumber) -> SequenceNumber {
        SequenceNumber(self.given.swap(number.0, Ordering::Relaxed))
    }

    /// Falls back to the archive, from before `missed` on.
    pub(crate) fn fall_behind(&self, missed: SequenceNumber) {
        self.reach(SequenceNumber(missed.0.saturating_sub(1)));
        self.behind.store(true, Ordering::Relaxed);
    }

    /// Goes live again, if nothing was fanned out beyond what this subscription has read.
    pub(crate) fn rejoin(&self, channel: &Channel) -> bool {
        let current = self.last().0 >= channel.delivered().0;
        if current {
            self.behind.store(false, Ordering::Relaxed);
            self.replaying.store(false, Ordering::Relaxed);
        }
        current
    }
}
