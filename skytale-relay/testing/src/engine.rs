//! The engine of a test's relays: a store, a directory and a backplane.
//!
//! By default a test has one relay. `SKYTALE_TEST_RELAYS` gives it two that act as one, and its agents connect to either in
//! turn: with `memory` they share everything in the process, with `postgres` a database, with `nats` a NATS server.

use std::sync::Arc;

use skytale_relay::Relay;
use skytale_store::{Backplane, MemoryBackplane, MemoryStore, SqlOptions, SqlStore, Store};

use crate::{Meters, nats, postgres};

/// The variable by which tests ask for an engine.
const VARIABLE: &str = "SKYTALE_TEST_RELAYS";

/// The relays of a test, not yet configured, and what keeps their engine alive.
pub struct Engine {
    /// Each relay with its store.
    pub relays: Vec<(Relay, Arc<dyn Store>)>,
    /// The metrics of all relays together.
    pub meters: Meters,
    _nats: Option<nats::Server>,
    database: Option<postgres::Database>,
}

impl Engine {
    /// Starts the engine that `SKYTALE_TEST_RELAYS` names: `memory`, `postgres` or `nats`; without it, one relay in memory.
    ///
    /// An engine that this machine does not have is a failure: it was asked for.
    pub async fn start() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) => Self::alone(),
            Ok("memory") => Self::in_memory(),
            Ok("postgres") => Self::in_postgres().await,
            Ok("nats") => Self::in_nats().await,
            Ok(other) => panic!("{VARIABLE} is {other}; it may be memory, postgres or nats"),
        }
    }

    /// Makes one relay, in memory.
    pub fn alone() -> Self {
        let (meters, store) = (Meters::default(), Arc::new(MemoryStore::new()));
        let relay = meters.of(|| Relay::new(store.clone()));
        Self { relays: vec![(relay, store)], meters, _nats: None, database: None }
    }

    /// Makes two relays that share everything in the process.
    pub fn in_memory() -> Self {
        let (meters, store) = (Meters::default(), Arc::new(MemoryStore::new()));
        let first = MemoryBackplane::default();
        let second = first.join();
        let relays = [first, second].map(|backplane| {
            let relay = meters.of(|| Relay::new(store.clone())).with_directory(store.clone());
            (relay.with_backplane(Arc::new(backplane)), store.clone() as Arc<dyn Store>)
        });
        Self { relays: relays.into(), meters, _nats: None, database: None }
    }

    async fn in_postgres() -> Self {
        let database = postgres::Database::create().await.expect("PostgreSQL");
        let (meters, mut relays) = (Meters::default(), Vec::new());
        for _ in 0..2 {
            let options = SqlOptions::default().with_connections(3);
            let store = SqlStore::connect_postgres(&database.url, options).await.expect("connect");
            let backplane = store.backplane().await.expect("connect").expect("on PostgreSQL");
            let store = Arc::new(store);
            let relay = meters.of(|| Relay::new(store.clone())).with_directory(store.clone());
            relays.push((relay.with_backplane(Arc::new(backplane)), store as Arc<dyn Store>));
        }
        Self { relays, meters, _nats: None, database: Some(database) }
    }

    async fn in_nats() -> Self {
        let server = nats::Server::start().await.expect("nats-server");
        let directory = Arc::new(MemoryStore::new());
        let (meters, mut relays) = (Meters::default(), Vec::new());
        for _ in 0..2 {
            let store = server.store().await;
            let backplane: Arc<dyn Backplane> = Arc::new(store.backplane().await.expect("connect"));
            let store = Arc::new(store);
            let relay = meters.of(|| Relay::new(store.clone())).with_directory(directory.clone());
            relays.push((relay.with_backplane(backplane), store as Arc<dyn Store>));
        }
        Self { relays, meters, _nats: Some(server), database: None }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(database) = self.database.take() else { return };
        // The test's own runtime may be about to end.
        let dropping = std::thread::spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(database.drop());
        });
        let _ = dropping.join();
    }
}
