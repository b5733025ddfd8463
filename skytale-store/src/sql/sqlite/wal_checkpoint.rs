//! Moving SQLite's write-ahead log into the database without holding up appends.
//!
//! SQLite would do it inside some commit, which then takes as long as the disk needs for all of it. Here another connection
//! moves the log in small passes beside the appends, and each pass is synced before the next, for SQLite itself syncs the
//! database only in a pass that reaches the end of the log, and then everything that was moved since the last such pass.
//! That one is made between two appends, when next to nothing is left, so that the log can start again from its
//! beginning.

use std::fs::File;
use std::io;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait};
use tokio::task::JoinHandle;

use super::poison::Poison;

/// How much of the log is moved at a time, in bytes: what the disk takes in a millisecond or two, for which the syncs of
/// appends wait.
const STEP: usize = 3 * 1024 * 1024;

/// How much is written before the log is tried again that a reader has kept from starting again, in bytes.
const AGAIN: usize = 40 * 1024 * 1024;

/// How far the log grows before it starts again, in bytes, and how much more there is place for.
const GROWN: usize = 60 * 1024 * 1024;
const SPARE: usize = 6 * 1024 * 1024;

/// What may be left to move between two appends, in bytes, and how often the rest is moved beside them to get there.
const REST: usize = 512 * 1024;
const PASSES: usize = 8;

/// What a commit writes beyond its records: the pages of indices and of the channel, in bytes.
const COMMIT_OVERHEAD: usize = 16 * 1024;

/// The database's file.
///
/// Never closed: the system would take the locks away that SQLite's connections of this process hold on the same file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatabaseFile(&'static File);

impl DatabaseFile {
    pub fn keep_open(file: File) -> Self {
        Self(Box::leak(Box::new(file)))
    }
}

#[derive(Debug)]
pub(crate) struct Checkpoint {
    db: DatabaseConnection,
    file: DatabaseFile,
    poison: Poison,
    /// The size of the log.
    log: usize,
    /// How much of it was written since a pass last began.
    written: usize,
    /// How many passes were made since the log had grown.
    passes: usize,
    pass: Option<JoinHandle<()>>,
}

impl Checkpoint {
    pub fn new(db: DatabaseConnection, file: DatabaseFile, poison: Poison) -> Self {
        Self { db, file, poison, log: 0, written: 0, passes: 0, pass: None }
    }

    /// Notes a commit, and moves the log when it is time.
    pub async fn committed(&mut self, bytes: usize) {
        self.log += bytes + COMMIT_OVERHEAD;
        self.written += bytes + COMMIT_OVERHEAD;
        if self.pass.as_ref().is_some_and(|pass| !pass.is_finished()) {
            return;
        }
        if self.log < GROWN {
            if self.written > STEP {
                self.start_pass();
            }
        } else if self.written > REST && self.passes < PASSES {
            // Takes less time than the one before, and leaves less behind.
            self.passes += 1;
            self.start_pass();
        } else {
            self.restart_log().await;
        }
    }

    fn start_pass(&mut self) {
        self.written = 0;
        self.pass = Some(tokio::spawn(pass(self.db.clone(), self.file, self.poison.clone())));
    }

    /// Moves the rest; where a reader keeps the log from starting again, that is tried again later.
    async fn restart_log(&mut self) {
        (self.written, self.passes, self.pass) = (0, 0, None);
        self.log = match checkpoint(&self.db).await {
            Ok(true) => 0,
            Ok(false) => GROWN - AGAIN,
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log could not be moved into the database");
                GROWN - AGAIN
            }
        };
    }
}

/// Moves what can be moved beside the appends, and makes it durable.
async fn pass(db: DatabaseConnection, file: DatabaseFile, poison: Poison) {
    if let Err(error) = checkpoint(&db).await {
        tracing::warn!(%error, "the write-ahead log could not be moved into the database");
    }
    let synced = tokio::task::spawn_blocking(move || file.0.sync_data()).await;
    if let Err(error) = synced.unwrap_or_else(|error| Err(io::Error::other(error))) {
        poison.set("the database", &error);
    }
}

/// Returns whether all of the log was moved.
async fn checkpoint(db: &DatabaseConnection) -> Result<bool, DbErr> {
    let pass = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(PASSIVE)");
    let row = db.query_one_raw(pass).await?;
    let Some(row) = row else { return Ok(false) };
    let number = |column| row.try_get_by_index::<i32>(column);
    let (busy, log, moved) = (number(0)?, number(1)?, number(2)?);
    Ok(busy == 0 && log == moved)
}

/// Grows the write-ahead log to its usual size.
///
/// A disk confirms the overwriting of a file many times sooner than its growth. What a transaction spilled into the log
/// and then rolled back is never read, and the log is written again from its beginning.
pub(crate) async fn grow_log(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    let fill = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) \
         INSERT INTO blocks (position, first, appended_at, body) SELECT -n, n, 0, zeroblob(1048576) FROM numbers",
        (GROWN + SPARE) / 1_048_576
    );
    transaction.execute_unprepared(&fill).await?;
    transaction.rollback().await
}
