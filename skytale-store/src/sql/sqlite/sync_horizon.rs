//! Hides committed records that are not yet on stable storage: a power failure could take them back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skytale_core::{ChannelName, SequenceNumber};

/// The channels that have such records; few, and none at rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct SyncHorizon(Arc<Mutex<HashMap<[u64; 3], Edge>>>);

/// Where a channel's synced records end, and where its written ones do.
#[derive(Clone, Copy, Debug)]
struct Edge {
    synced: SequenceNumber,
    written: SequenceNumber,
}

impl SyncHorizon {
    /// Hides a channel's records after `synced`, unless it has hidden ones already; before they are committed.
    pub fn hide(&self, channel: [u64; 3], synced: SequenceNumber, written: SequenceNumber) {
        self.edges().entry(channel).or_insert(Edge { synced, written }).written = written;
    }

    /// Shows the records of channels up to numbers.
    pub fn show(&self, channels: impl Iterator<Item = ([u64; 3], SequenceNumber)>) {
        let mut edges = self.edges();
        for (channel, synced) in channels {
            let Some(edge) = edges.get_mut(&channel) else { continue };
            edge.synced = synced;
            if edge.written == synced {
                edges.remove(&channel);
            }
        }
    }

    /// Shows everything, also what failed commits had hidden.
    pub fn show_all(&self) {
        self.edges().clear();
    }

    /// Returns what of a channel may be seen, whose last number was read from the database before.
    pub fn cap(&self, channel: &ChannelName, last: SequenceNumber) -> SequenceNumber {
        self.edges().get(&channel.components()).map_or(last, |edge| edge.synced.min(last))
    }

    fn edges(&self) -> MutexGuard<'_, HashMap<[u64; 3], Edge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u64; 3] = [1, 2, 3];

    fn seen(sync_horizon: &SyncHorizon, last: u64) -> u64 {
        sync_horizon.cap(&ChannelName::from_components(KEY), SequenceNumber(last)).0
    }

    #[test]
    fn a_channel_is_seen_up_to_its_last_sync() {
        let sync_horizon = SyncHorizon::default();
        assert_eq!(seen(&sync_horizon, 5), 5);
        sync_horizon.hide(KEY, SequenceNumber(5), SequenceNumber(7));
        sync_horizon.hide(KEY, SequenceNumber(7), SequenceNumber(9));
        assert_eq!((seen(&sync_horizon, 9), seen(&sync_horizon, 4)), (5, 4));
        sync_horizon.show([(KEY, SequenceNumber(7))].into_iter());
        assert_eq!(seen(&sync_horizon, 9), 7);
        sync_horizon.show([(KEY, SequenceNumber(9))].into_iter());
        assert_eq!(seen(&sync_horizon, 11), 11);
        assert!(sync_horizon.edges().is_empty());
    }
}
