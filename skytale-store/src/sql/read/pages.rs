//! Reading channels and their records, a bounded page at a time.

use std::time::SystemTime;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult, Statement};
use skytale_core::{ChannelName, SequenceNumber};

use crate::contract::record::Record;
use crate::contract::store::Head;
use crate::error::{Result, StoreError};
use crate::sql::append::block;
use crate::sql::sqlite::sync_horizon::SyncHorizon;
use crate::sql::statements::{Statements, components};

/// The most blocks of one page.
const PAGE_BLOCKS: u64 = 256;

/// The most bytes of one page, unless its first block alone has more.
const PAGE_BYTES: i64 = 1024 * 1024;

/// A channel as its table keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelRow {
    pub id: i64,
    pub components: [u64; 3],
    pub is_named: bool,
    pub head: Head,
    pub last_appended_at: i64,
}

impl ChannelRow {
    pub fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.try_get("", "id")?,
            components: read_components(row)?,
            is_named: row.try_get("", "is_named")?,
            head: read_head(row)?,
            last_appended_at: row.try_get("", "last_appended_at")?,
        })
    }
}

fn read_components(row: &QueryResult) -> Result<[u64; 3], DbErr> {
    let key: Vec<u8> = row.try_get("", "components")?;
    components(&key).ok_or_else(|| DbErr::Type("a channel's key has not 24 bytes".to_owned()))
}

fn read_head(row: &QueryResult) -> Result<Head, DbErr> {
    let number = |column| row.try_get::<i64>("", column).map(|number| SequenceNumber(number.max(0) as u64));
    Ok(Head { last: number("last_sequence")?, floor: number("floor")? })
}

pub(crate) async fn find_channel(
    db: &impl ConnectionTrait,
    statements: &Statements,
    channel: &ChannelName,
) -> Result<Option<ChannelRow>> {
    let row = db.query_one_raw(statements.find_channel(channel)).await.map_err(StoreError::unavailable)?;
    row.as_ref().map(ChannelRow::read).transpose().map_err(StoreError::unavailable)
}

/// Lists the channels with their ids.
pub(crate) async fn all_channels(
    db: &DatabaseConnection,
    statements: &Statements,
) -> Result<Vec<(i64, ChannelName, Head)>> {
    let rows = db.query_all_raw(statements.all_channels()).await.map_err(StoreError::unavailable)?;
    rows.iter().map(read_listed).collect()
}

fn read_listed(row: &QueryResult) -> Result<(i64, ChannelName, Head)> {
    let id = row.try_get("", "id").map_err(StoreError::unavailable)?;
    let name: Option<String> = row.try_get("", "name").map_err(StoreError::unavailable)?;
    let key: Vec<u8> = row.try_get("", "components").map_err(StoreError::unavailable)?;
    let components = components(&key).ok_or(StoreError::Corrupt { what: "a channel's key" })?;
    let head = read_head(row).map_err(StoreError::unavailable)?;
    Ok((id, ChannelName::from_parts(components, name.as_deref()), head))
}

/// Returns the last of a channel's oldest blocks that was appended before a time.
pub(crate) async fn oldest_expired(
    db: &DatabaseConnection,
    statements: &Statements,
    channel: i64,
    before: SystemTime,
    most: u64,
) -> Result<Option<i64>> {
    let find = statements.oldest_expired(channel, before, most);
    let row = db.query_one_raw(find).await.map_err(StoreError::unavailable)?;
    row.map_or(Ok(None), |row| row.try_get("", "through")).map_err(StoreError::unavailable)
}

/// The pages of a channel from a position on.
#[derive(Debug)]
pub(crate) struct Pages {
    db: DatabaseConnection,
    statements: Statements,
    sync_horizon: SyncHorizon,
    channel: ChannelName,
    after: SequenceNumber,
    at_head: bool,
}

impl Pages {
    pub fn new(
        db: DatabaseConnection,
        statements: Statements,
        sync_horizon: SyncHorizon,
        channel: ChannelName,
        after: SequenceNumber,
    ) -> Self {
        Self { db, statements, sync_horizon, channel, after, at_head: false }
    }

    /// Tells whether the last page ended at the head, as it was then.
    pub fn is_at_head(&self) -> bool {
        self.at_head
    }

    /// Returns the next records; none at the head.
    pub async fn next(&mut self) -> Result<Vec<Record>> {
        let Some((head, blocks)) = self.load().await? else {
            self.at_head = true;
            return Ok(Vec::new());
        };
        if self.after < head.floor {
            return Err(StoreError::Gone { floor: head.floor });
        }
        let mut records = Vec::new();
        for block in blocks {
            records.extend(block.records(self.after)?);
        }
        for record in &records {
            if record.sequence != self.after.next() {
                return Err(self.broken().await);
            }
            self.after = record.sequence;
        }
        self.at_head = records.is_empty() || self.after >= head.last;
        Ok(records)
    }

    /// Returns the head, and the blocks of the next page; `None` where there is no such channel.
    async fn load(&self) -> Result<Option<(Head, Vec<block::Row>)>> {
        if self.statements.is_postgres() {
            return self.load_at_once().await;
        }
        let Some(ChannelRow { id, mut head, .. }) =
            find_channel(&self.db, &self.statements, &self.channel).await?
        else {
            return Ok(None);
        };
        head.last = self.sync_horizon.cap(&self.channel, head.last);
        let after = self.after.0 as i64;
        if self.after < head.floor || self.after >= head.last {
            return Ok(Some((head, Vec::new())));
        }
        let through = self.page_end(id, after, head.last.0 as i64).await?;
        let rows = self.query(self.statements.blocks(id, after, through)).await?;
        let blocks =
            rows.iter().map(block::Row::read).collect::<Result<_, _>>().map_err(StoreError::unavailable)?;
        Ok(Some((head, blocks)))
    }

    async fn load_at_once(&self) -> Result<Option<(Head, Vec<block::Row>)>> {
        let page = self.statements.page(&self.channel, self.after.0 as i64, PAGE_BLOCKS, PAGE_BYTES);
        let rows = self.query(page).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || -> Result<_, DbErr> {
            let head = read_head(row)?;
            let is_empty = row.try_get::<Option<i64>>("", "first")?.is_none();
            let blocks = rows.iter().filter(|_| !is_empty).map(block::Row::read).collect::<Result<_, _>>()?;
            Ok((head, blocks))
        };
        read().map(Some).map_err(StoreError::unavailable)
    }

    async fn query(&self, statement: Statement) -> Result<Vec<QueryResult>> {
        self.db.query_all_raw(statement).await.map_err(StoreError::unavailable)
    }

    /// Returns the last number of a page that is bounded in records and bytes.
    async fn page_end(&self, channel: i64, after: i64, last: i64) -> Result<i64> {
        let rows = self.query(self.statements.sizes(channel, after, PAGE_BLOCKS)).await?;
        let (mut through, mut bytes) = (after, 0);
        for row in &rows {
            let sequence = row.try_get("", "last").map_err(StoreError::unavailable)?;
            let size =
                row.try_get::<i64>("", "size").or_else(|_| row.try_get::<i32>("", "size").map(i64::from));
            bytes += size.map_err(StoreError::unavailable)?;
            if sequence > last || through > after && bytes > PAGE_BYTES {
                break;
            }
            through = sequence;
        }
        Ok(through)
    }

    /// A number is missing: either a trim overtook this reader, or the table is damaged.
    async fn broken(&self) -> StoreError {
        match find_channel(&self.db, &self.statements, &self.channel).await {
            Ok(Some(channel)) if self.after < channel.head.floor => {
                StoreError::Gone { floor: channel.head.floor }
            }
            Ok(_) => StoreError::Corrupt { what: "a record is missing in its channel" },
            Err(error) => error,
        }
    }
}
