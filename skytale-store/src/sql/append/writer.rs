//! The one task that appends: it collects requests and commits them in groups.

use sea_orm::DbErr;
use skytale_core::ChannelName;
use tokio::sync::mpsc;

use super::channel_cache::ChannelCache;
use super::request::{Append, reject_all};
use super::transaction::Target;
use crate::contract::precondition::Precondition;
use crate::contract::record::{Appended, NewRecord};
use crate::error::{Result, StoreError};
use crate::sql::read::append_notifier::AppendNotifier;
use crate::sql::sqlite::poison::Poison;
use crate::sql::sqlite::sync_thread::{Committed, SyncThread};
use crate::sql::sqlite::wal_checkpoint::Checkpoint;
use crate::sql::statements::Statements;

/// The most records and bytes of one transaction.
const GROUP_RECORDS: usize = 1024;
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// How often a transaction is tried that lost against another process.
const TRIES: usize = 5;

/// The callers' end of the task.
#[derive(Debug)]
pub(crate) struct Writer(mpsc::Sender<Append>);

/// The state of the task.
pub(crate) struct Work {
    pub target: Target,
    pub statements: Statements,
    pub notifier: AppendNotifier,
    /// Only where the target may leave the sync of its commits to it.
    pub sync_thread: Option<SyncThread>,
    /// Only where the log is moved by the writer.
    pub checkpoint: Option<Checkpoint>,
    pub poison: Poison,
}

/// After how many commits in a row that speak for it the sync changes its place.
const STREAK: u32 = 16;

impl Writer {
    /// Starts the task; at most `waiting` appends wait for it.
    pub fn spawn(work: Work, waiting: usize) -> Self {
        let (sender, receiver) = mpsc::channel(waiting.max(1));
        tokio::spawn(work.run(RequestQueue { receiver, postponed: None }));
        Self(sender)
    }

    pub async fn append(
        &self,
        channel: ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        let (append, appended) = Append::new(channel, records, precondition);
        let stopped = || StoreError::unavailable("the store's writer has stopped");
        self.0.send(append).await.map_err(|_| stopped())?;
        appended.await.map_err(|_| stopped())?
    }
}

impl Work {
    async fn run(mut self, mut queue: RequestQueue) {
        let (mut cache, mut streak) = (ChannelCache::default(), 0);
        while let Some(group) = queue.next().await {
            if let Some(why) = self.poison.reason() {
                reject_all(group, || StoreError::unavailable(why));
                continue;
            }
            let outcome = commit(&self.target, &self.statements, &mut cache, &group).await;
            if outcome.is_err() {
                cache.clear();
            }
            let bytes = group.iter().map(|append| append.size().1).sum();
            let others_wait = queue.has_more();
            self.answer(Committed { group, outcome }).await;
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.committed(bytes).await;
            }
            self.place_sync(others_wait, &mut streak).await;
        }
    }

    async fn answer(&self, committed: Committed) {
        match &self.sync_thread {
            Some(sync_thread) if self.target.hides() => sync_thread.answer(committed).await,
            _ => committed.answer(&self.notifier, &self.poison),
        }
    }

    /// Has commits synced beside the next ones while there are next ones, else inside, which is two changes of threads
    /// less.
    async fn place_sync(&mut self, others_wait: bool, streak: &mut u32) {
        let Some(sync_thread) = &self.sync_thread else { return };
        *streak = if others_wait == self.target.hides() { 0 } else { *streak + 1 };
        if *streak < STREAK {
            return;
        }
        *streak = 0;
        // Answers stay in order.
        sync_thread.reach().await;
        if let Err(error) = self.target.hide(others_wait.then(|| sync_thread.sync_horizon())).await {
            tracing::warn!(%error, "the place of the sync could not be changed");
        }
    }
}

/// Commits a group, again where another process got in the way.
async fn commit(
    target: &Target,
    statements: &Statements,
    cache: &mut ChannelCache,
    group: &[Append],
) -> Result<Vec<Result<Appended>>, DbErr> {
    let mut tries = 0;
    loop {
        match target.commit(statements, cache, group).await {
            Err(error) if tries < TRIES && is_contention(&error) => {
                cache.clear();
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Tells a lost race (PostgreSQL 40001 and 40P01, a unique violation, SQLite's busy) from a real failure, and so a process
/// that was silent for too long (25P03): the server has ended what it had begun.
fn is_contention(error: &DbErr) -> bool {
    let text = error.to_string();
    ["deadlock", "could not serialize", "duplicate key", "database is locked", "idle-in-transaction timeout"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Takes what waits, up to the bounds of one transaction.
struct RequestQueue {
    receiver: mpsc::Receiver<Append>,
    postponed: Option<Append>,
}

impl RequestQueue {
    /// Tells whether somebody waits already.
    fn has_more(&self) -> bool {
        self.postponed.is_some() || !self.receiver.is_empty()
    }

    async fn next(&mut self) -> Option<Vec<Append>> {
        let first = match self.postponed.take() {
            Some(append) => append,
            None => self.receiver.recv().await?,
        };
        let (mut records, mut bytes) = first.size();
        let mut group = vec![first];
        while let Ok(append) = self.receiver.try_recv() {
            let (more_records, more_bytes) = append.size();
            if records + more_records > GROUP_RECORDS || bytes + more_bytes > GROUP_BYTES {
                self.postponed = Some(append);
                break;
            }
            records += more_records;
            bytes += more_bytes;
            group.push(append);
        }
        Some(group)
    }
}
