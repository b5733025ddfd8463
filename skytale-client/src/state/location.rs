//! Where an agent's state is kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Records;
use super::cipher::Cipher;
use super::file::File;
use crate::error::{Error, Result};

/// Where an agent's state is kept: its keys, its groups, and messages on their way.
#[derive(Clone)]
pub struct StateStore {
    place: Location,
    key: Option<Zeroizing<[u8; 32]>>,
    durability: Durability,
}

#[derive(Clone, Debug)]
enum Location {
    Memory,
    Directory(PathBuf),
}

/// What the state survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A power failure: every step is on stable storage before anything of it is sent.
    #[default]
    Full,
    /// The end of the process. After a power failure the last steps may be gone; an agent that was not closed properly
    /// gives itself new keys before it sends again, so that no key is used twice.
    Relaxed,
}

impl StateStore {
    /// Keeps everything in memory: with the process, the agent is gone.
    pub fn memory() -> Self {
        Self { place: Location::Memory, key: None, durability: Durability::Full }
    }

    /// Keeps everything in one SQLite file in a directory of the agent's own, which is made if it is missing.
    ///
    /// An agent whose file is a copy, as one that was restored from a backup to a new place, gives itself new keys on each
    /// channel before it sends there: what the copy lacks may have been sent. A file that was written over, and a machine that
    /// was set back as a whole, are not noticed. Two copies must not be used beside each other.
    ///
    /// Without [`encrypted_with`](Self::encrypted_with) the file is protected by its permissions alone (0600). Not for
    /// network file systems, whose locks cannot be relied on.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self { place: Location::Directory(path.into()), key: None, durability: Durability::Full }
    }

    /// Encrypts what is stored with a key (XChaCha20-Poly1305). Names of channels stay readable.
    pub fn encrypted_with(mut self, key: [u8; 32]) -> Self {
        self.key = Some(Zeroizing::new(key));
        self
    }

    /// Sets what the state survives. Default: [`Durability::Full`].
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Opens the state.
    pub(crate) async fn open(&self) -> Result<Records> {
        let Location::Directory(path) = &self.place else {
            return Ok(Records::Memory(Arc::default()));
        };
        refuse_links(path)?;
        let cipher = self.key.as_ref().map_or(Cipher::None, |key| Cipher::new(key));
        Ok(Records::File(File::open(path.clone(), cipher, self.durability).await?))
    }
}

/// Whoever can place a link could have the keys written elsewhere.
fn refuse_links(path: &Path) -> Result<()> {
    for path in [path.to_owned(), path.join(super::file::NAME), path.join(super::lock::NAME)] {
        if path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_symlink()) {
            let what = format!("{} is a symbolic link: name the place itself", path.display());
            return Err(Error::configuration(what));
        }
    }
    Ok(())
}

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("place", &self.place)
            .field("encrypted", &self.key.is_some())
            .field("durability", &self.durability)
            .finish()
    }
}
