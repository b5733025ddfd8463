//! One transaction that appends for many callers, in many channels.

use std::collections::{BTreeMap, HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement, TransactionTrait};
use skytale_core::{ChannelName, Epoch, SequenceNumber};

use super::batch_plan::{BLOCKS, BatchPlan, OpenChannel};
use super::channel_cache::{CachedChannel, ChannelCache, Group, Groups};
use super::meter::{self, MeterId};
use super::request::Append;
use crate::contract::precondition::{GroupId, Precondition, PreconditionFailed};
use crate::contract::record::{Appended, MessageId, NewRecord};
use crate::error::{Result, StoreError};
use crate::sql::read::pages::ChannelRow;
use crate::sql::sqlite::dedicated_connection::DedicatedConnection;
use crate::sql::sqlite::sync_horizon::SyncHorizon;
use crate::sql::statements::{Statements, key};
use crate::usage_counts::Amounts;

/// The database that a group is committed to.
#[derive(Debug)]
pub(crate) enum Target {
    /// A database that other processes append to as well.
    Shared(DatabaseConnection, MeterId),
    /// The connection that alone appends to a file; what it commits is hidden where the commit leaves the sync to others.
    Own(DedicatedConnection, Option<SyncHorizon>),
}

impl Target {
    /// Tells whether commits leave the sync to others.
    pub fn hides(&self) -> bool {
        matches!(self, Self::Own(_, Some(_)))
    }

    /// Has commits leave the sync to others, and hidden until then, or sync by themselves.
    pub async fn hide(&mut self, sync_horizon: Option<SyncHorizon>) -> Result<(), DbErr> {
        let Self::Own(connection, hidden) = self else { return Ok(()) };
        connection.set_synchronous(if sync_horizon.is_some() { "NORMAL" } else { "FULL" }).await?;
        *hidden = sync_horizon;
        Ok(())
    }

    /// Appends for every caller of a group; the outer error is the transaction's, the inner ones the callers' own.
    pub async fn commit(
        &self,
        statements: &Statements,
        cache: &mut ChannelCache,
        group: &[Append],
    ) -> Result<Vec<Result<Appended>>, DbErr> {
        match self {
            Self::Shared(db, meter) => {
                let transaction = db.begin().await?;
                let work = Work { connection: &transaction, statements, meter: *meter };
                let mut plan = work.plan(cache, group).await?;
                work.write(&mut plan).await?;
                transaction.commit().await?;
                Ok(plan.outcomes)
            }
            Self::Own(connection, sync_horizon) => {
                commit_own(connection, sync_horizon.as_ref(), statements, cache, group).await
            }
        }
    }
}

/// Commits with what is remembered of the file; what needs one statement needs no more than that.
async fn commit_own(
    connection: &DedicatedConnection,
    sync_horizon: Option<&SyncHorizon>,
    statements: &Statements,
    cache: &mut ChannelCache,
    group: &[Append],
) -> Result<Vec<Result<Appended>>, DbErr> {
    let work = Work { connection, statements, meter: MeterId::SOLE };
    let mut planned = None;
    if group.iter().all(|append| cache.suffices_for(append)) {
        let mut plan = work.plan(cache, group).await?;
        if plan.is_one_statement() {
            plan.hide_from(sync_horizon);
            work.write(&mut plan).await?;
            return Ok(plan.store_in(cache));
        }
        planned = Some(plan);
    }
    let known = &*cache;
    let plan = connection.transaction(async {
        let mut plan = match planned {
            Some(plan) => plan,
            None => work.plan(known, group).await?,
        };
        plan.hide_from(sync_horizon);
        work.write(&mut plan).await?;
        Ok(plan)
    });
    Ok(plan.await?.store_in(cache))
}

/// The most channels that one statement locks.
const CHANNELS: usize = 512;

struct Work<'a, C> {
    connection: &'a C,
    statements: &'a Statements,
    meter: MeterId,
}

impl<C: ConnectionTrait> Work<'_, C> {
    async fn plan<'g>(&self, cache: &ChannelCache, group: &'g [Append]) -> Result<BatchPlan<'g>, DbErr> {
        let mut channels = self.open_all(cache, group).await?;
        self.load_repetitions(&mut channels, group).await?;
        let (mut outcomes, mut used) = (Vec::with_capacity(group.len()), Amounts::new());
        for append in group {
            let channel = channels.get_mut(&append.channel.components()).expect("opened above");
            let outcome = self.append(channel, append).await?;
            meter::count(&mut used, append, &outcome);
            outcomes.push(outcome);
        }
        Ok(BatchPlan { channels, used, outcomes })
    }

    /// Opens the channels of a group, in the order of their keys so that two processes never wait for each other.
    async fn open_all<'g>(
        &self,
        cache: &ChannelCache,
        group: &'g [Append],
    ) -> Result<BTreeMap<[u64; 3], OpenChannel<'g>>, DbErr> {
        let names: BTreeMap<_, _> =
            group.iter().map(|append| (append.channel.components(), &append.channel)).collect();
        let unknown: Vec<_> = names.values().copied().filter(|name| cache.get(name).is_none()).collect();
        let mut rows = self.open(&unknown).await?;
        let mut channels = BTreeMap::new();
        for (components, name) in names {
            let known = match cache.get(name) {
                Some(known) => known.clone(),
                None => {
                    let row = rows.remove(&components);
                    let lost = || DbErr::RecordNotFound("a channel that was just created".into());
                    CachedChannel { row: row.ok_or_else(lost)?, groups: Groups::default() }
                }
            };
            channels.insert(components, OpenChannel::new(name, known));
        }
        Ok(channels)
    }

    /// Locks channels, which are in the order of their keys, and makes those that do not exist. These are made before any
    /// is locked, so that no process waits for a channel while another one waits for those that it has locked.
    async fn open(&self, names: &[&ChannelName]) -> Result<HashMap<[u64; 3], ChannelRow>, DbErr> {
        if let [name] = names
            && let Some(row) = self.lock(names).await?.pop()
        {
            return Ok([(name.components(), row)].into());
        }
        for names in names.chunks(CHANNELS) {
            self.create_missing(names).await?;
        }
        let mut rows = HashMap::new();
        for names in names.chunks(CHANNELS) {
            let locked = self.lock(names).await?;
            rows.extend(locked.into_iter().map(|row| (row.components, row)));
        }
        Ok(rows)
    }

    async fn create_missing(&self, names: &[&ChannelName]) -> Result<(), DbErr> {
        let existing = self.connection.query_all_raw(self.statements.existing_channels(names)).await?;
        let existing: Result<HashSet<Vec<u8>>, _> =
            existing.iter().map(|row| row.try_get("", "components")).collect();
        let existing = existing?;
        let missing: Vec<_> = names.iter().copied().filter(|name| !existing.contains(&key(name))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.execute(self.statements.create_channels(&missing)).await
    }

    /// Locks channels that exist, and gives them the names that they lack.
    async fn lock(&self, names: &[&ChannelName]) -> Result<Vec<ChannelRow>, DbErr> {
        let rows = self.connection.query_all_raw(self.statements.lock_channels(names)).await?;
        let rows: Vec<_> = rows.iter().map(ChannelRow::read).collect::<Result<_, _>>()?;
        for row in rows.iter().filter(|row| !row.is_named) {
            let name = names.iter().find(|name| name.components() == row.components);
            if let Some(text) = name.and_then(|name| name.text()) {
                self.execute(self.statements.name_channel(row.id, text)).await?;
            }
        }
        Ok(rows)
    }

    async fn append(
        &self,
        channel: &mut OpenChannel<'_>,
        append: &Append,
    ) -> Result<Result<Appended>, DbErr> {
        let repeated = |record: &NewRecord| record.message_id.is_some_and(|id| channel.ids.contains_key(&id));
        if !append.records.is_empty() && append.records.iter().all(repeated) {
            return Ok(Ok(append.records.iter().map(|record| channel.push(record)).collect()));
        }
        match self.decide(channel, &append.precondition).await? {
            Err(conflict) => Ok(Err(conflict)),
            Ok(advanced) => {
                let appended = append.records.iter().map(|record| channel.push(record)).collect();
                channel.advance(&append.precondition, advanced);
                Ok(Ok(appended))
            }
        }
    }

    /// Finds which of a group's message ids its channels hold already.
    async fn load_repetitions(
        &self,
        channels: &mut BTreeMap<[u64; 3], OpenChannel<'_>>,
        group: &[Append],
    ) -> Result<(), DbErr> {
        let mut ids = BTreeMap::<_, Vec<MessageId>>::new();
        for append in group {
            for id in append.records.iter().filter_map(|record| record.message_id) {
                ids.entry(append.channel.components()).or_default().push(id);
            }
        }
        for (components, ids) in ids {
            let channel = channels.get_mut(&components).expect("opened before");
            for ids in chunks(&ids) {
                self.load_ids(channel, ids).await?;
            }
        }
        Ok(())
    }

    async fn load_ids(&self, channel: &mut OpenChannel<'_>, ids: &[MessageId]) -> Result<(), DbErr> {
        for row in self.connection.query_all_raw(self.statements.find_messages(channel.row.id, ids)).await? {
            let (id, sequence): (Vec<u8>, i64) =
                (row.try_get("", "message_id")?, row.try_get("", "sequence")?);
            if let Ok(id) = id.try_into() {
                channel.ids.insert(MessageId(id), SequenceNumber(sequence as u64));
            }
        }
        Ok(())
    }

    async fn decide(
        &self,
        channel: &mut OpenChannel<'_>,
        precondition: &Precondition,
    ) -> Result<Result<Option<Epoch>>, DbErr> {
        let Some(group) = precondition.group() else { return Ok(Ok(None)) };
        self.load_groups(channel, group, precondition.is_sole()).await?;
        let known = channel.groups.known.get(group).copied();
        let others = channel.groups.known.len() > usize::from(known.is_some());
        let decision = precondition.decide(known.map(|group| group.epoch), others);
        Ok(decision.map_err(|unmet| match unmet {
            PreconditionFailed::OtherGroup => StoreError::OtherGroup,
            PreconditionFailed::Epoch(current) => StoreError::Conflict {
                current,
                winner: known.map(|group| group.winner),
                last: channel.row.head.last,
            },
        }))
    }

    async fn load_groups(
        &self,
        channel: &mut OpenChannel<'_>,
        id: &GroupId,
        sole: bool,
    ) -> Result<(), DbErr> {
        let suffices = channel.groups.known.contains_key(id) && !sole;
        if channel.groups.complete || suffices {
            return Ok(());
        }
        let find = match sole {
            true => self.statements.find_epochs(channel.row.id),
            false => self.statements.find_epoch(channel.row.id, id.as_bytes()),
        };
        let rows = self.connection.query_all_raw(find).await?;
        channel.groups.complete = sole && rows.len() < 2;
        for row in rows {
            let (epoch, winner): (i64, i64) = (row.try_get("", "epoch")?, row.try_get("", "winner")?);
            let Ok(id) = GroupId::new(row.try_get::<Vec<u8>>("", "group_id")?) else { continue };
            let (epoch, winner) = (Epoch(epoch as u64), SequenceNumber(winner as u64));
            channel.groups.known.entry(id).or_insert(Group { epoch, winner, changed: false });
        }
        Ok(())
    }

    async fn write(&self, plan: &mut BatchPlan<'_>) -> Result<(), DbErr> {
        self.write_blocks(&mut plan.channels).await?;
        for ((account, day), used) in std::mem::take(&mut plan.used) {
            self.execute(self.statements.add_usage(self.meter, &account, day, used)).await?;
        }
        for channel in plan.channels.values_mut() {
            let id = channel.row.id;
            for ids in chunks(&std::mem::take(&mut channel.new_ids)) {
                self.execute(self.statements.insert_messages(id, ids)).await?;
            }
            for (group, state) in channel.groups.known.iter_mut().filter(|(_, state)| state.changed) {
                state.changed = false;
                let (epoch, winner) = (state.epoch.0 as i64, state.winner.0 as i64);
                self.execute(self.statements.set_epoch(id, group.as_bytes(), epoch, winner)).await?;
            }
        }
        Ok(())
    }

    async fn write_blocks(&self, channels: &mut BTreeMap<[u64; 3], OpenChannel<'_>>) -> Result<(), DbErr> {
        let mut blocks = Vec::new();
        for channel in channels.values_mut() {
            let ChannelRow { id, last_appended_at, .. } = channel.row;
            blocks.extend(channel.blocks.drain(..).map(|block| (id, block, last_appended_at)));
        }
        while !blocks.is_empty() {
            let some = blocks.drain(..blocks.len().min(BLOCKS)).collect();
            self.execute(self.statements.insert_blocks(some)?).await?;
        }
        Ok(())
    }

    async fn execute(&self, statement: Statement) -> Result<(), DbErr> {
        self.connection.execute_raw(statement).await.map(drop)
    }
}

/// Cuts a list into lengths of which there are few, so that their statements are prepared once.
fn chunks<T>(mut list: &[T]) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    while !list.is_empty() {
        let length = [256, 64, 16, 4, 1].into_iter().find(|length| *length <= list.len()).unwrap_or(1);
        let (chunk, rest) = list.split_at(length);
        chunks.push(chunk);
        list = rest;
    }
    chunks
}
