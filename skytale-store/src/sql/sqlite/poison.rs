//! The state of a store whose disk has failed: it rejects every further write.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

/// Why the storage is given up; nothing while it works.
///
/// A failed sync is never tried again: the system forgets what it could not write and reports the next sync as done. The
/// log on disk still holds what was answered, so a new start recovers it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Poison(Arc<OnceLock<String>>);

impl Poison {
    /// Gives the storage up.
    pub fn set(&self, file: &str, error: &dyn Display) {
        tracing::error!(%error, file, "could not be synced to the disk; nothing more is appended");
        let _ = self.0.set(format!(
            "{file} could not be synced to the disk ({error}): nothing more is appended until the store is opened again"
        ));
    }

    /// Returns what callers are told.
    pub fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}
