//! The one task that appends: it gathers what callers want and commits it in groups.

use std::sync::Arc;

use sea_orm::DbErr;
use skytale_core::ChannelName;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Checkpoint;
use super::listen::Grown;
use super::statement::Statements;
use super::transaction::{ChannelCache, Target};
use super::{Shared, SqlOptions};
use crate::error::{Result, StoreError};
use crate::store::{Appended, NewRecord, Precondition};

/// What one caller wants appended.
pub(super) struct Append {
    pub channel: ChannelName,
    pub records: Vec<NewRecord>,
    pub precondition: Precondition,
    reply: oneshot::Sender<Result<Appended>>,
}

/// The most records and bytes of one transaction.
const GROUP_RECORDS: usize = 1024;
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// How often a transaction is tried that lost against another process.
const TRIES: usize = 5;

/// The callers' end of the task.
#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Append>);

impl Writer {
    pub fn spawn(
        target: Target,
        checkpoint: Option<Checkpoint>,
        statements: Statements,
        grown: Grown,
        options: &SqlOptions,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(options.waiting.max(1));
        let gathering = Gathering { receiver, held: None };
        tokio::spawn(run(gathering, target, checkpoint, statements, grown));
        Self(sender)
    }

    pub async fn append(
        &self,
        channel: ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        let (reply, appended) = oneshot::channel();
        let stopped = || StoreError::unavailable("the store's writer has stopped");
        self.0.send(Append { channel, records, precondition, reply }).await.map_err(|_| stopped())?;
        appended.await.map_err(|_| stopped())?
    }
}

async fn run(
    mut gathering: Gathering,
    target: Target,
    mut checkpoint: Option<Checkpoint>,
    statements: Statements,
    grown: Grown,
) {
    let mut cache = ChannelCache::default();
    while let Some(group) = gathering.next().await {
        let outcome = commit(&target, &statements, &mut cache, &group).await;
        if outcome.is_err() {
            cache.clear();
        }
        let bytes = group.iter().map(|append| size(append).1).sum();
        answer(group, outcome, &grown);
        if let Some(checkpoint) = &mut checkpoint {
            checkpoint.committed(bytes).await;
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

/// Tells a lost race (PostgreSQL 40001 and 40P01, a unique violation, SQLite's busy) from a real failure.
fn is_contention(error: &DbErr) -> bool {
    let text = error.to_string();
    ["deadlock", "could not serialize", "duplicate key", "database is locked"]
        .iter()
        .any(|sign| text.contains(sign))
}

fn answer(group: Vec<Append>, outcome: Result<Vec<Result<Appended>>, DbErr>, grown: &Grown) {
    match outcome {
        Ok(outcomes) => {
            for (append, outcome) in group.into_iter().zip(outcomes) {
                if outcome.is_ok() {
                    grown.wake(append.channel.components());
                }
                let _ = append.reply.send(outcome);
            }
        }
        Err(error) => {
            let shared = Shared(Arc::new(error));
            for append in group {
                let _ = append.reply.send(Err(StoreError::unavailable(shared.clone())));
            }
        }
    }
}

/// Takes what waits, up to the bounds of one transaction.
struct Gathering {
    receiver: mpsc::Receiver<Append>,
    held: Option<Append>,
}

impl Gathering {
    async fn next(&mut self) -> Option<Vec<Append>> {
        let first = match self.held.take() {
            Some(held) => held,
            None => self.receiver.recv().await?,
        };
        let (mut records, mut bytes) = size(&first);
        let mut group = vec![first];
        while let Ok(append) = self.receiver.try_recv() {
            let (more_records, more_bytes) = size(&append);
            if records + more_records > GROUP_RECORDS || bytes + more_bytes > GROUP_BYTES {
                self.held = Some(append);
                break;
            }
            records += more_records;
            bytes += more_bytes;
            group.push(append);
        }
        Some(group)
    }
}

fn size(append: &Append) -> (usize, usize) {
    (append.records.len(), append.records.iter().map(|record| record.body.len()).sum())
}
