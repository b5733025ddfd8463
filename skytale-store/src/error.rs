//! Errors of a store: those of the caller, and those of the storage.

use skytale_core::{Epoch, SequenceNumber};
use thiserror::Error;

/// The result of a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A cause from below the store.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The precondition does not hold; nothing was appended.
    #[error("the group is at epoch {current} already")]
    Conflict {
        /// The group's current epoch.
        current: Epoch,
        /// The commit that made it current, where the log knows it.
        winner: Option<SequenceNumber>,
        /// The channel's last number.
        last: SequenceNumber,
    },
    /// The channel belongs to another MLS group; nothing was appended.
    #[error("the channel belongs to another group")]
    OtherGroup,
    /// The records asked for were trimmed; read on from the floor.
    #[error("records up to {floor} are no longer kept")]
    Gone {
        /// The last number trimmed.
        floor: SequenceNumber,
    },
    /// The storage cannot be reached or failed; the same call may succeed later.
    #[error("the storage is unavailable")]
    Unavailable {
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The storage has no room; nothing was appended. The same call may succeed once something was trimmed.
    #[error("the storage is full: {what}")]
    Full {
        /// Which bound was reached.
        what: String,
    },
    /// The storage is held by another process.
    #[error("{path} is in use by another process: stop it, or choose another data directory")]
    InUse {
        /// The file.
        path: String,
    },
    /// What was asked is not valid.
    #[error("{what}")]
    Invalid {
        /// What is wrong, and what is allowed.
        what: &'static str,
    },
    /// The storage holds what a store never writes.
    #[error("the storage is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: &'static str,
    },
}

impl StoreError {
    /// Wraps a failure of the storage.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { source: source.into() }
    }

    /// Tells whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. } | Self::InUse { .. })
    }
}
