//! Connecting to a PostgreSQL server.

use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use super::nodelay_proxy::NodelayProxy;
use crate::contract::store::Durability;
use crate::error::{Result, StoreError};
use crate::sql::append::meter::MeterId;
use crate::sql::append::transaction::Target;
use crate::sql::append::writer::{Work, Writer};
use crate::sql::options::SqlOptions;
use crate::sql::read::append_notifier;
use crate::sql::sqlite::poison::Poison;
use crate::sql::sqlite::sync_horizon::SyncHorizon;
use crate::sql::statements::Statements;
use crate::sql::{SqlStore, migration};

/// How long a server waits for a process that is silent in a transaction, and for what others have locked. A process that
/// hangs would else keep all others from the channels that it has locked.
const SERVER_TIMEOUTS: [(&str, &str); 2] =
    [("idle_in_transaction_session_timeout", "3s"), ("lock_timeout", "10s")];

impl SqlStore {
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
            passage.lead(options.options([("synchronous_commit", commit)]).options(SERVER_TIMEOUTS))
        });
        connect.map_sqlx_postgres_pool_opts(move |options| kept.keep(options));
        let db = Database::connect(connect).await.map_err(StoreError::unavailable)?;
        migration::migrate(&db).await.map_err(StoreError::unavailable)?;
        let durability = postgres_durability(&db, options.durability).await?;
        let notifier = append_notifier::start(db.get_postgres_connection_pool().clone());
        // Each process counts in rows of its own, so that none waits for another's.
        let (statements, meter) = (Statements::new(DbBackend::Postgres), MeterId::random());
        let (target, poison) = (Target::Shared(db.clone(), meter), Poison::default());
        let work = Work {
            target,
            statements,
            notifier: notifier.clone(),
            sync_thread: None,
            checkpoint: None,
            poison,
        };
        let writer = Some(Writer::spawn(work, options.waiting));
        let sync_horizon = SyncHorizon::default();
        Ok(Self { db, statements, meter, writer, notifier, sync_horizon, durability, _lock: None })
    }
}

/// Returns what the server really does: with `fsync` off, nothing survives a power failure.
async fn postgres_durability(db: &DatabaseConnection, asked: Durability) -> Result<Durability> {
    let show = Statement::from_string(DbBackend::Postgres, "SHOW fsync");
    let row = db.query_one_raw(show).await.map_err(StoreError::unavailable)?;
    let fsync: Option<String> = row.and_then(|row| row.try_get_by_index(0).ok());
    let honest = if fsync.as_deref() == Some("on") { Durability::Disk } else { Durability::Process };
    Ok(asked.clamp(Durability::Process, honest))
}
