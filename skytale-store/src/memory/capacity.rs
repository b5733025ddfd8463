//! Capacity of a channel in memory.

/// The capacity of each channel of a [`MemoryStore`](super::MemoryStore); the oldest records are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryCapacity {
    /// The most records. Default: 65,536.
    pub records: usize,
    /// The most bytes of bodies. Default: 64 MiB.
    pub bytes: usize,
}

impl Default for MemoryCapacity {
    fn default() -> Self {
        Self { records: 65_536, bytes: 64 * 1024 * 1024 }
    }
}
