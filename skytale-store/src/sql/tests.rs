//! Tests of appends and reads while the sync of the log is under a test's control.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement, Value};
use skytale_core::{ChannelName, Dialect, Epoch, SequenceNumber};

use super::options::SqlOptions;
use super::statements::key;
use super::{SqlStore, migration};
use crate::contract::precondition::{GroupEpoch, GroupId, Precondition};
use crate::contract::record::{AppendOutcome, MessageId, NewRecord};
use crate::contract::store::{Head, Store};
use crate::error::StoreError;
use crate::sql::append::block::Block;
use crate::sql::sqlite::sync_thread::SyncLog;

const ID: MessageId = MessageId([7; 16]);

fn channel() -> ChannelName {
    ChannelName::from_strings(["test", "sync", "room"])
}

fn record() -> NewRecord {
    NewRecord::new(Dialect::Slim3, "body".into()).with_message_id(ID)
}

/// Opens a store whose every sync waits for its outcome.
async fn open(path: &Path) -> (Arc<SqlStore>, mpsc::Sender<io::Result<()>>) {
    let (outcome, outcomes) = mpsc::channel::<io::Result<()>>();
    let syncing = |log: File| -> SyncLog {
        Box::new(move || outcomes.recv().unwrap_or(Ok(())).and_then(|()| log.sync_data()))
    };
    let store = SqlStore::open_file(path, SqlOptions::default(), syncing).await.expect("open");
    (Arc::new(store), outcome)
}

/// Waits until a second view of the file, which does not wait for syncs, holds the first record.
async fn committed(path: &Path) {
    let other = SqlStore::open_sqlite_read_only(path).await.expect("open for reading");
    while other.head(&channel()).await.expect("head").last < SequenceNumber(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_not_readable_before_it_is_synced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    let (store, outcome) = open(&path).await;
    let mut followed = store.follow(&channel(), SequenceNumber::START);
    let appending = store.clone();
    let append =
        tokio::spawn(async move { appending.append(&channel(), vec![record()], Precondition::Any).await });
    committed(&path).await;

    assert!(!append.is_finished());
    assert_eq!(store.head(&channel()).await.expect("head"), Head::default());
    assert_eq!(store.find(&channel(), ID).await.expect("find"), None);
    assert_eq!(store.read(&channel(), SequenceNumber::START).count().await, 0);
    assert_eq!(store.channels().count().await, 0);

    outcome.send(Ok(())).expect("the thread waits");
    let appended = append.await.expect("no panic").expect("append");
    assert_eq!(appended, [AppendOutcome::Appended(SequenceNumber(1))]);
    assert_eq!(store.find(&channel(), ID).await.expect("find"), Some(SequenceNumber(1)));
    assert_eq!(followed.try_next().await.expect("follow").expect("a record").sequence, SequenceNumber(1));
    assert_eq!(store.channels().count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failed_sync_nothing_is_appended_until_the_store_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    let (store, outcome) = open(&path).await;
    outcome.send(Err(io::Error::other("no such sector"))).expect("the thread waits");
    drop(outcome);
    for _ in 0..2 {
        let refused = store.append(&channel(), vec![record()], Precondition::Any).await.expect_err("refused");
        let source = std::error::Error::source(&refused).expect("a cause").to_string();
        assert!(source.contains("no such sector") && source.contains("opened again"), "{source}");
    }
    assert_eq!(store.head(&channel()).await.expect("head"), Head::default());
    drop(store);

    let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("opens again");
    store.append(&channel(), vec![record()], Precondition::Any).await.expect("append");
}

/// Lone appends and appends of many callers in turn, so that the sync changes its place: numbers and answers agree.
#[tokio::test(flavor = "multi_thread")]
async fn records_stay_in_order_wherever_they_are_synced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("open");
    let (store, channel) = (&store, &channel());
    let append = |number: u64| async move {
        let record = NewRecord::new(Dialect::Slim3, number.to_be_bytes().to_vec().into());
        let appended = store.append(channel, vec![record], Precondition::Any).await.expect("append");
        let head = store.head(channel).await.expect("head").last;
        assert!(head >= appended[0].sequence(), "an answered record is readable");
        (appended[0].sequence(), number)
    };
    let mut answered = Vec::new();
    for round in 0..4 {
        let first = round * 1_000;
        for number in first..first + 40 {
            answered.push(append(number).await);
        }
        let many = futures::stream::iter(first + 40..first + 1_000).map(append);
        answered.extend(many.buffer_unordered(64).collect::<Vec<_>>().await);
    }
    answered.sort_unstable();
    let records: Vec<_> = store.read(channel, SequenceNumber::START).try_collect().await.expect("read");
    let kept = records.iter().map(|record| {
        let number = record.body[..].try_into().expect("eight bytes");
        (record.sequence, u64::from_be_bytes(number))
    });
    assert!(kept.eq(answered), "what was answered is what is kept");
}

#[tokio::test]
async fn a_channel_may_have_more_groups_than_are_remembered() {
    const GROUPS: u8 = 40;
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqlStore::open_sqlite(directory.path().join("log.db"), SqlOptions::default()).await;
    let (store, channel) = (&store.expect("open"), &channel());
    let at = |group: u8, epoch| GroupEpoch {
        group: GroupId::new(vec![group]).expect("short"),
        epoch: Epoch(epoch),
    };
    let append = |precondition| async move {
        let record = NewRecord::new(Dialect::Slim3, "commit".into());
        store.append(channel, vec![record], precondition).await
    };
    for group in 0..GROUPS {
        append(Precondition::Advance(at(group, 0))).await.expect("the group's first");
    }
    for group in 0..GROUPS {
        let lost = append(Precondition::Advance(at(group, 0))).await.expect_err("too late");
        let first = Some(SequenceNumber(u64::from(group) + 1));
        assert!(
            matches!(lost, StoreError::Conflict { current: Epoch(1), winner, .. } if winner == first),
            "{lost:?}"
        );
        append(Precondition::Advance(at(group, 1))).await.expect("the group's next");
    }
    let refused = append(Precondition::AdvanceSole(at(0, 2))).await;
    assert!(matches!(refused, Err(StoreError::OtherGroup)), "{refused:?}");
}

/// Makes a file as versions before its blocks were their own index made it, with two records.
async fn make_older_file(path: &Path) {
    let db = Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.expect("connect");
    migration::migrate_before_own_indices(&db).await.expect("migrate");
    let mut block = Block::starting_at(SequenceNumber(1));
    block.push(&NewRecord::new(Dialect::Slim3, "first".into()));
    block.push(&record());
    let rows: [(&str, Vec<Value>); 3] = [
        ("INSERT INTO channels VALUES (1, $1, NULL, 0, 0, 0)", vec![key(&channel()).into()]),
        ("INSERT INTO blocks VALUES (1, 2, 1, 7000, $1)", vec![block.bytes.into()]),
        ("INSERT INTO messages VALUES (1, $1, 2)", vec![ID.0.to_vec().into()]),
    ];
    for (sql, values) in rows {
        let insert = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
        db.execute_raw(insert).await.expect("inserted");
    }
    db.close().await.expect("closed");
}

#[tokio::test]
async fn a_record_that_the_disk_changed_is_not_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    let channel = channel();
    let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("open");
    store.append(&channel, vec![record()], Precondition::Any).await.expect("append");
    drop(store);

    let db = Database::connect(format!("sqlite://{}", path.display())).await.expect("connect");
    let change = "UPDATE blocks SET body = CAST(REPLACE(CAST(body AS TEXT), 'body', 'bode') AS BLOB)";
    let changed = db.execute_unprepared(change).await.expect("changed");
    assert_eq!(changed.rows_affected(), 1);
    db.close().await.expect("closed");

    let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("opens again");
    let read: Result<Vec<_>, _> = store.read(&channel, SequenceNumber::START).try_collect().await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
}

#[tokio::test]
async fn records_of_an_older_file_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log.db");
    make_older_file(&path).await;
    let channel = channel();
    let store = SqlStore::open_sqlite(&path, SqlOptions::default()).await.expect("opens");
    let head = |last, floor| Head { last: SequenceNumber(last), floor: SequenceNumber(floor) };
    assert_eq!(store.head(&channel).await.expect("head"), head(2, 0));
    let records: Vec<_> = store.read(&channel, SequenceNumber::START).try_collect().await.expect("read");
    assert_eq!(records.iter().map(|record| &record.body[..]).collect::<Vec<_>>(), [&b"first"[..], b"body"]);

    let append = || store.append(&channel, vec![record()], Precondition::Any);
    assert_eq!(append().await.expect("append"), [AppendOutcome::Duplicate(SequenceNumber(2))]);
    store.trim(&channel, SequenceNumber(2)).await.expect("trim");
    assert_eq!(store.head(&channel).await.expect("head"), head(2, 2), "the end of a channel without blocks");
    assert_eq!(append().await.expect("append"), [AppendOutcome::Appended(SequenceNumber(3))]);
}
