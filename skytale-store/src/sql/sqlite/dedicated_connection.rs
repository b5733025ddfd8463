//! The one connection that appends to a SQLite file.
//!
//! A pool asks after a connection's health whenever it is taken and given back, each time two changes of threads, and hands
//! out another one meanwhile, whose page cache is cold. An append needs neither.

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement,
};
use sea_query_sqlx::SqlxValues;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Sqlite};
use tokio::sync::Mutex;

/// A connection that is taken from its pool for good.
#[derive(Debug)]
pub(crate) struct DedicatedConnection(Mutex<PoolConnection<Sqlite>>);

impl DedicatedConnection {
    pub async fn take(db: &DatabaseConnection) -> Result<Self, DbErr> {
        let connection = db.get_sqlite_connection_pool().acquire().await;
        connection.map(|connection| Self(Mutex::new(connection))).map_err(failed)
    }

    /// Sets what a commit syncs: with `FULL` the log, with `NORMAL` nothing.
    pub async fn set_synchronous(&self, level: &str) -> Result<(), DbErr> {
        self.execute_unprepared(&format!("PRAGMA synchronous = {level}")).await.map(drop)
    }

    /// Runs what `work` returns in a transaction that excludes every other writer from its start.
    pub async fn transaction<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        self.execute_unprepared("BEGIN IMMEDIATE").await?;
        let outcome = match work.await {
            Ok(outcome) => self.execute_unprepared("COMMIT").await.map(|_| outcome),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // Fails where the commit's failure has ended the transaction already.
            let _ = self.execute_unprepared("ROLLBACK").await;
        }
        outcome
    }
}

#[async_trait]
impl ConnectionTrait for DedicatedConnection {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Sqlite
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let executed = query(statement).execute(&mut **self.0.lock().await).await;
        executed.map(ExecResult::from).map_err(failed)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
        let executed = query.execute(&mut **self.0.lock().await).await;
        executed.map(ExecResult::from).map_err(failed)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row = query(statement).fetch_optional(&mut **self.0.lock().await).await;
        row.map(|row| row.map(QueryResult::from)).map_err(failed)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows = query(statement).fetch_all(&mut **self.0.lock().await).await;
        rows.map(|rows| rows.into_iter().map(QueryResult::from).collect()).map_err(failed)
    }
}

fn query(statement: Statement) -> Query<'static, Sqlite, SqlxValues> {
    let values = statement.values.unwrap_or(sea_orm::Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql), SqlxValues(values))
}

fn failed(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}
