//! Moving SQLite's write-ahead log into the database without holding up appends.
//!
//! SQLite would do it inside some commit, which then takes as long as the disk needs for the whole log. Here another
//! connection moves the bulk beside the appends; only the small rest is moved between two of them, so that the log can
//! start again from its beginning.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, TransactionTrait};
use tokio::task::JoinHandle;

/// How far the log may grow before it is moved, in bytes.
const GROWN: usize = 48 * 1024 * 1024;

/// What may be left to move between two appends, in bytes, and how often the bulk is moved to get there.
const REST: usize = 2 * 1024 * 1024;
const PASSES: usize = 5;

/// What a commit writes beyond its records: the pages of indices and of the channel, in bytes.
const COMMIT_OVERHEAD: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Checkpoint {
    db: DatabaseConnection,
    /// What was written since the log began, or since its bulk was last moved.
    written: usize,
    passes: usize,
    bulk: Option<JoinHandle<Result<(), DbErr>>>,
}

impl Checkpoint {
    pub fn new(db: DatabaseConnection) -> Self {
        Self { db, written: 0, passes: 0, bulk: None }
    }

    /// Notes a commit, and moves the log when it is time.
    pub async fn committed(&mut self, bytes: usize) {
        self.written += bytes + COMMIT_OVERHEAD;
        match &self.bulk {
            None if self.written > GROWN => self.move_bulk(),
            Some(bulk) if bulk.is_finished() && self.written > REST && self.passes < PASSES => {
                self.move_bulk();
            }
            Some(bulk) if bulk.is_finished() => {
                (self.bulk, self.written, self.passes) = (None, 0, 0);
                if let Err(error) = checkpoint(self.db.clone()).await {
                    tracing::warn!(%error, "the write-ahead log could not be moved into the database");
                }
            }
            _ => {}
        }
    }

    /// Each pass takes less time than the one before, and leaves less behind.
    fn move_bulk(&mut self) {
        self.written = 0;
        self.passes += 1;
        self.bulk = Some(tokio::spawn(checkpoint(self.db.clone())));
    }
}

/// Grows the write-ahead log to its usual size.
///
/// A disk confirms the overwriting of a file many times sooner than its growth. What a transaction spilled into the log
/// and then rolled back is never read, and the log is written again from its beginning.
pub(super) async fn grow_log(db: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = db.begin().await?;
    let fill = format!(
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) \
         INSERT INTO blocks SELECT 0, n, n, 0, zeroblob(1048576) FROM numbers",
        GROWN / 1_048_576 + 2
    );
    transaction.execute_unprepared(&fill).await?;
    transaction.rollback().await
}

async fn checkpoint(db: DatabaseConnection) -> Result<(), DbErr> {
    db.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await.map(drop)
}
