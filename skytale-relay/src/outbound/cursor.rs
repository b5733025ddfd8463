//! The cursor of one subscription on its channel.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use skytale_core::{ChannelName, Dialect, Envelope, SequenceNumber};

/// A channel as far as a cursor follows it.
pub(crate) trait LiveChannel: fmt::Debug + Send + Sync {
    /// Returns the name under which the archive knows the channel.
    fn name(&self) -> &ChannelName;

    /// Returns the last number whose fan-out has begun.
    fn delivered(&self) -> SequenceNumber;
}

/// The position of a subscription: live while its session keeps up, else reading the archive.
///
/// `last` and `behind` change only under the lock of the outbox.
#[derive(Debug)]
pub(crate) struct Cursor {
    channel: Weak<dyn LiveChannel>,
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

impl Cursor {
    /// Makes a cursor that is live, after `last`.
    pub fn live(
        channel: Weak<dyn LiveChannel>,
        dialect: Dialect,
        id: Option<u128>,
        last: SequenceNumber,
    ) -> Self {
        Self {
            channel,
            dialect,
            id,
            last: last.0.into(),
            given: 0.into(),
            behind: false.into(),
            replaying: false.into(),
            ended: false.into(),
        }
    }

    /// Makes a cursor that reads the archive first, after `number`.
    pub fn replaying(
        channel: Weak<dyn LiveChannel>,
        dialect: Dialect,
        id: Option<u128>,
        number: SequenceNumber,
    ) -> Self {
        let live = Self::live(channel, dialect, id, number);
        Self { given: number.0.into(), behind: true.into(), replaying: true.into(), ..live }
    }

    /// Returns the channel, unless the subscription has ended.
    pub fn channel(&self) -> Option<Arc<dyn LiveChannel>> {
        self.channel.upgrade().filter(|_| !self.ended.load(Ordering::Relaxed))
    }

    /// Ends it, so that its channel is read no further.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
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

    /// Returns the number up to which everything was given or passed over.
    pub fn last(&self) -> SequenceNumber {
        SequenceNumber(self.last.load(Ordering::Relaxed))
    }

    /// Tells whether it reads the archive.
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Tells whether it still reads what was archived before it began.
    pub fn is_replaying(&self) -> bool {
        self.replaying.load(Ordering::Relaxed)
    }

    /// Notes that everything up to a number was given or passed over.
    pub fn reach(&self, number: SequenceNumber) {
        self.last.fetch_max(number.0, Ordering::Relaxed);
    }

    /// Notes that a message is on its way, and returns the number of the one before.
    pub fn give(&self, number: SequenceNumber) -> SequenceNumber {
        SequenceNumber(self.given.swap(number.0, Ordering::Relaxed))
    }

    /// Falls back to the archive, from before `missed` on.
    pub fn fall_behind(&self, missed: SequenceNumber) {
        self.reach(SequenceNumber(missed.0.saturating_sub(1)));
        self.behind.store(true, Ordering::Relaxed);
    }

    /// Goes live again, if nothing was fanned out beyond what was read.
    pub fn rejoin(&self, channel: &dyn LiveChannel) -> bool {
        let current = self.last().0 >= channel.delivered().0;
        if current {
            self.behind.store(false, Ordering::Relaxed);
            self.replaying.store(false, Ordering::Relaxed);
        }
        current
    }
}
