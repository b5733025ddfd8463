//! A process's cache of the channels that it works with.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::message_ids::Index;
use crate::contract::record::Appended;
use crate::error::{Result, StoreError};
use crate::nats::append::batch::AppendRequest;
use crate::nats::append::contest::Contest;
use crate::nats::stream::block::ChannelState;

/// A channel: who waits to append, and what is remembered.
#[derive(Debug)]
pub(crate) struct Channel {
    pub subject: String,
    queue: Mutex<Queue>,
    pub memory: tokio::sync::Mutex<Memory>,
    /// How many ids the memory's index has.
    pub ids: AtomicUsize,
    used: AtomicU64,
}

/// The cached state of a channel. It may be stale: the servers decide.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Where the channel stands, and the place of its last block in the stream; `None` where it has to be asked for.
    pub tail: Option<(u64, ChannelState)>,
    pub index: Index,
    /// There while others append to the channel, too.
    pub contest: Option<Contest>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<QueuedAppend>,
    /// Whether a task works on it.
    is_worked: bool,
}

/// A caller that waits.
#[derive(Debug)]
pub(crate) struct QueuedAppend {
    pub request: AppendRequest,
    pub since: Instant,
    reply: oneshot::Sender<Result<Appended>>,
}

/// The most records of one block that several callers share.
const RECORDS: usize = 1_024;

impl Channel {
    fn new(subject: String) -> Self {
        let (queue, memory, ids, used) = Default::default();
        Self { subject, queue, memory, ids, used }
    }

    /// Adds a caller, and tells whether a task has to be started that works on the queue.
    pub fn push(&self, request: AppendRequest) -> (oneshot::Receiver<Result<Appended>>, bool) {
        let (reply, answer) = oneshot::channel();
        let mut queue = lock(&self.queue);
        queue.waiting.push_back(QueuedAppend { request, since: Instant::now(), reply });
        (answer, !std::mem::replace(&mut queue.is_worked, true))
    }

    /// Takes callers whose records fit into one block; `None` ends the task that works on the queue.
    pub fn take(&self, most_bytes: usize) -> Option<Vec<QueuedAppend>> {
        let mut queue = lock(&self.queue);
        let mut group = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        while let Some(next) = queue.waiting.front() {
            records += next.request.records.len();
            bytes += next.size();
            if !group.is_empty() && (records > RECORDS || bytes > most_bytes) {
                break;
            }
            group.extend(queue.waiting.pop_front());
        }
        queue.is_worked = !group.is_empty();
        (!group.is_empty()).then_some(group)
    }
}

impl QueuedAppend {
    pub fn answer(self, appended: Result<Appended>) {
        let _ = self.reply.send(appended);
    }

    /// Refuses a caller that has waited too long; nothing of it was kept.
    pub fn unless_late(self, timeout: Duration) -> Option<Self> {
        if self.since.elapsed() < timeout {
            return Some(self);
        }
        self.answer(Err(StoreError::unavailable("NATS was too slow for what waits before")));
        None
    }

    fn size(&self) -> usize {
        self.request.records.iter().map(|record| record.body.len() + 8).sum()
    }
}

/// The channels, of which those that were not used for long are forgotten.
#[derive(Debug)]
pub(crate) struct ChannelCache {
    known: Mutex<HashMap<[u64; 3], Arc<Channel>>>,
    clock: AtomicU64,
    most: usize,
    most_ids: usize,
}

/// After how many uses it is looked whether too much is remembered.
const LOOK: u64 = 256;

impl ChannelCache {
    pub fn new(most: usize, most_ids: usize) -> Self {
        Self { known: Mutex::default(), clock: AtomicU64::new(0), most: most.max(1), most_ids }
    }

    pub fn get(&self, components: [u64; 3], subject: impl FnOnce() -> String) -> Arc<Channel> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut known = lock(&self.known);
        if now.is_multiple_of(LOOK) {
            self.forget(&mut known);
        }
        let channel = known.entry(components).or_insert_with(|| Arc::new(Channel::new(subject()))).clone();
        channel.used.store(now, Ordering::Relaxed);
        channel
    }

    /// Forgets the channels that were not used for the longest time and are not used now.
    fn forget(&self, known: &mut HashMap<[u64; 3], Arc<Channel>>) {
        let ids = |channel: &Channel| channel.ids.load(Ordering::Relaxed);
        let (mut channels, mut all_ids) =
            (known.len(), known.values().map(|channel| ids(channel)).sum::<usize>());
        if channels <= self.most && all_ids <= self.most_ids {
            return;
        }
        let mut by_use: Vec<_> = known
            .iter()
            .filter(|(_, channel)| Arc::strong_count(channel) == 1)
            .map(|(components, channel)| (channel.used.load(Ordering::Relaxed), *components, ids(channel)))
            .collect();
        by_use.sort_unstable();
        for (_, components, its_ids) in by_use {
            // A bit more than necessary, so that it is not looked for again at once.
            if channels <= self.most - self.most / 10 && all_ids <= self.most_ids - self.most_ids / 10 {
                break;
            }
            known.remove(&components);
            channels -= 1;
            all_ids -= its_ids;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
