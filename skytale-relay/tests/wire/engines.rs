//! What the relays of a test share: a store, a directory and a backplane.
//!
//! By default a test has one relay. With `SKYTALE_TEST_RELAYS=memory` it has two that share everything, and its agents
//! are at either in turn.

use std::sync::Arc;

use skytale_relay::Relay;
use skytale_store::{MemoryBackplane, MemoryStore, Store};

/// What tests may ask for in `SKYTALE_TEST_RELAYS`.
const VARIABLE: &str = "SKYTALE_TEST_RELAYS";

/// The relays of a test, not yet configured, and what keeps their engine alive.
pub struct Engine {
    pub relays: Vec<(Relay, Arc<dyn Store>)>,
}

impl Engine {
    /// Starts what the environment asks for.
    pub async fn start() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) => Self::alone(),
            Ok("memory") => Self::in_memory(),
            Ok(other) => panic!("{VARIABLE} is {other}; memory is known"),
        }
    }

    pub fn alone() -> Self {
        let store = Arc::new(MemoryStore::new());
        Self { relays: vec![(Relay::new(store.clone()), store)] }
    }

    pub fn in_memory() -> Self {
        let store = Arc::new(MemoryStore::new());
        let first = MemoryBackplane::default();
        let second = first.join();
        let relay = |backplane| {
            let relay = Relay::new(store.clone()).with_directory(store.clone());
            (relay.with_backplane(Arc::new(backplane)), store.clone() as Arc<dyn Store>)
        };
        Self { relays: vec![relay(first), relay(second)] }
    }
}
