//! Keeps a channel in step with other relays: its subscribers are given every record, whoever appended it, in the order of
//! the numbers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt;
use skytale_core::{Envelope, SequenceNumber};
use skytale_store::{Reach, Record, Store, StoreError};
use tokio::task::AbortHandle;

use super::fanout::{is_for_any_instance, is_for_any_one};
use super::{Channel, Registry, SessionId, reread};
use crate::cluster::Cluster;

/// A channel's part in a cluster.
#[derive(Debug)]
pub(super) struct Membership {
    cluster: Cluster,
    state: Mutex<State>,
    starting: tokio::sync::Mutex<()>,
    follower: OnceLock<AbortHandle>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the log is followed. Else nobody is subscribed, and what this relay appends is for nobody here.
    followed: bool,
    /// What this relay appended beyond records of others that it has not read yet.
    ahead: BTreeMap<SequenceNumber, (Arc<Envelope>, SessionId)>,
    /// What is not archived, and has to wait for a record.
    held: VecDeque<Held>,
}

/// A message that is not archived (or was, under `number`), and the record that its sender sent before it.
#[derive(Debug)]
struct Held {
    after: SequenceNumber,
    number: Option<SequenceNumber>,
    envelope: Arc<Envelope>,
    from: SessionId,
}

/// How many records of this relay's own may be ahead of those of others; beyond, subscribers read the archive.
const AHEAD: usize = 4_096;

/// How many messages may wait for a record; beyond, they do not.
const HELD: usize = 1_024;

/// How long to wait before the log is followed again after it failed.
const RETRY: Duration = Duration::from_millis(250);

impl Membership {
    pub fn new(cluster: Cluster) -> Self {
        let (state, starting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { cluster, state, starting, follower: OnceLock::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.get() {
            follower.abort();
        }
    }
}

impl Channel {
    /// Follows the log, if others append to it: what is appended once this has returned reaches who is subscribed.
    pub async fn attend(self: &Arc<Self>, registry: &Arc<Registry>) -> Result<(), StoreError> {
        let Some(membership) = &self.membership else { return Ok(()) };
        let _starting = membership.starting.lock().await;
        if std::mem::replace(&mut membership.state().followed, true) {
            return Ok(());
        }
        let store = membership.cluster.store.clone();
        let head = match store.head(&self.name).await {
            Ok(head) => head,
            Err(error) => {
                *membership.state() = State::default();
                return Err(error);
            }
        };
        let after = {
            let mut state = membership.state();
            self.reach(head.last);
            self.go_on(membership, &mut state);
            self.delivered()
        };
        let follower = follow(Arc::downgrade(self), Arc::downgrade(registry), store, after);
        let _ = membership.follower.set(tokio::spawn(follower).abort_handle());
        Ok(())
    }

    /// Fans out what this relay appended, once records of others that come before were, and returns how many sessions it
    /// is for.
    pub(super) fn deliver(&self, envelope: &Arc<Envelope>, number: SequenceNumber, from: SessionId) -> usize {
        let Some(membership) = &self.membership else { return self.fan_out(envelope, number, from) };
        let mut state = membership.state();
        let next = self.delivered().next();
        if !state.followed || number == next {
            let sessions = self.fan_out_own(membership, envelope, number, from);
            self.go_on(membership, &mut state);
            return sessions;
        }
        if number > next {
            state.ahead.insert(number, (envelope.clone(), from));
        }
        if state.ahead.len() > AHEAD {
            state.ahead.clear();
            self.skip(membership, &mut state, number);
        }
        1
    }

    /// Gives a message that is not archived (or was, under `number`) to those it is for, on every relay, and returns how
    /// many sessions that are here.
    pub fn forward(
        &self,
        envelope: &Arc<Envelope>,
        number: Option<SequenceNumber>,
        from: SessionId,
    ) -> usize {
        let Some(membership) = &self.membership else { return self.forward_here(envelope, number, from) };
        let mut state = membership.state();
        let Some((&after, _)) = state.ahead.last_key_value() else {
            return self.forward_everywhere(membership, envelope, number, from);
        };
        state.held.push_back(Held { after, number, envelope: envelope.clone(), from });
        self.release(membership, &mut state);
        1
    }

    /// Takes what another relay forwards; it waits for the record that its sender sent before it.
    pub(super) fn arrive(
        &self,
        after: SequenceNumber,
        number: Option<SequenceNumber>,
        envelope: Arc<Envelope>,
    ) {
        let Some(membership) = &self.membership else { return };
        let mut state = membership.state();
        state.held.push_back(Held { after, number, envelope, from: SessionId::NOBODY });
        self.release(membership, &mut state);
    }

    /// Fans out a record that the log brought, unless it was already.
    async fn take_record(&self, membership: &Membership, record: Record) {
        // Only then is it known which records are this relay's own.
        self.appends.begun_before_now().await;
        let mut state = membership.state();
        let number = record.sequence;
        if number <= self.delivered() {
            return;
        }
        match state.ahead.remove(&number) {
            Some((envelope, from)) => {
                self.fan_out_own(membership, &envelope, number, from);
            }
            None => match reread(record.body, record.dialect, record.message_id) {
                Some(envelope) => self.fan_out_of_others(&Arc::new(envelope), number),
                None => self.reach(number),
            },
        }
        self.go_on(membership, &mut state);
    }

    /// Fans out what waited for the record before it.
    fn go_on(&self, membership: &Membership, state: &mut State) {
        while let Some(first) = state.ahead.first_entry()
            && *first.key() <= self.delivered().next()
        {
            let (number, (envelope, from)) = first.remove_entry();
            if number > self.delivered() {
                self.fan_out_own(membership, &envelope, number, from);
            }
        }
        self.release(membership, state);
    }

    fn release(&self, membership: &Membership, state: &mut State) {
        let too_many = state.held.len() > HELD;
        while let Some(first) = state.held.front()
            && (first.after <= self.delivered() || too_many || !state.followed)
        {
            let Some(Held { number, envelope, from, .. }) = state.held.pop_front() else { return };
            if from == SessionId::NOBODY {
                self.forward_here(&envelope, number, from);
            } else {
                self.forward_everywhere(membership, &envelope, number, from);
            }
        }
    }

    fn forward_everywhere(
        &self,
        membership: &Membership,
        envelope: &Arc<Envelope>,
        number: Option<SequenceNumber>,
        from: SessionId,
    ) -> usize {
        let sessions = self.forward_here(envelope, number, from);
        let reach = if is_for_any_one(envelope) { Reach::AnyOne } else { Reach::All };
        if reach == Reach::All || sessions == 0 {
            membership.cluster.forward(reach, envelope, number, self.delivered());
        }
        sessions
    }

    /// Fans out what this relay appended. What is for any one goes to another relay if nobody here takes it.
    fn fan_out_own(
        &self,
        membership: &Membership,
        envelope: &Arc<Envelope>,
        number: SequenceNumber,
        from: SessionId,
    ) -> usize {
        let sessions = self.fan_out(envelope, number, from);
        if sessions == 0 && is_for_any_instance(envelope) {
            membership.cluster.forward(Reach::AnyOne, envelope, Some(number), self.delivered());
        }
        sessions
    }

    /// Fans out what another relay appended. Who gets what is for any one, that relay has decided.
    fn fan_out_of_others(&self, envelope: &Arc<Envelope>, number: SequenceNumber) {
        if is_for_any_instance(envelope) {
            self.reach(number);
        } else {
            self.fan_out(envelope, number, SessionId::NOBODY);
        }
    }

    /// Goes on after a number; who is subscribed reads what comes before in the archive.
    fn skip(&self, membership: &Membership, state: &mut State, number: SequenceNumber) {
        let missed = self.delivered().next();
        self.reach(number);
        self.let_lag(missed);
        self.go_on(membership, state);
    }
}

/// Brings a channel what is appended to the log, until the channel is gone.
async fn follow(
    channel: Weak<Channel>,
    registry: Weak<Registry>,
    store: Arc<dyn Store>,
    mut after: SequenceNumber,
) {
    loop {
        let Some(name) = channel.upgrade().map(|channel| channel.name.clone()) else { return };
        let mut records = store.follow(&name, after);
        while let Some(record) = records.next().await {
            let (Some(channel), Some(registry)) = (channel.upgrade(), registry.upgrade()) else { return };
            let Some(membership) = &channel.membership else { return };
            let failed = match record {
                Ok(record) => {
                    after = record.sequence;
                    channel.take_record(membership, record).await;
                    None
                }
                Err(error) => {
                    if let StoreError::Gone { floor } = error {
                        after = floor;
                        channel.skip(membership, &mut membership.state(), floor);
                    }
                    Some(error)
                }
            };
            registry.close_if_unused(channel);
            if let Some(error) = failed {
                tracing::warn!(error = &error as &dyn std::error::Error, "the log could not be followed");
                break;
            }
        }
        drop(records);
        tokio::time::sleep(RETRY).await;
    }
}
