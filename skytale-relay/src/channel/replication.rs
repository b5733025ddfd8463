//! Replication of a channel between relays: subscribers are given every record of the log in the order of the numbers,
//! whichever relay appended it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt;
use skytale_core::{ChannelName, Envelope, SequenceNumber};
use skytale_store::{Delivery, Record, Store, StoreError};
use tokio::task::AbortHandle;

use super::Channel;
use super::registry::Registry;
use crate::cluster::Cluster;
use crate::envelope::{is_for_any_instance, is_for_any_one, reread};
use crate::outbound::session_id::SessionId;

/// A channel's part in a cluster.
#[derive(Debug)]
pub(crate) struct LogFollower {
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
    /// What this relay's own sessions sent after that, and is not archived.
    held: VecDeque<HeldMessage>,
    /// What other relays forward, and is to come after records that this one has not read yet.
    arrived: VecDeque<HeldMessage>,
    /// The bytes of all frames that wait.
    bytes: usize,
}

/// A message that is not archived (or was, under `number`), and the record that its sender sent before it.
#[derive(Debug)]
struct HeldMessage {
    after: SequenceNumber,
    number: Option<SequenceNumber>,
    envelope: Arc<Envelope>,
    from: SessionId,
}

/// How many records of this relay's own may be ahead of those of others; beyond, subscribers read the archive.
const AHEAD: usize = 4_096;

/// How many messages of either kind may wait for a record; beyond, the first of them do not.
const HELD: usize = 1_024;

/// How many bytes of a channel may wait in all.
const BYTES: usize = 16 * 1024 * 1024;

/// How long to wait before the log is followed again after it failed.
const RETRY: Duration = Duration::from_millis(250);

impl LogFollower {
    pub fn new(cluster: Cluster) -> Self {
        let (state, starting) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { cluster, state, starting, follower: OnceLock::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LogFollower {
    fn drop(&mut self) {
        if let Some(follower) = self.follower.get() {
            follower.abort();
        }
    }
}

impl Channel {
    /// Learns where the archive ends, and follows it if others append to it: what is appended once this has returned
    /// reaches who is subscribed.
    ///
    /// Returns the last number that had been appended.
    pub async fn attend(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        store: &Arc<dyn Store>,
    ) -> Result<SequenceNumber, StoreError> {
        let Some(log_follower) = &self.log_follower else { return self.begin(&**store).await };
        let store = store.clone();
        let _starting = log_follower.starting.lock().await;
        let was_followed = std::mem::replace(&mut log_follower.state().followed, true);
        let head = store.head(&self.name).await;
        let mut state = log_follower.state();
        state.followed = was_followed || head.is_ok();
        if was_followed || head.is_err() {
            self.go_on(log_follower, &mut state);
            return head.map(|head| head.last);
        }
        let last = head?.last;
        self.reach(last);
        self.go_on(log_follower, &mut state);
        let after = self.delivered();
        drop(state);
        let follower =
            follow(Arc::downgrade(self), Arc::downgrade(registry), store, self.name.clone(), after);
        let _ = log_follower.follower.set(tokio::spawn(follower).abort_handle());
        Ok(last)
    }

    /// Fans out what this relay appended, once records of others that come before were, and returns how many sessions it
    /// is for.
    pub(super) fn deliver(&self, envelope: &Arc<Envelope>, number: SequenceNumber, from: SessionId) -> usize {
        let Some(log_follower) = &self.log_follower else {
            self.recover_before(number);
            return self.fan_out(envelope, number, from);
        };
        let mut state = log_follower.state();
        let next = self.delivered().next();
        if !state.followed || number == next {
            let sessions = self.fan_out_own(log_follower, envelope, number, from);
            self.go_on(log_follower, &mut state);
            return sessions;
        }
        state.bytes += envelope.frame().len();
        state.ahead.insert(number, (envelope.clone(), from));
        if state.ahead.len() > AHEAD || state.bytes > BYTES {
            self.skip(log_follower, &mut state, number);
        } else {
            self.go_on(log_follower, &mut state);
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
        let Some(log_follower) = &self.log_follower else { return self.forward_here(envelope, number, from) };
        let mut state = log_follower.state();
        let after = state.ahead.last_key_value().map(|(number, _)| *number);
        if after.is_none() && state.held.is_empty() {
            return self.forward_everywhere(log_follower, envelope, number, from);
        }
        let after = after.unwrap_or_default();
        state.bytes += envelope.frame().len();
        state.held.push_back(HeldMessage { after, number, envelope: envelope.clone(), from });
        self.release(log_follower, &mut state);
        1
    }

    /// Takes what another relay forwards; it waits for the record that its sender sent before it.
    pub(super) fn arrive(
        &self,
        after: SequenceNumber,
        number: Option<SequenceNumber>,
        envelope: Arc<Envelope>,
    ) {
        let Some(log_follower) = &self.log_follower else { return };
        let mut state = log_follower.state();
        state.bytes += envelope.frame().len();
        state.arrived.push_back(HeldMessage { after, number, envelope, from: SessionId::NOBODY });
        self.release(log_follower, &mut state);
    }

    /// Fans out a record that the log brought, unless it was already.
    async fn take_record(&self, log_follower: &LogFollower, record: Record) {
        // Only then is it known which records are this relay's own.
        self.appends.begun_before_now().await;
        let mut state = log_follower.state();
        let number = record.sequence;
        if number <= self.delivered() {
            return;
        }
        match state.ahead.remove(&number) {
            Some((envelope, from)) => {
                state.bytes -= envelope.frame().len();
                self.fan_out_own(log_follower, &envelope, number, from);
            }
            None => match reread(record.body, record.dialect, record.message_id) {
                Some(envelope) => self.fan_out_of_others(&Arc::new(envelope), number),
                None => self.reach(number),
            },
        }
        self.go_on(log_follower, &mut state);
    }

    /// Fans out what waited for the record before it. What somebody was to be chosen for is given to him though subscribers
    /// have read on.
    fn go_on(&self, log_follower: &LogFollower, state: &mut State) {
        while let Some(first) = state.ahead.first_entry()
            && (*first.key() <= self.delivered().next() || !state.followed)
        {
            let (number, (envelope, from)) = first.remove_entry();
            state.bytes -= envelope.frame().len();
            if number > self.delivered() || is_for_any_instance(&envelope) {
                self.fan_out_own(log_follower, &envelope, number, from);
            }
        }
        self.release(log_follower, state);
    }

    fn release(&self, log_follower: &LogFollower, state: &mut State) {
        let (delivered, followed) = (self.delivered(), state.followed);
        let may_go = |held: &HeldMessage, waiting: usize, bytes: usize| {
            held.after <= delivered || !followed || waiting > HELD || bytes > BYTES
        };
        while let Some(first) = state.held.front()
            && may_go(first, state.held.len(), state.bytes)
            && let Some(HeldMessage { number, envelope, from, .. }) = state.held.pop_front()
        {
            state.bytes -= envelope.frame().len();
            self.forward_everywhere(log_follower, &envelope, number, from);
        }
        while let Some(first) = state.arrived.front()
            && may_go(first, state.arrived.len(), state.bytes)
            && let Some(HeldMessage { number, envelope, from, .. }) = state.arrived.pop_front()
        {
            state.bytes -= envelope.frame().len();
            self.forward_here(&envelope, number, from);
        }
    }

    fn forward_everywhere(
        &self,
        log_follower: &LogFollower,
        envelope: &Arc<Envelope>,
        number: Option<SequenceNumber>,
        from: SessionId,
    ) -> usize {
        let sessions = self.forward_here(envelope, number, from);
        let reach = if is_for_any_one(envelope) { Delivery::AnyOne } else { Delivery::All };
        if reach == Delivery::All || sessions == 0 {
            let after = self.delivered().max(number.unwrap_or_default());
            log_follower.cluster.forward(reach, envelope, number, after);
        }
        sessions
    }

    /// Fans out what this relay appended. What is for any one goes to another relay if nobody here takes it.
    fn fan_out_own(
        &self,
        log_follower: &LogFollower,
        envelope: &Arc<Envelope>,
        number: SequenceNumber,
        from: SessionId,
    ) -> usize {
        let sessions = self.fan_out(envelope, number, from);
        if sessions == 0 && is_for_any_instance(envelope) {
            log_follower.cluster.forward(Delivery::AnyOne, envelope, Some(number), self.delivered());
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
    fn skip(&self, log_follower: &LogFollower, state: &mut State, number: SequenceNumber) {
        let missed = self.delivered().next();
        self.reach(number);
        self.let_lag(missed);
        self.go_on(log_follower, state);
    }
}

/// Brings a channel what is appended to the log, until the channel is gone.
async fn follow(
    channel: Weak<Channel>,
    registry: Weak<Registry>,
    store: Arc<dyn Store>,
    name: ChannelName,
    mut after: SequenceNumber,
) {
    loop {
        let mut records = store.follow(&name, after);
        while let Some(record) = records.next().await {
            let (Some(channel), Some(registry)) = (channel.upgrade(), registry.upgrade()) else { return };
            let Some(log_follower) = &channel.log_follower else { return };
            let failed = match record {
                Ok(record) => {
                    after = record.sequence;
                    channel.take_record(log_follower, record).await;
                    None
                }
                Err(error) => {
                    if let StoreError::Gone { floor } = error {
                        after = floor;
                        channel.skip(log_follower, &mut log_follower.state(), floor);
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
