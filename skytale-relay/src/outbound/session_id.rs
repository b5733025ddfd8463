//! The number of a session.

use std::sync::atomic::{AtomicU64, Ordering};

/// One session, unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(u64);

impl SessionId {
    /// Stands for whoever sent what other relays handed over: no session of this one.
    pub const NOBODY: Self = Self(0);

    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
