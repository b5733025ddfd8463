//! Options of a store in a SQL database.

use crate::contract::store::Durability;

/// Options of a [`SqlStore`](super::SqlStore).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqlOptions {
    /// What a returned append survives. Default: [`Durability::Disk`].
    pub durability: Durability,
    /// The most connections to the database. Default: 8.
    pub connections: u32,
    /// The most records that wait to be appended; further callers wait. Default: 8,192.
    pub waiting: usize,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self { durability: Durability::Disk, connections: 8, waiting: 8192 }
    }
}

impl SqlOptions {
    /// Sets what a returned append survives: [`Durability::Disk`], or [`Durability::Process`] for speed.
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets the most connections to the database; at least 2.
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(2);
        self
    }
}
