//! Fan-out of a message to the sessions that it is for. Nothing here waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skytale_core::{Envelope, SequenceNumber};
use smallvec::SmallVec;

use super::Channel;
use super::subscription::Subscription;
use crate::envelope::{is_for_any_instance, is_for_any_one};
use crate::outbound::session_id::SessionId;

impl Channel {
    /// Fans out an archived message, and returns how many sessions it is for.
    pub(super) fn fan_out(&self, envelope: &Arc<Envelope>, number: SequenceNumber, from: SessionId) -> usize {
        self.reach(number);
        let subscriptions = self.subscriptions.load();
        tell_own(&subscriptions, envelope, number, from);
        if is_for_any_instance(envelope) {
            // Whoever reads the archive could not know that it was chosen, so the message itself is queued.
            return self.choose(&subscriptions, envelope, from).map_or(0, |chosen| {
                chosen.outbox().offer_unarchived(envelope, Some(number));
                1
            });
        }
        for_each_session(&subscriptions, envelope, from, |subscription, first| {
            if first {
                subscription.outbox().offer_archived(subscription.cursor(), envelope, number);
            } else {
                subscription.outbox().pass(subscription.cursor(), number);
            }
        })
    }

    /// Fans out a message that is not archived (or was, under `number`), and returns how many sessions it is for.
    pub(super) fn forward_here(
        &self,
        envelope: &Arc<Envelope>,
        number: Option<SequenceNumber>,
        from: SessionId,
    ) -> usize {
        let subscriptions = self.subscriptions.load();
        if is_for_any_one(envelope) {
            return self.choose(&subscriptions, envelope, from).map_or(0, |chosen| {
                chosen.outbox().offer_unarchived(envelope, number);
                1
            });
        }
        for_each_session(&subscriptions, envelope, from, |subscription, first| {
            if first {
                subscription.outbox().offer_unarchived(envelope, number);
            }
        })
    }

    /// Lets everybody who is subscribed read the archive, from before `missed` on.
    pub(super) fn let_lag(&self, missed: SequenceNumber) {
        for subscription in self.subscriptions.load().iter() {
            subscription.outbox().let_lag(subscription.cursor(), missed);
        }
    }

    /// Picks one of those the message is for, in turn; those that keep up go first.
    fn choose<'a>(
        &self,
        subscriptions: &'a [Arc<Subscription>],
        envelope: &Envelope,
        from: SessionId,
    ) -> Option<&'a Arc<Subscription>> {
        let wanting = |subscription: &&Arc<Subscription>| {
            subscription.session() != from && subscription.wants(envelope)
        };
        let mut candidates: SmallVec<[&Arc<Subscription>; 8]> =
            subscriptions.iter().filter(wanting).collect();
        if candidates.len() > 1 && candidates.iter().any(|candidate| !candidate.cursor().is_behind()) {
            candidates.retain(|candidate| !candidate.cursor().is_behind());
        }
        match candidates.len() {
            0 => None,
            1 => Some(candidates[0]),
            count => Some(candidates[self.next_receiver.fetch_add(1, Ordering::Relaxed) % count]),
        }
    }
}

/// Tells a session that is subscribed to what it publishes to which place its message has.
fn tell_own(
    subscriptions: &[Arc<Subscription>],
    envelope: &Envelope,
    number: SequenceNumber,
    from: SessionId,
) {
    let first = subscriptions.partition_point(|subscription| subscription.session() < from);
    let mut own = subscriptions[first..].iter().take_while(|subscription| subscription.session() == from);
    if let Some(own) = own.find(|own| own.wants(envelope)) {
        own.outbox().offer_own(own.cursor(), envelope.message_id(), number);
    }
}

/// Calls `offer` for every subscription the message is for, and says whether it is its session's first.
fn for_each_session(
    subscriptions: &[Arc<Subscription>],
    envelope: &Envelope,
    from: SessionId,
    mut offer: impl FnMut(&Arc<Subscription>, bool),
) -> usize {
    let (mut sessions, mut last) = (0, None);
    for subscription in subscriptions {
        let session = subscription.session();
        if session == from || !subscription.wants(envelope) {
            continue;
        }
        let first = last != Some(session);
        offer(subscription, first);
        sessions += usize::from(first);
        last = Some(session);
    }
    sessions
}
