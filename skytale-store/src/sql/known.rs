//! What the writer remembers of the channels in a file that it alone appends to.

use std::collections::HashMap;

use skytale_core::{ChannelName, Epoch, SequenceNumber};

use super::page::ChannelRow;
use super::writer::Append;
use crate::store::{GroupId, Precondition};

/// The rows of channels that only this process appends to; SQLite alone, whose file has one owner.
#[derive(Debug, Default)]
pub(super) struct ChannelCache(HashMap<ChannelName, Known>);

/// A channel's row, and what is known of its groups.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub row: ChannelRow,
    pub groups: Groups,
}

/// The epochs of a channel's groups.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    pub known: HashMap<GroupId, Group>,
    /// Whether there are no others.
    pub complete: bool,
}

/// A group's epoch, and the number of the commit that began it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub epoch: Epoch,
    pub winner: SequenceNumber,
    pub changed: bool,
}

/// The most rows that are remembered.
const CACHED_CHANNELS: usize = 100_000;

impl ChannelCache {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn get(&self, name: &ChannelName) -> Option<&Known> {
        self.0.get(name)
    }

    /// Tells whether an append can be planned from what is remembered alone.
    pub fn suffices_for(&self, append: &Append) -> bool {
        let no_ids = append.records.iter().all(|record| record.message_id.is_none());
        no_ids && append.precondition == Precondition::Any && self.0.contains_key(&append.channel)
    }

    pub fn store(&mut self, channels: impl ExactSizeIterator<Item = (ChannelName, Known)>) {
        if self.0.len() + channels.len() > CACHED_CHANNELS {
            self.0.clear();
        }
        self.0.extend(channels);
    }
}
