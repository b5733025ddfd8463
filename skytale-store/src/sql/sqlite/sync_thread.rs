//! Making commits durable while the next ones are written.
//!
//! While appends wait for each other, SQLite commits with `synchronous = NORMAL`: a commit writes its pages to the log and
//! leaves the sync to this thread. A lone append is quicker with `FULL`, in which the commit itself syncs.
//!
//! Callers are answered, and readers shown their records, after a sync that began after their commit; one sync covers every
//! group that was committed before it began.
//!
//! This survives a power failure as `FULL` does. The log's frames are chained by checksums, so recovery keeps every
//! transaction up to the first that is not whole on the disk, and a sync makes all before it whole. What `NORMAL` still
//! syncs by itself is what the rest needs: the log before any of it is moved into the database, the database before the log
//! starts again, and the log's new header before its first frame. The log's file exists since the database was opened,
//! is overwritten in place and is deleted only with the last connection, so the descriptor opened once stays right.

use std::io;

use sea_orm::DbErr;
use skytale_core::SequenceNumber;
use tokio::sync::{mpsc, oneshot};

use super::poison::Poison;
use super::sync_horizon::SyncHorizon;
use crate::contract::record::{AppendOutcome, Appended};
use crate::error::{Result, StoreError};
use crate::sql::append::request::{Append, reject_all};
use crate::sql::read::append_notifier::AppendNotifier;
use crate::sql::rows::SharedDbErr;

/// How many groups are synced at once, and how many more may wait meanwhile.
const GROUPS: usize = 2;

/// A group of appends and what the database made of it.
pub(crate) struct Committed {
    pub group: Vec<Append>,
    pub outcome: Result<Vec<Result<Appended>>, DbErr>,
}

/// Makes the log durable.
pub(crate) type SyncLog = Box<dyn FnMut() -> io::Result<()> + Send>;

/// The writer's end of the thread.
#[derive(Debug)]
pub(crate) struct SyncThread {
    jobs: mpsc::Sender<Job>,
    sync_horizon: SyncHorizon,
}

enum Job {
    Answer(Committed),
    Reached(oneshot::Sender<()>),
}

impl SyncThread {
    pub fn start(
        sync: SyncLog,
        sync_horizon: SyncHorizon,
        notifier: AppendNotifier,
        poison: Poison,
    ) -> io::Result<Self> {
        let (jobs, receiver) = mpsc::channel(GROUPS);
        let thread = std::thread::Builder::new().name("skytale-sync".into());
        let shown = sync_horizon.clone();
        thread.spawn(move || run(receiver, sync, &shown, &notifier, &poison))?;
        Ok(Self { jobs, sync_horizon })
    }

    /// Returns where the records are hidden that wait for a sync.
    pub fn sync_horizon(&self) -> SyncHorizon {
        self.sync_horizon.clone()
    }

    /// Has a group answered when it is durable; waits while too many are not.
    pub async fn answer(&self, committed: Committed) {
        // The thread ends after the writer.
        let _ = self.jobs.send(Job::Answer(committed)).await;
    }

    /// Waits until every group is answered, and shows every record.
    pub async fn reach(&self) {
        let (reached, wait) = oneshot::channel();
        let _ = self.jobs.send(Job::Reached(reached)).await;
        let _ = wait.await;
    }
}

fn run(
    mut receiver: mpsc::Receiver<Job>,
    mut sync: SyncLog,
    sync_horizon: &SyncHorizon,
    notifier: &AppendNotifier,
    poison: &Poison,
) {
    let mut jobs = Vec::with_capacity(GROUPS);
    while receiver.blocking_recv_many(&mut jobs, GROUPS) > 0 {
        let needed = jobs.iter().any(|job| matches!(job, Job::Answer(_)));
        if needed
            && poison.reason().is_none()
            && let Err(error) = sync()
        {
            poison.set("the write-ahead log", &error);
        }
        for job in jobs.drain(..) {
            match job {
                Job::Answer(committed) => {
                    if poison.reason().is_none() {
                        sync_horizon.show(committed.synced());
                    }
                    committed.answer(notifier, poison);
                }
                Job::Reached(reached) => {
                    if poison.reason().is_none() {
                        sync_horizon.show_all();
                    }
                    let _ = reached.send(());
                }
            }
        }
    }
}

impl Committed {
    /// Returns how far the group's channels are durable once it is.
    fn synced(&self) -> impl Iterator<Item = ([u64; 3], SequenceNumber)> {
        let outcomes = self.outcome.iter().flatten();
        self.group.iter().zip(outcomes).filter_map(|(append, outcome)| {
            let fresh = |outcome: &AppendOutcome| matches!(outcome, AppendOutcome::Appended(_));
            let last = outcome.as_ref().ok()?.iter().rfind(|outcome| fresh(outcome))?;
            Some((append.channel.components(), last.sequence()))
        })
    }

    /// Tells every caller what became of its append.
    pub fn answer(self, notifier: &AppendNotifier, poison: &Poison) {
        if let Some(why) = poison.reason() {
            return reject_all(self.group, || StoreError::unavailable(why));
        }
        match self.outcome {
            Ok(outcomes) => {
                for (append, outcome) in self.group.into_iter().zip(outcomes) {
                    if outcome.is_ok() {
                        notifier.wake(append.channel.components());
                    }
                    append.answer(outcome);
                }
            }
            Err(error) => {
                let shared = SharedDbErr::from(error);
                reject_all(self.group, || StoreError::unavailable(shared.clone()));
            }
        }
    }
}
