//! What the relays of a test share: a store, a directory and a backplane.
//!
//! By default a test has one relay. `SKYTALE_TEST_RELAYS` gives it two that act as one, and its agents are at either in
//! turn: `memory` lets them share everything in the process, `postgres` a database, `nats` a NATS server.

#[path = "../../../skytale-store/tests/nats/server.rs"]
mod nats;
#[path = "../../../skytale-store/tests/postgres/mod.rs"]
pub mod postgres;

use std::sync::Arc;

pub use nats::KeptPort;
use skytale_relay::Relay;
use skytale_store::{Backplane, MemoryBackplane, MemoryStore, SqlOptions, SqlStore, Store};

/// What tests may ask for.
const VARIABLE: &str = "SKYTALE_TEST_RELAYS";

/// The relays of a test, not yet configured, and what keeps their engine alive.
pub struct Engine {
    pub relays: Vec<(Relay, Arc<dyn Store>)>,
    _nats: Option<nats::Server>,
    database: Option<postgres::Database>,
}

impl Engine {
    /// Starts what the environment asks for. An engine that this machine does not have is a failure: it was asked for.
    pub async fn start() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) => Self::alone(),
            Ok("memory") => Self::in_memory(),
            Ok("postgres") => Self::in_postgres().await,
            Ok("nats") => Self::in_nats().await,
            Ok(other) => panic!("{VARIABLE} is {other}; it may be memory, postgres or nats"),
        }
    }

    pub fn alone() -> Self {
        let store = Arc::new(MemoryStore::new());
        Self { relays: vec![(Relay::new(store.clone()), store)], _nats: None, database: None }
    }

    pub fn in_memory() -> Self {
        let store = Arc::new(MemoryStore::new());
        let first = MemoryBackplane::default();
        let second = first.join();
        let relays = [first, second].map(|backplane| {
            let relay = Relay::new(store.clone()).with_directory(store.clone());
            (relay.with_backplane(Arc::new(backplane)), store.clone() as Arc<dyn Store>)
        });
        Self { relays: relays.into(), _nats: None, database: None }
    }

    async fn in_postgres() -> Self {
        let database = postgres::Database::create().await.expect("PostgreSQL");
        let mut relays = Vec::new();
        for _ in 0..2 {
            let options = SqlOptions::default().with_connections(3);
            let store = SqlStore::connect_postgres(&database.url, options).await.expect("connect");
            let backplane = store.backplane().await.expect("connect").expect("on PostgreSQL");
            let store = Arc::new(store);
            let relay = Relay::new(store.clone()).with_directory(store.clone());
            relays.push((relay.with_backplane(Arc::new(backplane)), store as Arc<dyn Store>));
        }
        Self { relays, _nats: None, database: Some(database) }
    }

    async fn in_nats() -> Self {
        let server = nats::Server::start().expect("nats-server");
        let directory = Arc::new(MemoryStore::new());
        let mut relays = Vec::new();
        for _ in 0..2 {
            let store = server.store().await;
            let backplane: Arc<dyn Backplane> = Arc::new(store.backplane().await.expect("connect"));
            let store = Arc::new(store);
            let relay = Relay::new(store.clone()).with_directory(directory.clone());
            relays.push((relay.with_backplane(backplane), store as Arc<dyn Store>));
        }
        Self { relays, _nats: Some(server), database: None }
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
