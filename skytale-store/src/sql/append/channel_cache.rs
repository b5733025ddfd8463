//! The writer's cache of channel rows, for a file that it alone appends to.

use std::collections::HashMap;

use skytale_core::{ChannelName, Epoch, SequenceNumber};

use super::request::Append;
use crate::contract::precondition::{GroupId, Precondition};
use crate::sql::read::pages::ChannelRow;

/// The rows of channels that only this process appends to; SQLite alone, whose file has one owner.
#[derive(Debug, Default)]
pub(crate) struct ChannelCache(HashMap<ChannelName, CachedChannel>);

/// A channel's row, and what is known of its groups.
#[derive(Clone, Debug)]
pub(crate) struct CachedChannel {
    pub row: ChannelRow,
    pub groups: Groups,
}

/// The epochs of a channel's groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    pub known: HashMap<GroupId, Group>,
    /// Whether there are no others.
    pub complete: bool,
}

/// A group's epoch, and the number of the commit that began it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub epoch: Epoch,
    pub winner: SequenceNumber,
    pub changed: bool,
}

/// The most rows that are remembered.
const CACHED_CHANNELS: usize = 100_000;

/// The most groups of a channel that are remembered, as each append takes them along; those of a channel that has more are
/// read when they are needed.
const CACHED_GROUPS: usize = 16;

impl ChannelCache {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn get(&self, name: &ChannelName) -> Option<&CachedChannel> {
        self.0.get(name)
    }

    /// Tells whether an append can be planned from what is remembered alone.
    pub fn suffices_for(&self, append: &Append) -> bool {
        let no_ids = append.records.iter().all(|record| record.message_id.is_none());
        no_ids && append.precondition == Precondition::Any && self.0.contains_key(&append.channel)
    }

    pub fn store(&mut self, channels: impl ExactSizeIterator<Item = (ChannelName, CachedChannel)>) {
        if self.0.len() + channels.len() > CACHED_CHANNELS {
            self.0.clear();
        }
        self.0.extend(
            channels.map(|(name, known)| (name, CachedChannel { groups: known.groups.if_few(), ..known })),
        );
    }
}

impl Groups {
    fn if_few(self) -> Self {
        if self.known.len() > CACHED_GROUPS { Self::default() } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::store::Head;

    fn known(groups: usize) -> CachedChannel {
        let row = ChannelRow {
            id: 1,
            components: [1, 2, 3],
            is_named: false,
            head: Head::default(),
            last_appended_at: 0,
        };
        let group = Group { epoch: Epoch(1), winner: SequenceNumber(1), changed: false };
        let id = |number: usize| GroupId::new(number.to_be_bytes().to_vec()).expect("short");
        CachedChannel {
            row,
            groups: Groups { known: (0..groups).map(|number| (id(number), group)).collect(), complete: true },
        }
    }

    #[test]
    fn groups_are_remembered_where_there_are_few() {
        let name = ChannelName::from_components([1, 2, 3]);
        let mut cache = ChannelCache::default();
        for (groups, kept) in [(CACHED_GROUPS, CACHED_GROUPS), (CACHED_GROUPS + 1, 0)] {
            cache.store([(name.clone(), known(groups))].into_iter());
            let Groups { known, complete } = &cache.get(&name).expect("remembered").groups;
            assert_eq!((known.len(), *complete), (kept, kept > 0));
        }
    }
}
