//! Several processes at one database, and processes that are killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use skytale_core::{ChannelName, Dialect, SequenceNumber};
use skytale_store::{NewRecord, Precondition, SqlOptions, SqlStore, Store, StoreError};
use skytale_testing::{eventually, postgres};
use sqlx::{Connection, Executor, PgConnection};

const ROLE: &str = "SKYTALE_STORE_TEST_ROLE";
const TARGET: &str = "SKYTALE_STORE_TEST_TARGET";
const PROCESSES: usize = 4;
const EACH: usize = 5_000;
const LONG: Duration = Duration::from_secs(120);

fn channel() -> ChannelName {
    ChannelName::from_strings(["test", "processes", "shared"])
}

/// Starts this test binary again in a role.
fn spawn(role: &str, target: &str) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child", "--nocapture", "--include-ignored"])
        .env(ROLE, role)
        .env(TARGET, target)
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn")
}

/// What a started process does; nothing when run as a test.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let (Ok(role), Ok(target)) = (std::env::var(ROLE), std::env::var(TARGET)) else { return };
    match role.as_str() {
        "append" => append_many(&target).await,
        "append for ever" => append_for_ever(&target).await,
        "migrate" => drop(SqlStore::connect_postgres(&target, SqlOptions::default()).await.expect("connect")),
        "acknowledge" => acknowledge_for_ever(Path::new(&target)).await,
        other => panic!("unknown role {other}"),
    }
}

async fn append_many(url: &str) {
    let store = SqlStore::connect_postgres(url, SqlOptions::default()).await.expect("connect");
    let (store, channel) = (&store, channel());
    let appends = futures::stream::iter(0..EACH).map(|number| {
        let body = format!("{}-{number}", std::process::id());
        store.append(&channel, vec![NewRecord::new(Dialect::Slim3, body.into())], Precondition::Any)
    });
    appends.buffer_unordered(64).try_collect::<Vec<_>>().await.expect("append");
}

async fn append_for_ever(url: &str) {
    let store = SqlStore::connect_postgres(url, SqlOptions::default()).await.expect("connect");
    loop {
        greet(&store).await.expect("append");
    }
}

async fn greet(store: &SqlStore) -> Result<(), StoreError> {
    let record = NewRecord::new(Dialect::Slim3, "hello".into());
    store.append(&channel(), vec![record], Precondition::Any).await.map(drop)
}

async fn acknowledge_for_ever(path: &Path) {
    let store = SqlStore::open_sqlite(path, SqlOptions::default()).await.expect("open");
    loop {
        let record = NewRecord::new(Dialect::Slim3, vec![1; 256].into());
        let appended = store.append(&channel(), vec![record], Precondition::Any).await.expect("append");
        println!("acked {}", appended[0].sequence());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_append_to_one_channel() {
    let Some(database) = postgres::Database::create().await else { return };
    let connect = || SqlStore::connect_postgres(&database.url, SqlOptions::default());
    let (one, other) = (connect().await.expect("connect"), connect().await.expect("connect"));
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| spawn("append", &database.url)).collect();
    let follow = |store: &SqlStore| {
        store.follow(&channel(), SequenceNumber::START).take(PROCESSES * EACH).try_collect::<Vec<_>>()
    };
    let following = tokio::spawn(futures::future::try_join(follow(&one), follow(&other)));
    for child in &mut children {
        assert!(child.wait().expect("wait").success());
    }
    let (first, second) = following.await.expect("no panic").expect("follow");
    assert_eq!(first, second, "every follower sees the same");
    assert!(first.iter().map(|record| record.sequence.0).eq(1..=(PROCESSES * EACH) as u64), "no gap");
    let bodies: BTreeSet<_> = first.iter().map(|record| &record.body).collect();
    assert_eq!(bodies.len(), PROCESSES * EACH, "no duplicate, nothing lost");
    drop((one, other));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_migrate_at_once() {
    let Some(database) = postgres::Database::create().await else { return };
    let mut children: Vec<Child> = (0..2).map(|_| spawn("migrate", &database.url)).collect();
    for child in &mut children {
        assert!(child.wait().expect("wait").success());
    }
    database.drop().await;
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
    assert!(sent.expect("kill").success());
}

/// Stops a process that appends at a moment when it has its channel locked.
async fn stop_in_a_transaction(child: &Child, store: &SqlStore, url: &str) {
    let mut connection = PgConnection::connect(url).await.expect("connect");
    loop {
        signal(child, "STOP");
        // The server finishes what it was asked before.
        let finished =
            async || count(&mut connection, "state = 'active' AND pid <> pg_backend_pid()").await == 0;
        eventually(LONG, "no statement runs", finished).await;
        if count(&mut connection, "state = 'idle in transaction' AND backend_xid IS NOT NULL").await > 0 {
            return;
        }
        let last = store.head(&channel()).await.expect("head").last;
        signal(child, "CONT");
        let goes_on = async || store.head(&channel()).await.expect("head").last > last;
        eventually(LONG, "it appends again", goes_on).await;
    }
}

/// Counts the sessions of the database of which a condition holds.
async fn count(connection: &mut PgConnection, condition: &'static str) -> i64 {
    let sql =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {condition}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await.expect("count")
}

/// Others go on although a process hangs with their channel locked, and so does it as soon as it runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_hangs_keeps_others_waiting_for_seconds_only() {
    let Some(database) = postgres::Database::create().await else { return };
    let store = SqlStore::connect_postgres(&database.url, SqlOptions::default()).await.expect("connect");
    let mut child = spawn("append for ever", &database.url);
    let stopped = tokio::time::timeout(LONG, stop_in_a_transaction(&child, &store, &database.url)).await;
    let appended = tokio::time::timeout(LONG, greet(&store)).await;
    let last = store.head(&channel()).await.expect("head").last.0;
    signal(&child, "CONT");
    let follow = store.follow(&channel(), SequenceNumber(last + 1)).take(2).try_collect::<Vec<_>>();
    let goes_on = tokio::time::timeout(LONG, follow).await;
    child.kill().expect("kill");
    child.wait().expect("wait");
    stopped.expect("stopped with the channel locked");
    appended.expect("in time").expect("append");
    goes_on.expect("it appends again").expect("follow");
    drop(store);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_is_refused_where_its_channel_stays_locked() {
    let Some(database) = postgres::Database::create().await else { return };
    let store = SqlStore::connect_postgres(&database.url, SqlOptions::default()).await.expect("connect");
    greet(&store).await.expect("append");
    let mut connection = PgConnection::connect(&database.url).await.expect("connect");
    connection.execute("BEGIN; SELECT 1 FROM channels FOR UPDATE").await.expect("lock");
    let refused = tokio::time::timeout(Duration::from_secs(30), greet(&store)).await.expect("in time");
    let refused = refused.expect_err("the channel is locked");
    assert!(refused.is_retryable(), "{refused:?}");
    connection.execute("ROLLBACK").await.expect("free");
    greet(&store).await.expect("append");
    drop((store, connection));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acked_records_survive_kill_9() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    for round in 1..=5 {
        let mut child = spawn("acknowledge", path.to_str().expect("UTF-8"));
        let mut acked = 0;
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("a line");
            if let Some(number) = line.strip_prefix("acked ") {
                acked = number.parse().expect("a number");
            }
            if acked > 0 && acked % (200 * round) == 0 {
                child.kill().expect("kill");
            }
        }
        child.wait().expect("wait");
        let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("opens again at once");
        let kept: Vec<_> = store.read(&channel(), SequenceNumber::START).try_collect().await.expect("read");
        assert!(kept.iter().map(|record| record.sequence.0).eq(1..=kept.len() as u64), "no gap");
        assert!(kept.len() as u64 >= acked, "round {round}: {acked} acked, {} kept", kept.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_has_one_owner_and_any_readers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    let owner = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("open");
    let second = SqlStore::open_sqlite(&path, SqlOptions::default()).await;
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
    let record = NewRecord::new(Dialect::Slim1, "x".into());
    owner.append(&channel(), vec![record.clone()], Precondition::Any).await.expect("append");
    let reader = SqlStore::open_sqlite_read_only(&path).await.expect("open for reading");
    assert_eq!(reader.head(&channel()).await.expect("head").last, SequenceNumber(1));
    let refused = reader.append(&channel(), vec![record], Precondition::Any).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
}
