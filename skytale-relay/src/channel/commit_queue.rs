//! The queue of sessions that lost a commit: each has a lease in which it commits alone.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Channel;
use crate::outbound::queue::Outbox;
use crate::outbound::session_id::SessionId;
use crate::refusal::Standing;

/// The sessions that lost a commit, first come, first served.
///
/// While the first of them has its lease, the commits of all others are refused, so that nobody loses for ever. A member
/// that commits alone never meets this.
#[derive(Debug, Default)]
pub(crate) struct CommitQueue {
    losers: VecDeque<Waiter>,
    /// Until when the first one may commit alone.
    lease: Option<Instant>,
    /// Where the last decision left the group.
    standing: Option<Standing>,
}

/// A session that waits for its turn.
#[derive(Debug)]
struct Waiter {
    session: SessionId,
    outbox: Weak<Outbox>,
    /// When it last tried.
    tried: Instant,
}

/// How long the first one may take.
const LEASE: Duration = Duration::from_secs(2);

/// After how long a session that has not tried again is passed over: it waits for no lease longer than that.
const PATIENCE: Duration = Duration::from_secs(4);

/// The most sessions that wait; further ones take their chance.
const LOSERS: usize = 1_024;

impl CommitQueue {
    /// Returns how long another session's lease lasts at most; `None` where this one may commit.
    pub fn held_by_another(&mut self, session: SessionId, now: Instant) -> Option<Duration> {
        self.pass_over(now);
        let first = self.losers.front()?;
        let lease = self.lease.filter(|_| first.session != session)?;
        Some(lease.saturating_duration_since(now))
    }

    /// Lets a session wait that was refused.
    pub fn join(&mut self, outbox: &Arc<Outbox>, now: Instant) {
        self.pass_over(now);
        let session = outbox.session();
        if let Some(known) = self.losers.iter_mut().find(|loser| loser.session == session) {
            known.tried = now;
            return;
        }
        if self.losers.len() >= LOSERS {
            self.losers.retain(|loser| !loser.has_gone());
        }
        if self.losers.len() < LOSERS {
            self.losers.push_back(Waiter { session, outbox: Arc::downgrade(outbox), tried: now });
            self.pass_over(now);
        }
    }

    /// Notes that a session has committed.
    pub fn leave(&mut self, session: SessionId, now: Instant) {
        if self.losers.front().is_some_and(|first| first.session == session) {
            self.lease = None;
        }
        self.losers.retain(|loser| loser.session != session);
        self.pass_over(now);
    }

    /// Drops the first ones that had their time, have gone, or want nothing more; the next one's lease begins.
    fn pass_over(&mut self, now: Instant) {
        while let Some(first) = self.losers.front() {
            let over = self.lease.is_some_and(|lease| lease <= now);
            let forgotten = self.lease.is_none() && first.tried + PATIENCE <= now;
            if !over && !forgotten && !first.has_gone() {
                self.lease.get_or_insert(now + LEASE);
                return;
            }
            self.losers.pop_front();
            self.lease = None;
        }
    }
}

impl Waiter {
    fn has_gone(&self) -> bool {
        self.outbox.upgrade().is_none_or(|outbox| outbox.has_ended())
    }
}

impl Channel {
    /// Returns how long another session's turn to commit lasts at most; `None` where this one may commit.
    pub fn turn_of_another(&self, session: SessionId) -> Option<Duration> {
        self.commit_queue().held_by_another(session, Instant::now())
    }

    /// Lets a session wait for its turn.
    pub fn await_turn(&self, outbox: &Arc<Outbox>) {
        self.commit_queue().join(outbox, Instant::now());
    }

    /// Returns where the channel's group stands, as far as this process knows.
    pub fn standing(&self) -> Option<Standing> {
        let delivered = self.delivered();
        self.commit_queue()
            .standing
            .map(|standing| Standing { last: standing.last.max(delivered), ..standing })
    }

    pub(super) fn note_winner(&self, session: SessionId, standing: Standing) {
        let mut commit_queue = self.commit_queue();
        commit_queue.standing = Some(standing);
        commit_queue.leave(session, Instant::now());
    }

    pub(super) fn note_loser(&self, outbox: &Arc<Outbox>, standing: Standing) {
        let mut commit_queue = self.commit_queue();
        commit_queue.standing = Some(standing);
        commit_queue.join(outbox, Instant::now());
    }

    fn commit_queue(&self) -> MutexGuard<'_, CommitQueue> {
        self.commit_queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close_reason::CloseReason;
    use crate::limits::Limits;

    fn outbox() -> Arc<Outbox> {
        Arc::new(Outbox::new(&Limits::default()))
    }

    #[test]
    fn the_first_loser_commits_before_the_others() {
        let (mut commit_queue, now) = (CommitQueue::default(), Instant::now());
        let [first, second, third] = [outbox(), outbox(), outbox()];
        assert_eq!(commit_queue.held_by_another(first.session(), now), None, "nobody has lost");
        commit_queue.join(&first, now);
        commit_queue.join(&second, now);
        assert_eq!(commit_queue.held_by_another(first.session(), now), None);
        let later = now + Duration::from_millis(500);
        for other in [&second, &third] {
            assert_eq!(
                commit_queue.held_by_another(other.session(), later),
                Some(Duration::from_millis(1_500))
            );
        }
        commit_queue.leave(first.session(), later);
        assert_eq!(commit_queue.held_by_another(second.session(), later), None);
        assert_eq!(commit_queue.held_by_another(first.session(), later), Some(LEASE));
        commit_queue.leave(second.session(), later);
        assert_eq!(commit_queue.held_by_another(third.session(), later), None, "nobody waits");
    }

    #[test]
    fn a_lease_ends_by_itself() {
        let (mut commit_queue, now) = (CommitQueue::default(), Instant::now());
        let [first, second, third] = [outbox(), outbox(), outbox()];
        commit_queue.join(&first, now);
        commit_queue.join(&second, now);
        let over = now + LEASE;
        assert_eq!(commit_queue.held_by_another(third.session(), over), Some(LEASE), "the second one's");
        assert_eq!(commit_queue.held_by_another(third.session(), over + LEASE), None);
    }

    #[test]
    fn those_that_do_not_try_again_cost_little() {
        let (mut commit_queue, now) = (CommitQueue::default(), Instant::now());
        let losers: Vec<_> = (0..100).map(|_| outbox()).collect();
        losers.iter().for_each(|loser| commit_queue.join(loser, now));
        let committer = outbox();
        let (mut at, mut waited) = (now, Duration::ZERO);
        while let Some(wait) = commit_queue.held_by_another(committer.session(), at) {
            (at, waited) = (at + wait, waited + wait);
        }
        assert_eq!(waited, PATIENCE, "two leases, not a hundred");
    }

    #[test]
    fn a_session_that_ends_gives_up_its_turn() {
        let (mut commit_queue, now) = (CommitQueue::default(), Instant::now());
        let [first, second, third] = [outbox(), outbox(), outbox()];
        for loser in [&first, &second] {
            commit_queue.join(loser, now);
        }
        first.close(CloseReason::ByPeer);
        let session = second.session();
        drop(second);
        assert_eq!(commit_queue.held_by_another(third.session(), now), None, "{session:?} has gone, too");
    }

    #[test]
    fn no_more_wait_than_may() {
        let (mut commit_queue, now) = (CommitQueue::default(), Instant::now());
        let losers: Vec<_> = (0..LOSERS + 10).map(|_| outbox()).collect();
        losers.iter().for_each(|loser| commit_queue.join(loser, now));
        losers.iter().for_each(|loser| commit_queue.join(loser, now));
        assert_eq!(commit_queue.losers.len(), LOSERS);
    }
}
