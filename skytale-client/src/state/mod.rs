//! What an agent remembers: records by scope (the agent itself, or one of its channels), in one SQLite file.

mod cipher;
mod file;
mod file_identity;
pub(crate) mod location;
mod lock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use location::{Durability, StateStore};

use crate::error::Result;
use crate::machine::effects::{Change, EventKey, Kind};
use crate::machine::stored::Stored;
use file::File;

/// The agent's own scope; channels have their names.
pub(crate) const AGENT: &str = "";

/// Changes of one scope.
pub(crate) type Step = (String, Vec<Change>);

/// How many events are taken from the state at once, and the bytes beyond which no more are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub events: usize,
    pub bytes: usize,
}

/// Events that the state holds, by their keys.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub events: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether there may be more.
    pub more: bool,
}

/// An open state. Clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Records {
    Memory(Arc<Mutex<BTreeMap<String, Stored>>>),
    File(File),
}

impl Records {
    /// Makes the changes of all steps, or none of them. They are on disk when it returns, if the state is.
    pub async fn commit(&self, steps: Vec<Step>) -> Result<()> {
        match self {
            Self::Memory(scopes) => {
                let mut scopes = scopes.lock().unwrap_or_else(PoisonError::into_inner);
                for (scope, changes) in steps {
                    apply(scopes.entry(scope).or_default(), changes);
                }
                Ok(())
            }
            Self::File(file) => file.commit(steps).await,
        }
    }

    /// Returns what is stored in a scope, without its events.
    pub async fn load(&self, scope: &str) -> Result<Stored> {
        match self {
            Self::Memory(scopes) => {
                let scopes = scopes.lock().unwrap_or_else(PoisonError::into_inner);
                let mut stored = scopes.get(scope).cloned().unwrap_or_default();
                stored.remove(&Kind::Event);
                Ok(stored)
            }
            Self::File(file) => file.load(scope).await,
        }
    }

    /// Returns the channels that the agent knows.
    pub async fn channels(&self) -> Result<Vec<String>> {
        match self {
            Self::Memory(scopes) => {
                let scopes = scopes.lock().unwrap_or_else(PoisonError::into_inner);
                let known = scopes.iter().filter(|(_, stored)| stored.contains_key(&Kind::Channel));
                Ok(known.map(|(scope, _)| scope.clone()).collect())
            }
            Self::File(file) => file.channels().await,
        }
    }

    /// Returns a channel's events after one of them.
    pub async fn events(&self, scope: &str, after: EventKey, most: Page) -> Result<Found> {
        match self {
            Self::Memory(scopes) => {
                let scopes = scopes.lock().unwrap_or_else(PoisonError::into_inner);
                let events = scopes.get(scope).and_then(|stored| stored.get(&Kind::Event));
                let after = events.into_iter().flatten().filter(|(key, _)| **key > after.to_bytes());
                let mut bytes = 0;
                let fits = |(_, value): &(&Vec<u8>, &Vec<u8>)| {
                    let fits = bytes < most.bytes;
                    bytes += value.len();
                    fits
                };
                let events: Vec<_> = after.take(most.events).take_while(fits).collect();
                let more = bytes >= most.bytes || events.len() == most.events;
                let events = events.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                Ok(Found { events, more })
            }
            Self::File(file) => file.events(scope, after, most).await,
        }
    }

    /// Forgets a scope.
    pub async fn forget(&self, scope: &str) -> Result<()> {
        match self {
            Self::Memory(scopes) => {
                scopes.lock().unwrap_or_else(PoisonError::into_inner).remove(scope);
                Ok(())
            }
            Self::File(file) => file.forget(scope).await,
        }
    }

    /// Waits until the file is closed, and may be opened by another process.
    pub async fn close(&self) {
        if let Self::File(file) = self {
            file.close().await;
        }
    }
}

/// Makes changes to what is kept in memory.
pub(crate) fn apply(stored: &mut Stored, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Put { kind, key, value } => {
                stored.entry(kind).or_default().insert(key, value);
            }
            Change::Delete { kind, key } => {
                stored.entry(kind).or_default().remove(&key);
            }
            Change::DeleteThrough { kind, key } => {
                stored.entry(kind).or_default().retain(|candidate, _| *candidate > key);
            }
        }
    }
}
