//! The sequencer of a channel: appends messages in batches, and delivers them in the order of their numbers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Waker};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use skytale_store::{AppendOutcome, NewRecord, Precondition, StoreError};
use tokio::sync::Notify;

use super::Channel;
use super::append::{AppendRequest, Appending};
use super::append_condition::AppendCondition;
use crate::close_reason::CloseReason;
use crate::refusal::{Standing, archived, refused};
use crate::telemetry::Meter;

/// What waits to be appended, and whether somebody is at it.
#[derive(Debug, Default)]
pub(super) struct AppendQueue {
    items: VecDeque<AppendRequest>,
    busy: bool,
}

impl AppendQueue {
    fn take(&mut self) -> Option<Vec<AppendRequest>> {
        let first = self.items.front()?.precondition();
        let alike = |item: &&AppendRequest| item.precondition() == first && !item.precondition().advances();
        let count = self.items.iter().take(BATCH).take_while(alike).count().max(1);
        Some(self.items.drain(..count).collect())
    }
}

/// The most messages of one append.
const BATCH: usize = 256;

/// How many appends are on their way at once, where the store keeps their order.
const AT_ONCE: usize = 2;

/// How many messages have to wait for a further append to be worth its while.
const WORTHWHILE: usize = 96;

/// Counts a channel's appends, so that what comes back from the log can wait until it is known who appended it.
#[derive(Debug, Default)]
pub(super) struct AppendCounter {
    begun: AtomicU64,
    concluded: AtomicU64,
    changed: Notify,
}

/// An append whose outcome is not yet known, or not yet acted on.
struct PendingAppend<'a>(&'a AppendCounter);

/// A batch with what became of it.
struct Archived<'a> {
    batch: Vec<AppendRequest>,
    outcome: Result<Vec<AppendOutcome>, StoreError>,
    _pending: PendingAppend<'a>,
}

impl AppendCounter {
    fn begin(&self) -> PendingAppend<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        PendingAppend(self)
    }

    /// Waits until every append is concluded that has begun; they are concluded in their order.
    pub async fn begun_before_now(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.concluded.load(Ordering::SeqCst) >= begun {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for PendingAppend<'_> {
    fn drop(&mut self) {
        self.0.concluded.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Channel {
    /// Appends messages and then delivers them.
    ///
    /// The caller does the work itself if the store is at once ready; else a task goes on with it. Either way one at a
    /// time, so that messages are delivered in the order of their numbers.
    pub fn submit(self: &Arc<Self>, items: impl IntoIterator<Item = AppendRequest>, appending: &Appending) {
        {
            let mut queue = self.append_queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.items.extend(items);
            if queue.busy {
                if queue.items.len() >= WORTHWHILE {
                    self.many_wait.notify_one();
                }
                return;
            }
            queue.busy = true;
        }
        let mut work = Box::pin(self.clone().work(appending.clone()));
        let at_once = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if at_once.is_pending() {
            tokio::spawn(work);
        }
    }

    async fn work(self: Arc<Self>, appending: Appending) {
        let in_order = appending.store.preserves_append_order();
        while let Some(mut batch) = self.next_batch() {
            if in_order && is_unconditional(batch.first()) {
                self.append_several(batch, &appending).await;
                continue;
            }
            self.refuse_fenced(&mut batch, &appending.meter);
            let excess = self.take_excess(&mut batch, appending.proposals);
            if !batch.is_empty() {
                self.append(batch, &appending).await;
            }
            self.decide_excess(excess, &appending).await;
        }
    }

    /// Appends messages that only want a number, and more of them meanwhile, as long as many wait.
    async fn append_several(&self, first: Vec<AppendRequest>, appending: &Appending) {
        let mut on_their_way = FuturesOrdered::new();
        on_their_way.push_back(self.archive(first, appending));
        while !on_their_way.is_empty() {
            let has_room = on_their_way.len() < AT_ONCE;
            tokio::select! {
                biased;
                Some(archived) = on_their_way.next() => self.conclude(archived, appending).await,
                () = self.many_wait.notified(), if has_room => {
                    on_their_way.extend(self.next_unconditional().map(|batch| self.archive(batch, appending)));
                }
            }
        }
    }

    async fn append(&self, batch: Vec<AppendRequest>, appending: &Appending) {
        let archived = self.archive(batch, appending).await;
        self.conclude(archived, appending).await;
    }

    async fn archive(&self, batch: Vec<AppendRequest>, appending: &Appending) -> Archived<'_> {
        let pending = self.appends.begin();
        let (records, precondition) = records(&batch);
        let outcome = appending.store.append(&self.name, records, precondition).await;
        Archived { batch, outcome, _pending: pending }
    }

    async fn conclude(&self, archived: Archived<'_>, appending: &Appending) {
        let Archived { batch, outcome, _pending } = archived;
        match outcome {
            Ok(outcomes) => self.settle(batch, outcomes, appending),
            Err(error) if is_conflict(&error) && batch.len() > 1 => {
                drop(_pending);
                self.decide_each(batch, appending).await;
            }
            Err(error) => self.refuse(batch, error, &appending.meter),
        }
    }

    /// Appends one by one: of messages that are refused together, repetitions were accepted before.
    pub(super) async fn decide_each(&self, batch: Vec<AppendRequest>, appending: &Appending) {
        for item in batch {
            let mut batch = vec![item];
            self.refuse_fenced(&mut batch, &appending.meter);
            if batch.is_empty() {
                continue;
            }
            let Archived { batch, outcome, _pending } = self.archive(batch, appending).await;
            match outcome {
                Ok(outcomes) => self.settle(batch, outcomes, appending),
                Err(error) => self.refuse(batch, error, &appending.meter),
            }
        }
    }

    /// Refuses what would overtake a message that was not archived.
    fn refuse_fenced(&self, batch: &mut Vec<AppendRequest>, meter: &Meter) {
        let is_fenced = |item: &mut AppendRequest| {
            item.in_turn().is_some_and(|id| self.send_fences.has(item.publisher.session(), id))
        };
        let fenced: Vec<_> = batch.extract_if(.., is_fenced).collect();
        if !fenced.is_empty() {
            self.refuse(fenced, StoreError::unavailable("a message before it was not archived"), meter);
        }
    }

    /// Takes one commit, or all messages of which the same must hold; nothing more is left when it returns `None`.
    fn next_batch(&self) -> Option<Vec<AppendRequest>> {
        let mut queue = self.append_queue.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = queue.take();
        queue.busy = batch.is_some();
        batch
    }

    /// Takes messages that only want a number, if they come next.
    fn next_unconditional(&self) -> Option<Vec<AppendRequest>> {
        let mut queue = self.append_queue.lock().unwrap_or_else(PoisonError::into_inner);
        if is_unconditional(queue.items.front()) { queue.take() } else { None }
    }

    pub(super) fn settle(
        &self,
        batch: Vec<AppendRequest>,
        outcomes: Vec<AppendOutcome>,
        appending: &Appending,
    ) {
        let (meter, durability) = (&appending.meter, appending.store.durability());
        let mut delivered = 0;
        for (item, outcome) in batch.into_iter().zip(outcomes) {
            let from = item.publisher.session();
            let number = outcome.sequence();
            let is_new = matches!(outcome, AppendOutcome::Appended(_)) || self.has_overlooked(number);
            if let (true, Some(made_in)) = (is_new, item.commits_in()) {
                // Noted before anybody can know of it, so that who commits next meets no turn that is over.
                self.note_winner(from, Standing { epoch: made_in + 1, winner: number, last: number });
            }
            let sessions = if is_new {
                self.count_proposal(&item);
                self.deliver(&item.envelope, number, from)
            } else if item.request.is_none() {
                self.forward(&item.envelope, Some(number), from)
            } else {
                1
            };
            if let Some(request) = item.request {
                let repeated = matches!(outcome, AppendOutcome::Duplicate(_));
                item.publisher.answer(request, archived(number, repeated, durability));
            }
            if sessions == 0 {
                meter.unroutable.increment(1);
            }
            delivered += 1;
            if let Some(done) = item.done {
                let _ = done.send(Ok(outcome));
            }
        }
        meter.archived.increment(delivered);
    }

    /// Tells publishers that nothing was appended: a lost commit its own, a failed archive everybody.
    pub(super) fn refuse(&self, batch: Vec<AppendRequest>, error: StoreError, meter: &Meter) {
        let conflict = is_conflict(&error);
        if let Some(standing) = Standing::of(&error) {
            self.recover_before(standing.last.next());
        }
        for item in &batch {
            if let (Some(made_in), Some(standing)) = (item.commits_in(), Standing::of(&error))
                && made_in < standing.epoch
            {
                self.note_loser(&item.publisher, standing);
            }
            if let Some(request) = item.request {
                let made_in = item.condition.as_ref().and_then(AppendCondition::epoch);
                item.publisher.answer(request, refused(&error, made_in));
            }
            if let (false, Some(id)) = (conflict, item.in_turn()) {
                self.send_fences.hold(item.publisher.session(), id);
            }
        }
        if conflict {
            meter.refused_commits.increment(1);
        } else {
            tracing::error!(error = &error as &dyn std::error::Error, "messages could not be archived");
            let slim = batch.iter().filter(|item| item.request.is_none());
            slim.for_each(|item| item.publisher.close(CloseReason::ArchiveUnavailable));
        }
        let mut error = Some(error);
        for done in batch.into_iter().filter_map(|item| item.done) {
            let told = error.take().unwrap_or_else(|| StoreError::unavailable("told to another"));
            let _ = done.send(Err(told));
        }
    }
}

fn is_unconditional(item: Option<&AppendRequest>) -> bool {
    item.is_some_and(|item| *item.precondition() == Precondition::Any)
}

fn is_conflict(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict { .. } | StoreError::OtherGroup)
}

fn records(batch: &[AppendRequest]) -> (Vec<NewRecord>, Precondition) {
    let record = |item: &AppendRequest| NewRecord {
        dialect: item.envelope.dialect(),
        message_id: item.condition.as_ref().and_then(|condition| condition.message_id),
        body: Bytes::clone(item.envelope.frame()),
        account: item.account.clone(),
    };
    let precondition = batch.first().map_or(&Precondition::Any, AppendRequest::precondition).clone();
    (batch.iter().map(record).collect(), precondition)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::limits::proposal_limits::ProposalLimits;

    #[test]
    fn work_needs_no_runtime_where_the_store_is_ready() {
        let channel = Arc::new(Channel::new(skytale_core::ChannelName::from_strings(["a", "b", "c"]), None));
        let proposals = ProposalLimits { per_epoch: 1, per_principal: 1 };
        let store = Arc::new(skytale_store::MemoryStore::new());
        let appending = Appending { store, meter: Meter::new(), proposals };
        channel.submit([], &appending);
        let idle = pin!(channel.clone().work(appending)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(idle, Poll::Ready(())));
    }
}
