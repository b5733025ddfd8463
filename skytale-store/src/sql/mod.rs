//! A store in SQLite or PostgreSQL, through sea-orm.

mod append;
pub(crate) mod backplane;
mod migration;
mod options;
mod postgres;
mod read;
mod rows;
mod sqlite;
mod statements;
mod tables;
#[cfg(test)]
mod tests;
mod usage;

use std::time::SystemTime;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement, TransactionTrait, Value};
use skytale_core::{ChannelName, SequenceNumber};

use crate::contract::precondition::Precondition;
use crate::contract::record::{Appended, MessageId, NewRecord, Record};
use crate::contract::store::{Durability, Head, Store};
use crate::error::{Result, StoreError};
use crate::sql::append::meter::MeterId;
use crate::sql::append::writer::Writer;
use crate::sql::read::append_notifier::AppendNotifier;
use crate::sql::read::pages::ChannelRow;
use crate::sql::sqlite::file_lock::FileLock;
use crate::sql::sqlite::sync_horizon::SyncHorizon;
pub use backplane::PgBackplane;
pub use options::SqlOptions;
use statements::Statements;

/// A [`Store`] in a SQL database.
///
/// Appends of all callers are committed in groups: while one transaction is on its way to the disk, the next one
/// gathers, and on SQLite is written. On PostgreSQL any number of processes may share the database; a SQLite file belongs
/// to one process, and what another one reads from it may not be durable yet.
#[derive(Debug)]
pub struct SqlStore {
    db: DatabaseConnection,
    statements: Statements,
    meter: MeterId,
    writer: Option<Writer>,
    notifier: AppendNotifier,
    sync_horizon: SyncHorizon,
    durability: Durability,
    _lock: Option<FileLock>,
}

/// How many blocks one statement of [`SqlStore::trim`] deletes, so that appends get their turn.
const TRIM_STEP: u64 = 1_000;

impl SqlStore {
    fn pages(&self, channel: &ChannelName, after: SequenceNumber) -> crate::sql::read::pages::Pages {
        let (db, sync_horizon) = (self.db.clone(), self.sync_horizon.clone());
        crate::sql::read::pages::Pages::new(db, self.statements, sync_horizon, channel.clone(), after)
    }

    /// Returns a channel's row without what is not durable yet.
    async fn find_channel(&self, channel: &ChannelName) -> Result<Option<ChannelRow>> {
        let mut row = crate::sql::read::pages::find_channel(&self.db, &self.statements, channel).await?;
        if let Some(row) = &mut row {
            row.head.last = self.sync_horizon.cap(channel, row.head.last).max(row.head.floor);
        }
        Ok(row)
    }

    async fn trim_channel(&self, id: i64, through: i64) -> Result<()> {
        self.execute(self.statements.set_floor(id, through)).await?;
        self.execute(self.statements.delete_messages(id, through)).await?;
        while self.execute(self.statements.delete_blocks(id, through, TRIM_STEP)).await? == TRIM_STEP {}
        Ok(())
    }

    async fn query_one(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>> {
        let statement = self.statements.make(sql, values);
        self.db.query_one_raw(statement).await.map_err(StoreError::unavailable)
    }

    async fn query_all(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>> {
        let statement = self.statements.make(sql, values);
        self.db.query_all_raw(statement).await.map_err(StoreError::unavailable)
    }

    /// Returns how many rows a statement has changed.
    async fn change(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
        self.execute(self.statements.make(sql, values)).await
    }

    /// Runs statements of which all count, or none.
    async fn change_all(&self, statements: impl IntoIterator<Item = Statement>) -> Result<()> {
        let transaction = self.db.begin().await.map_err(StoreError::unavailable)?;
        for statement in statements {
            transaction.execute_raw(statement).await.map_err(StoreError::unavailable)?;
        }
        transaction.commit().await.map_err(StoreError::unavailable)
    }

    async fn execute(&self, statement: Statement) -> Result<u64> {
        let done = self.db.execute_raw(statement).await.map_err(StoreError::unavailable)?;
        Ok(done.rows_affected())
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn append(
        &self,
        channel: &ChannelName,
        records: Vec<NewRecord>,
        precondition: Precondition,
    ) -> Result<Appended> {
        match &self.writer {
            Some(writer) => writer.append(channel.clone(), records, precondition).await,
            None => Err(StoreError::Invalid { what: "this store was opened for reading only" }),
        }
    }

    async fn find(&self, channel: &ChannelName, id: MessageId) -> Result<Option<SequenceNumber>> {
        let Some(row) = self.find_channel(channel).await? else { return Ok(None) };
        let find = self.statements.find_messages(row.id, &[id]);
        let found = self.db.query_one_raw(find).await.map_err(StoreError::unavailable)?;
        let number = found.map(|row| row.try_get::<i64>("", "sequence")).transpose();
        let number = number.map_err(StoreError::unavailable)?.map(|number| SequenceNumber(number as u64));
        Ok(number.filter(|number| *number <= row.head.last))
    }

    async fn head(&self, channel: &ChannelName) -> Result<Head> {
        Ok(self.find_channel(channel).await?.map(|row| row.head).unwrap_or_default())
    }

    fn read(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        let pages = stream::unfold(Some(self.pages(channel, after)), |pages| async move {
            let mut pages = pages?;
            match pages.next().await {
                Ok(records) if records.is_empty() => None,
                Ok(records) => Some((records.into_iter().map(Ok).collect::<Vec<_>>(), Some(pages))),
                Err(error) => Some((vec![Err(error)], None)),
            }
        });
        pages.flat_map(stream::iter).boxed()
    }

    fn follow(&self, channel: &ChannelName, after: SequenceNumber) -> BoxStream<'static, Result<Record>> {
        let (pages, appends) = (self.pages(channel, after), self.notifier.subscribe(channel.components()));
        let batches = stream::unfold(Some((pages, appends)), |state| async move {
            let (mut pages, mut appends) = state?;
            loop {
                if pages.is_at_head() {
                    appends.wait().await;
                }
                match pages.next().await {
                    Ok(records) if records.is_empty() => {}
                    Ok(records) => {
                        return Some((
                            records.into_iter().map(Ok).collect::<Vec<_>>(),
                            Some((pages, appends)),
                        ));
                    }
                    Err(error) => return Some((vec![Err(error)], None)),
                }
            }
        });
        batches.flat_map(stream::iter).boxed()
    }

    async fn trim(&self, channel: &ChannelName, through: SequenceNumber) -> Result<()> {
        if let Some(row) = self.find_channel(channel).await? {
            let through = through.min(row.head.last).max(row.head.floor);
            self.trim_channel(row.id, through.0 as i64).await?;
        }
        Ok(())
    }

    async fn expire(&self, before: SystemTime) -> Result<u64> {
        let mut expired = 0;
        for (id, _, head) in crate::sql::read::pages::all_channels(&self.db, &self.statements).await? {
            let mut floor = head.floor.0 as i64;
            let oldest =
                || crate::sql::read::pages::oldest_expired(&self.db, &self.statements, id, before, TRIM_STEP);
            while let Some(through) = oldest().await? {
                self.trim_channel(id, through).await?;
                expired += through.saturating_sub(floor).max(0) as u64;
                floor = through;
            }
        }
        Ok(expired)
    }

    fn channels(&self) -> BoxStream<'static, Result<(ChannelName, Head)>> {
        let (db, statements, sync_horizon) = (self.db.clone(), self.statements, self.sync_horizon.clone());
        let listed = move |(_, name, mut head): (i64, ChannelName, Head)| {
            head.last = sync_horizon.cap(&name, head.last).max(head.floor);
            (head.last > SequenceNumber::START).then_some(Ok((name, head)))
        };
        stream::once(async move { crate::sql::read::pages::all_channels(&db, &statements).await })
            .flat_map(move |channels| match channels {
                Ok(channels) => stream::iter(channels.into_iter().filter_map(&listed).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            })
            .boxed()
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    /// The writer's queue is fair, and what it commits together is numbered in the queue's order.
    fn preserves_append_order(&self) -> bool {
        true
    }
}
