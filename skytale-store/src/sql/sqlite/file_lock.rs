//! The lock by which a SQLite file belongs to one process, and the names of the files beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};

/// An exclusive lock on a file beside the database, freed by the system however the process ends.
#[derive(Debug)]
pub(crate) struct FileLock(#[expect(dead_code, reason = "held, not read")] File);

impl FileLock {
    /// Locks a database for this process.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while another process has it.
    pub fn take(database: &Path) -> Result<Self> {
        let path = beside(database, ".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(StoreError::unavailable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: database.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(StoreError::unavailable(error)),
        }
    }
}

/// Returns the path of a file that SQLite or the store keeps beside the database.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
