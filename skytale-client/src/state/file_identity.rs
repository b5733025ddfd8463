//! Whether a state is where it was made, or a copy of it, as out of a backup: what a copy lacks may have been sent.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// What is another one for a copy of a file: which machine it is on, and when and as which inode it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity([u8; 32]);

/// Where Linux keeps the machine's identity (machine-id(5)); containers often have none.
const MACHINE: &str = "/etc/machine-id";

impl FileIdentity {
    pub fn of(file: &Path) -> Result<Self> {
        let metadata = fs::metadata(file).map_err(Error::state)?;
        let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let mut hash = Sha256::new();
        hash.update(fs::read(MACHINE).unwrap_or_default());
        hash.update(made.map_or(0, |made| made.as_nanos()).to_be_bytes());
        #[cfg(unix)]
        hash.update(std::os::unix::fs::MetadataExt::ino(&metadata).to_be_bytes());
        Ok(Self(hash.finalize().into()))
    }

    pub fn hint(&self) -> &[u8] {
        &self.0
    }
}
