//! Opening a SQLite file.

use std::fs::{File, OpenOptions};
use std::path::Path;

use sea_orm::{ConnectOptions, Database, DbBackend};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

use super::dedicated_connection::DedicatedConnection;
use super::file_lock::{FileLock, beside};
use super::poison::Poison;
use super::sync_horizon::SyncHorizon;
use super::sync_thread::{SyncLog, SyncThread};
use super::wal_checkpoint::{self, Checkpoint, DatabaseFile};
use crate::contract::store::Durability;
use crate::error::{Result, StoreError};
use crate::sql::append::meter::MeterId;
use crate::sql::append::transaction::Target;
use crate::sql::append::writer::{Work, Writer};
use crate::sql::options::SqlOptions;
use crate::sql::read::append_notifier::AppendNotifier;
use crate::sql::statements::Statements;
use crate::sql::{SqlStore, migration};

/// The size of a new file's pages, in bytes: a block takes a quarter of the writes of the usual 4 KiB, a lone record no more.
const PAGE: u32 = 16_384;

impl SqlStore {
    /// Opens or creates a SQLite file, in WAL mode.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] where another process has the file open as a store.
    pub async fn open_sqlite(path: impl AsRef<Path>, options: SqlOptions) -> Result<Self> {
        Self::open_file(path.as_ref(), options, |log| Box::new(move || log.sync_data())).await
    }

    /// Opens a file whose log is synced by the function that `sync_log` makes of it.
    pub(in crate::sql) async fn open_file(
        path: &Path,
        options: SqlOptions,
        sync_log: impl FnOnce(File) -> SyncLog,
    ) -> Result<Self> {
        let lock = FileLock::take(path)?;
        let durability = options.durability.max(Durability::Process);
        let db = Database::connect(writing_options(path, durability, options.connections))
            .await
            .map_err(StoreError::unavailable)?;
        migration::migrate(&db).await.map_err(StoreError::unavailable)?;
        let (poison, sync_horizon, notifier) =
            (Poison::default(), SyncHorizon::default(), AppendNotifier::default());
        let sync_thread = match durability {
            Durability::Disk => {
                wal_checkpoint::grow_log(&db).await.map_err(StoreError::unavailable)?;
                let log = open_existing(&beside(path, "-wal"))?;
                log.sync_data().map_err(StoreError::unavailable)?;
                let thread =
                    SyncThread::start(sync_log(log), sync_horizon.clone(), notifier.clone(), poison.clone());
                Some(thread.map_err(StoreError::unavailable)?)
            }
            Durability::Process | Durability::Memory => None,
        };
        let connection = DedicatedConnection::take(&db).await.map_err(StoreError::unavailable)?;
        let mut target = Target::Own(connection, None);
        if let Some(sync_thread) = &sync_thread {
            target.hide(Some(sync_thread.sync_horizon())).await.map_err(StoreError::unavailable)?;
        }
        let file = DatabaseFile::keep_open(open_existing(path)?);
        let checkpoint = Some(Checkpoint::new(db.clone(), file, poison.clone()));
        let (statements, meter) = (Statements::new(DbBackend::Sqlite), MeterId::SOLE);
        let work = Work { target, statements, notifier: notifier.clone(), sync_thread, checkpoint, poison };
        let writer = Some(Writer::spawn(work, options.waiting));
        Ok(Self { db, statements, meter, writer, notifier, sync_horizon, durability, _lock: Some(lock) })
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
        let db = Database::connect(connect).await.map_err(StoreError::unavailable)?;
        let (statements, notifier, sync_horizon) =
            (Statements::new(DbBackend::Sqlite), AppendNotifier::default(), SyncHorizon::default());
        let (meter, durability) = (MeterId::SOLE, Durability::Disk);
        Ok(Self { db, statements, meter, writer: None, notifier, sync_horizon, durability, _lock: None })
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
