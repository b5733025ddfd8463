//! The plan of a transaction: its new records in each channel, before they are written.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use skytale_core::{ChannelName, Epoch, SequenceNumber};

use super::block::Block;
use super::channel_cache::{CachedChannel, ChannelCache, Group, Groups};
use crate::contract::precondition::Precondition;
use crate::contract::record::{AppendOutcome, Appended, MessageId, NewRecord};
use crate::error::Result;
use crate::sql::read::pages::ChannelRow;
use crate::sql::sqlite::sync_horizon::SyncHorizon;
use crate::sql::statements::millis;
use crate::usage_counts::Amounts;

/// The most blocks that one statement inserts.
pub(super) const BLOCKS: usize = 64;

/// The plan of one group of appends, before it is written.
pub(super) struct BatchPlan<'a> {
    pub channels: BTreeMap<[u64; 3], OpenChannel<'a>>,
    pub used: Amounts,
    pub outcomes: Vec<Result<Appended>>,
}

impl BatchPlan<'_> {
    /// Tells it of a plan that has blocks and nothing else.
    pub fn is_one_statement(&self) -> bool {
        self.used.is_empty()
            && self.channels.values().map(|channel| channel.blocks.len()).sum::<usize>() <= BLOCKS
    }

    pub fn hide_from(&self, sync_horizon: Option<&SyncHorizon>) {
        let Some(sync_horizon) = sync_horizon else { return };
        for (components, channel) in &self.channels {
            if let (Some(first), Some(last)) = (channel.blocks.first(), channel.blocks.last()) {
                sync_horizon.hide(*components, SequenceNumber(first.first.0 - 1), last.last);
            }
        }
    }

    pub fn store_in(self, cache: &mut ChannelCache) -> Vec<Result<Appended>> {
        let known =
            |open: OpenChannel<'_>| (open.name.clone(), CachedChannel { row: open.row, groups: open.groups });
        cache.store(self.channels.into_values().map(known));
        self.outcomes
    }
}

/// A channel while a transaction appends to it.
pub(super) struct OpenChannel<'a> {
    pub name: &'a ChannelName,
    pub row: ChannelRow,
    pub blocks: Vec<Block>,
    pub ids: HashMap<MessageId, SequenceNumber>,
    pub new_ids: Vec<(MessageId, SequenceNumber)>,
    pub groups: Groups,
}

impl<'a> OpenChannel<'a> {
    pub fn new(name: &'a ChannelName, CachedChannel { row, groups }: CachedChannel) -> Self {
        let (blocks, ids, new_ids) = Default::default();
        Self { name, row, blocks, ids, new_ids, groups }
    }

    pub fn push(&mut self, record: &NewRecord) -> AppendOutcome {
        if let Some(first) = record.message_id.and_then(|id| self.ids.get(&id)) {
            return AppendOutcome::Duplicate(*first);
        }
        let sequence = self.row.head.last.next();
        self.row.head.last = sequence;
        self.row.last_appended_at = self.row.last_appended_at.max(millis(SystemTime::now()));
        if let Some(id) = record.message_id {
            self.ids.insert(id, sequence);
            self.new_ids.push((id, sequence));
        }
        match self.blocks.last_mut() {
            Some(block) if !block.is_full_for(record) => block.push(record),
            _ => {
                let mut block = Block::starting_at(sequence);
                block.push(record);
                self.blocks.push(block);
            }
        }
        AppendOutcome::Appended(sequence)
    }

    pub fn advance(&mut self, precondition: &Precondition, advanced: Option<Epoch>) {
        if let (Some(epoch), Some(group)) = (advanced, precondition.group()) {
            self.groups
                .known
                .insert(group.clone(), Group { epoch, winner: self.row.head.last, changed: true });
        }
    }
}
