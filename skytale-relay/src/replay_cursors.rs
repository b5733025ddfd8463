//! Positions of agents that went away, from which their replay begins when they are back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use skytale_core::{Name, SequenceNumber};

/// Whose subscription to what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CursorOwner {
    pub account: Arc<str>,
    pub source: Name,
    pub destination: Name,
}

/// The positions of agents that went away, in memory; the oldest make room for new ones.
#[derive(Debug, Default)]
pub(crate) struct ReplayCursors {
    generations: Mutex<[HashMap<CursorOwner, SequenceNumber>; 2]>,
}

/// How many positions each of the two generations holds.
const GENERATION: usize = 65_536;

impl ReplayCursors {
    pub fn keep(&self, subscriber: CursorOwner, position: SequenceNumber) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations[0].len() >= GENERATION {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert(subscriber, position);
    }

    pub fn take(&self, subscriber: &CursorOwner) -> Option<SequenceNumber> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [newer, older] = &mut *generations;
        newer.remove(subscriber).into_iter().chain(older.remove(subscriber)).next()
    }
}
