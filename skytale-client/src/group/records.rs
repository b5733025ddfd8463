//! What openmls remembers, and what of it has changed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::PoisonError;

use openmls_rust_crypto::OpenMlsRustCrypto;
use openmls_traits::OpenMlsProvider as _;

/// Keys and values of openmls's storage, beside what of them is stored already.
#[derive(Default)]
pub(crate) struct Records {
    provider: OpenMlsRustCrypto,
    stored: HashMap<Vec<u8>, Vec<u8>>,
}

impl Records {
    /// Restores what was stored.
    pub fn restore(stored: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let records = Self { stored: stored.into_iter().collect(), ..Self::default() };
        records.values(|values| values.clone_from(&records.stored));
        records
    }

    pub fn provider(&self) -> &OpenMlsRustCrypto {
        &self.provider
    }

    /// Returns everything there is.
    pub fn all(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.values(|values| values.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Takes what differs from what is stored; it counts as stored from now on.
    pub fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let stored = &self.stored;
        let changes = self.values(|values| {
            let written = values.iter().filter(|(key, value)| stored.get(*key) != Some(*value));
            let mut changes: Vec<_> =
                written.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
            changes.extend(
                stored.keys().filter(|key| !values.contains_key(*key)).map(|key| (key.clone(), None)),
            );
            changes
        });
        for (key, value) in &changes {
            match value {
                Some(value) => self.stored.insert(key.clone(), value.clone()),
                None => self.stored.remove(key),
            };
        }
        changes
    }

    /// Takes another's place in the store.
    pub fn replacing(self, old: Self) -> Self {
        Self { stored: old.stored, ..self }
    }

    /// Splits into what has these keys and the rest, none of it counting as stored.
    pub fn split(self, is_first: impl Fn(&[u8]) -> bool) -> (BTreeMap<Vec<u8>, Vec<u8>>, Self) {
        let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.all().into_iter().partition(|(key, _)| is_first(key));
        let rest = Self::default();
        rest.values(|values| values.extend(second));
        (first, rest)
    }

    pub fn values<T>(&self, read: impl FnOnce(&mut HashMap<Vec<u8>, Vec<u8>>) -> T) -> T {
        read(&mut self.provider.storage().values.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clone for Records {
    fn clone(&self) -> Self {
        let (provider, stored) = (OpenMlsRustCrypto::default(), self.stored.clone());
        let copy = Self { provider, stored };
        self.values(|values| copy.values(|copied| copied.clone_from(values)));
        copy
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("count", &self.stored.len()).finish_non_exhaustive()
    }
}
