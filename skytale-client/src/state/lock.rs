//! One process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// An exclusive lock on the state's directory, freed by the system however the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// The file in the state's directory.
pub(super) const NAME: &str = "lock";

impl Lock {
    pub fn take(directory: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        private(&mut options);
        let mut file = options.open(directory.join(NAME)).map_err(Error::state)?;
        match file.try_lock() {
            Ok(()) => {
                let written = file.set_len(0).and_then(|()| file.rewind());
                written
                    .and_then(|()| write!(file, "process {}", std::process::id()))
                    .map_err(Error::state)?;
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = (&file).take(64).read_to_string(&mut holder);
                let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
                Err(Error::StateInUse { path: directory.display().to_string(), holder })
            }
            Err(TryLockError::Error(error)) => Err(Error::state(error)),
        }
    }
}

/// Files of the state are nobody else's.
pub(super) fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}
