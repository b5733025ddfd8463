//! Opening a database.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

use super::statements::Statements;
use super::usage::MeterId;
use super::{SqlStore, migration};
use crate::contract::store::Durability;
use crate::error::{Result, StoreError};
use crate::sql::append::transaction::Target;
use crate::sql::append::writer::{Work, Writer};
use crate::sql::postgres::nodelay_proxy::NodelayProxy;
use crate::sql::read::append_notifier::{self, AppendNotifier};
use crate::sql::sqlite::dedicated_connection::Held;
use crate::sql::sqlite::poison::Broken;
use crate::sql::sqlite::sync_horizon::SyncHorizon;
use crate::sql::sqlite::sync_thread::{SyncLog, Syncing};
use crate::sql::sqlite::wal_checkpoint::{self, Checkpoint, DatabaseFile};

/// How a [`SqlStore`] works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqlOptions {
    /// What a returned append survives. Default: [`Durability::Disk`].
    pub durability: Durability,
    /// The most connections to the database. Default: 8.
    pub connections: u32,
    /// The most records that wait to be appended; further callers wait. Default: 8,192.
    pub waiting: usize,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self { durability: Durability::Disk, connections: 8, waiting: 8192 }
    }
}

impl SqlOptions {
    /// Sets what a returned append survives: [`Durability::Disk`], or [`Durability::Process`] for speed.
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the most connections to the database; at least 2.
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(2);
        self
    }
}

/// The size of a new file's pages, in bytes: a block takes a quarter of the writes of the usual 4 KiB, a lone record no more.
const PAGE: u32 = 16_384;

/// How long a server waits for a process that is silent in a transaction, and for what others have locked. A process that
/// hangs would else keep all others from the channels that it has locked.
const PATIENCE: [(&str, &str); 2] = [("idle_in_transaction_session_timeout", "3s"), ("lock_timeout", "10s")];

/// An exclusive lock on a file beside the database, freed by the system however the process ends.
#[derive(Debug)]
pub(super) struct FileLock(#[expect(dead_code, reason = "held, not read")] File);

impl SqlStore {
    /// Opens or creates a SQLite file, in WAL mode.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] where another process has the file open as a store.
    pub async fn open_sqlite(path: impl AsRef<Path>, options: SqlOptions) -> Result<Self> {
        Self::open_file(path.as_ref(), options, |log| Box::new(move || log.sync_data())).await
    }

    /// Opens a file whose log is synced by what `syncing` makes of it.
    pub(super) async fn open_file(
        path: &Path,
        options: SqlOptions,
        syncing: impl FnOnce(File) -> SyncLog,
    ) -> Result<Self> {
        let lock = FileLock::take(path)?;
        let durability = options.durability.max(Durability::Process);
        let db = connected(writing_options(path, durability, options.connections)).await?;
        migration::migrate(&db).await.map_err(StoreError::unavailable)?;
        let (broken, sync_horizon, grown) =
            (Broken::default(), SyncHorizon::default(), AppendNotifier::default());
        let syncing = match durability {
            Durability::Disk => {
                wal_checkpoint::grow_log(&db).await.map_err(StoreError::unavailable)?;
                let log = open_existing(&beside(path, "-wal"))?;
                log.sync_data().map_err(StoreError::unavailable)?;
                let thread =
                    Syncing::start(syncing(log), sync_horizon.clone(), grown.clone(), broken.clone());
                Some(thread.map_err(StoreError::unavailable)?)
            }
            Durability::Process | Durability::Memory => None,
        };
        let held = Held::take(&db).await.map_err(StoreError::unavailable)?;
        let mut target = Target::Own(held, None);
        if let Some(syncing) = &syncing {
            target.hide(Some(syncing.sync_horizon())).await.map_err(StoreError::unavailable)?;
        }
        let file = DatabaseFile::keep_open(open_existing(path)?);
        let checkpoint = Some(Checkpoint::new(db.clone(), file, broken.clone()));
        let (statements, meter) = (Statements::new(DbBackend::Sqlite), MeterId::SOLE);
        let work = Work { target, statements, grown: grown.clone(), syncing, checkpoint, broken };
        let writer = Some(Writer::spawn(work, options.waiting));
        Ok(Self { db, statements, meter, writer, grown, sync_horizon, durability, _lock: Some(lock) })
    }

    /// Opens a SQLite file for reading only, also while another process appends to it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] where there is no such file.
    pub async fn open_sqlite_read_only(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let mut connect = sqlite_options(2);
        connect.map_sqlx_sqlite_opts(move |options| options.filename(&path).read_only(true));
        let db = connected(connect).await?;
        let (statements, grown, sync_horizon) =
            (Statements::new(DbBackend::Sqlite), AppendNotifier::default(), SyncHorizon::default());
        let (meter, durability) = (MeterId::SOLE, Durability::Disk);
        Ok(Self { db, statements, meter, writer: None, grown, sync_horizon, durability, _lock: None })
    }

    /// Connects to PostgreSQL, by a URL like `postgres://user:password@host/database`.
    ///
    /// The server undoes what a process has begun that is then silent for 3 seconds; what others have locked for longer than 10
    /// seconds is refused, not waited for.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] where the server cannot be reached or refuses.
    pub async fn connect_postgres(url: &str, options: SqlOptions) -> Result<Self> {
        let commit = match options.durability {
            Durability::Disk => "on",
            Durability::Process | Durability::Memory => "off",
        };
        let mut connect = ConnectOptions::new(url);
        connect.max_connections(options.connections).sqlx_logging(false);
        let passage = NodelayProxy::open(url).await.map_err(StoreError::unavailable)?;
        let kept = passage.clone();
        connect.map_sqlx_postgres_opts(move |options| {
            passage.lead(options.options([("synchronous_commit", commit)]).options(PATIENCE))
        });
        connect.map_sqlx_postgres_pool_opts(move |options| kept.keep(options));
        let db = connected(connect).await?;
        migration::migrate(&db).await.map_err(StoreError::unavailable)?;
        let durability = postgres_durability(&db, options.durability).await?;
        let grown = append_notifier::start(db.get_postgres_connection_pool().clone());
        // Each process counts in rows of its own, so that none waits for another's.
        let (statements, meter) = (Statements::new(DbBackend::Postgres), MeterId::random());
        let (target, broken) = (Target::Shared(db.clone(), meter), Broken::default());
        let work = Work { target, statements, grown: grown.clone(), syncing: None, checkpoint: None, broken };
        let writer = Some(Writer::spawn(work, options.waiting));
        let sync_horizon = SyncHorizon::default();
        Ok(Self { db, statements, meter, writer, grown, sync_horizon, durability, _lock: None })
    }
}

fn writing_options(path: &Path, durability: Durability, connections: u32) -> ConnectOptions {
    let path = path.to_owned();
    // What is not appended by the writer, which has its log synced, is synced by SQLite.
    let synchronous = match durability {
        Durability::Disk => SqliteSynchronous::Full,
        Durability::Process | Durability::Memory => SqliteSynchronous::Normal,
    };
    let mut connect = sqlite_options(connections);
    connect.map_sqlx_sqlite_opts(move |options| {
        options
            .filename(&path)
            .create_if_missing(true)
            .page_size(PAGE)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(std::time::Duration::from_secs(30))
            .pragma("secure_delete", "ON")
            // The writer does it at better moments.
            .pragma("wal_autocheckpoint", "0")
    });
    connect
}

fn sqlite_options(connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite:");
    // Only a server's connections break unnoticed.
    options.max_connections(connections).test_before_acquire(false).sqlx_logging(false);
    options
}

fn open_existing(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).open(path).map_err(StoreError::unavailable)
}

/// Returns the path of a file that SQLite or the store keeps beside the database.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

async fn connected(options: ConnectOptions) -> Result<DatabaseConnection> {
    Database::connect(options).await.map_err(StoreError::unavailable)
}

/// Returns what the server really does: with `fsync` off, nothing survives a power failure.
async fn postgres_durability(db: &DatabaseConnection, asked: Durability) -> Result<Durability> {
    let show = Statement::from_string(DbBackend::Postgres, "SHOW fsync");
    let row = db.query_one_raw(show).await.map_err(StoreError::unavailable)?;
    let fsync: Option<String> = row.and_then(|row| row.try_get_by_index(0).ok());
    let honest = if fsync.as_deref() == Some("on") { Durability::Disk } else { Durability::Process };
    Ok(asked.clamp(Durability::Process, honest))
}

impl FileLock {
    fn take(database: &Path) -> Result<Self> {
        let path = beside(database, ".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(StoreError::unavailable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: database.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(StoreError::unavailable(error)),
        }
    }
}
