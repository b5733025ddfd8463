//! The contract, on every store that this crate has.

mod postgres;

use std::sync::Arc;

use skytale_store::{Directory, MemoryStore, SqlOptions, SqlStore, Store, conformance};

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    conformance::all(&(Arc::new(MemoryStore::new()) as Arc<dyn Store>)).await;
    conformance::directory(&(Arc::new(MemoryStore::new()) as Arc<dyn Directory>)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqlStore::open_sqlite(directory.path().join("log.db"), SqlOptions::default()).await;
    let store = Arc::new(store.expect("open"));
    conformance::all(&(store.clone() as Arc<dyn Store>)).await;
    conformance::directory(&(store as Arc<dyn Directory>)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let Some(database) = postgres::Database::create().await else { return };
    let store = SqlStore::connect_postgres(&database.url, SqlOptions::default()).await.expect("connect");
    let store = Arc::new(store);
    conformance::all(&(store.clone() as Arc<dyn Store>)).await;
    conformance::directory(&(store as Arc<dyn Directory>)).await;
    database.drop().await;
}
