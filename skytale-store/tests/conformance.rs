//! The contracts, on every store that this crate has.

use std::sync::Arc;

use skytale_core::{ChannelName, Dialect};
use skytale_store::{
    Accounts, AgentRegistry, Backplane, ChannelRegistry, KeyPackageDirectory, MemoryBackplane, MemoryStore,
    MeteredLog, NewRecord, Precondition, SqlOptions, SqlStore, Store, Usage, conformance,
};
use skytale_testing::postgres;

async fn check(
    store: Arc<impl Store + KeyPackageDirectory + Accounts + ChannelRegistry + AgentRegistry + Usage>,
) {
    conformance::all(&(store.clone() as Arc<dyn Store>)).await;
    conformance::directory(&(store.clone() as Arc<dyn KeyPackageDirectory>)).await;
    conformance::accounts(&(store.clone() as Arc<dyn Accounts>)).await;
    conformance::channels(&(store.clone() as Arc<dyn ChannelRegistry>)).await;
    conformance::agents(&(store.clone() as Arc<dyn AgentRegistry>)).await;
    conformance::usage(&(store.clone() as Arc<dyn Usage>), &(store as Arc<dyn Store>)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    check(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counted_beside_the_log() {
    let (log, usage) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    let counted = Arc::new(MeteredLog::new(log, usage.clone()));
    conformance::all(&(counted.clone() as Arc<dyn Store>)).await;
    conformance::usage(&(counted.clone() as Arc<dyn Usage>), &(counted as Arc<dyn Store>)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_backplane() {
    let first = MemoryBackplane::default();
    let (second, third) = (first.join(), first.join());
    conformance::backplane(&[Arc::new(first), Arc::new(second), Arc::new(third)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqlStore::open_sqlite(directory.path().join("log.db"), SqlOptions::default()).await;
    check(Arc::new(store.expect("open"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let Some(database) = postgres::Database::create().await else { return };
    let store = SqlStore::connect_postgres(&database.url, SqlOptions::default()).await.expect("connect");
    check(Arc::new(store)).await;
    database.drop().await;
}

async fn greet(store: &SqlStore, room: &ChannelName) {
    let record = NewRecord::new(Dialect::Slim3, "hello".into());
    store.append(room, vec![record], Precondition::Any).await.expect("append");
}

/// Transactions that make and lock many channels each, in other orders, wait for each other but never in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_open_the_same_channels_at_once() {
    let Some(database) = postgres::Database::create().await else { return };
    let connect = async || SqlStore::connect_postgres(&database.url, SqlOptions::default()).await;
    let (one, other) = (connect().await.expect("connect"), connect().await.expect("connect"));
    let rooms: Vec<_> =
        (0..600).map(|room| ChannelName::from_components([room * 7_919 % 600, 0, 1])).collect();
    for round in 1..=3 {
        let forth = futures::future::join_all(rooms.iter().map(|room| greet(&one, room)));
        let back = futures::future::join_all(rooms.iter().rev().map(|room| greet(&other, room)));
        futures::future::join(forth, back).await;
        for room in &rooms {
            assert_eq!(one.head(room).await.expect("head").last.0, 2 * round);
        }
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_backplane() {
    let Some(database) = postgres::Database::create().await else { return };
    let ends = [database.backplane().await, database.backplane().await, database.backplane().await];
    conformance::backplane(&ends.map(|end| Arc::new(end) as Arc<dyn Backplane>)).await;
    database.drop().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_with_the_reason() {
    let refused =
        SqlStore::connect_postgres("postgres://nobody@127.0.0.1:1/none", SqlOptions::default()).await;
    let error = refused.expect_err("nobody listens there");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert!(error.is_retryable() && source.contains("refused"), "{error}: {source}");
}
