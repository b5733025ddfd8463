//! A connection of its own to PostgreSQL, made again when it breaks.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::error::{Result, StoreError};

/// How long one piece of work may take before the connection counts as broken.
const WORK_TIMEOUT: Duration = Duration::from_secs(10);

/// After how long without work a connection is tried before it is trusted.
const TRUSTED: Duration = Duration::from_secs(5);

/// One connection, used by one task.
pub(super) struct ReconnectingConnection {
    options: PgConnectOptions,
    open: Option<PgConnection>,
    used: Instant,
}

impl ReconnectingConnection {
    /// Makes a line that connects when it is first used.
    pub fn new(options: PgConnectOptions) -> Self {
        Self { options, open: None, used: Instant::now() }
    }

    /// Works with the connection. Nothing is tried twice: what fails may have been done.
    pub async fn work<T>(
        &mut self,
        work: impl for<'a> FnOnce(&'a mut PgConnection) -> BoxFuture<'a, sqlx::Result<T>>,
    ) -> Result<T> {
        let done = tokio::time::timeout(WORK_TIMEOUT, async {
            let mut connection = self.connection().await?;
            let done = work(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, done))
        });
        let done = done.await.map_err(|_| StoreError::unavailable("the database does not answer"))?;
        let (connection, done) = done.map_err(StoreError::unavailable)?;
        (self.open, self.used) = (Some(connection), Instant::now());
        Ok(done)
    }

    /// Takes the connection out, so that one whose work fails is closed.
    async fn connection(&mut self) -> sqlx::Result<PgConnection> {
        if let Some(mut connection) = self.open.take()
            && (self.used.elapsed() < TRUSTED || connection.ping().await.is_ok())
        {
            return Ok(connection);
        }
        PgConnection::connect_with(&self.options).await
    }
}
