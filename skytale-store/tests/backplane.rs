//! The backplane over PostgreSQL: what is not in the contract of every backplane.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use skytale_core::Dialect;
use skytale_store::{Backplane, BackplaneMessage, Delivery, PgBackplane, SqlOptions, SqlStore, Topic};
use skytale_testing::{SOON, eventually, postgres};
use sqlx::{Connection, Executor, PgConnection};
use tokio::task::unconstrained;

const TOPIC: Topic = Topic { channel: [1, 2, 3], dialect: Dialect::Slim3, instance: None };

async fn next(received: &mut BoxStream<'static, BackplaneMessage>) -> Bytes {
    tokio::time::timeout(SOON, received.next()).await.expect("a parcel in time").expect("open").body
}

/// Returns an end that listens to the topic, and what it receives.
async fn listening(database: &postgres::Database) -> (PgBackplane, BoxStream<'static, BackplaneMessage>) {
    let end = database.backplane().await;
    let received = end.received();
    end.listen(TOPIC).await.expect("listen");
    (end, received)
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_that_are_the_same_are_not_taken_for_one() {
    let Some(database) = postgres::Database::create().await else { return };
    let (_end, mut received) = listening(&database).await;
    let sender = database.backplane().await;
    let sends = (0..200).map(|_| sender.send(TOPIC, Delivery::All, "the same".into()));
    try_join_all(sends).await.expect("send");
    for _ in 0..200 {
        assert_eq!(next(&mut received).await, "the same");
    }
    database.drop().await;
}

// On one thread: nothing is sent before all that follows is begun, too.
#[tokio::test]
async fn parcels_of_all_sizes_stay_in_order() {
    let Some(database) = postgres::Database::create().await else { return };
    let (_end, mut received) = listening(&database).await;
    let sender = database.backplane().await;
    let body = |number: u32| {
        let size = [10, 5_900, 5_901, 300_000, 0][number as usize % 5];
        let number = number.to_be_bytes();
        Bytes::from(number.iter().copied().chain(std::iter::repeat_n(0, size)).collect::<Vec<_>>())
    };
    let mut waiting = Vec::new();
    for mut send in (0..300).map(|number| sender.send(TOPIC, Delivery::All, body(number))) {
        match unconstrained(&mut send).now_or_never() {
            Some(sent) => sent.expect("send"),
            None => waiting.push(send),
        }
    }
    assert!(!waiting.is_empty(), "there is no room for all");
    let reads = async {
        for number in 0..300 {
            assert!(next(&mut received).await == body(number), "parcel {number}");
        }
    };
    let (sent, ()) = futures::join!(try_join_all(waiting), reads);
    sent.expect("send");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_all_send_for_one_is_taken_once_by_another() {
    let Some(database) = postgres::Database::create().await else { return };
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(listening(&database).await);
    }
    let sends = (0..900).map(|number| {
        let sender = number % 3;
        ends[sender].0.send(TOPIC, Delivery::AnyOne, format!("{sender} {number}").into())
    });
    try_join_all(sends).await.expect("send");
    let mut taken = BTreeMap::new();
    let all = async {
        while taken.len() < 900 {
            let reads = ends.iter_mut().map(|(_, received)| received.next()).enumerate();
            let reads = reads.map(|(end, read)| read.map(move |parcel| (end, parcel)).boxed());
            let ((end, parcel), ..) = futures::future::select_all(reads).await;
            let body = parcel.expect("open").body;
            assert!(!body.starts_with(end.to_string().as_bytes()), "an echo");
            assert_eq!(taken.insert(body, end), None, "taken twice");
        }
    };
    tokio::time::timeout(SOON, all).await.expect("all are taken");
    assert!(ends.iter_mut().all(|(_, received)| received.next().now_or_never().is_none()), "nothing is left");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backplane_goes_on_when_its_connections_are_cut() {
    let Some(database) = postgres::Database::create().await else { return };
    let (_end, mut received) = listening(&database).await;
    let sender = database.backplane().await;
    let large = Bytes::from(vec![7; 100_000]);
    for round in 0..3 {
        let mut connection = PgConnection::connect(&database.url).await.expect("connect");
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        connection.execute(cut).await.expect("cut");
        let heard = async {
            loop {
                // While the connections are cut nothing arrives, and a sender may be told so.
                let _ = sender.send(TOPIC, Delivery::All, large.clone()).await;
                if let Ok(parcel) = tokio::time::timeout(Duration::from_millis(200), received.next()).await {
                    return parcel.expect("open").body;
                }
            }
        };
        let heard = tokio::time::timeout(SOON, heard).await;
        assert!(heard.unwrap_or_else(|_| panic!("not heard again in round {round}")) == large);
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_keeps_nobody_waiting() {
    let Some(database) = postgres::Database::create().await else { return };
    let (end, mut received) = listening(&database).await;
    let _unread = end.received();
    let (_other, mut other_received) = listening(&database).await;
    let sender = database.backplane().await;
    for number in 0..60_u32 {
        let body: Vec<u8> = number.to_be_bytes().repeat(300_000);
        sender.send(TOPIC, Delivery::All, body.clone().into()).await.expect("send");
        assert!(next(&mut received).await == body, "beside the unread stream");
        assert!(next(&mut other_received).await == body, "at another relay");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_that_nobody_fetched_are_deleted() {
    let Some(database) = postgres::Database::create().await else { return };
    let sender = database.backplane().await;
    for body in ["old", "new"] {
        sender.send(TOPIC, Delivery::AnyOne, body.into()).await.expect("send");
    }
    sender.flush().await.expect("flush");
    let mut connection = PgConnection::connect(&database.url).await.expect("connect");
    let age = "UPDATE parcels SET sent_at = now() - interval '61 seconds' WHERE body = 'old'";
    assert_eq!(connection.execute(age).await.expect("age").rows_affected(), 1);
    // A backplane deletes what is old when it starts, whoever sent it, and then again and again.
    let _other = database.backplane().await;
    let left = async {
        loop {
            let select = sqlx::query_scalar::<_, Vec<u8>>("SELECT body FROM parcels");
            let left = select.fetch_all(&mut connection).await.expect("select");
            if left.len() < 2 {
                return left;
            }
        }
    };
    let left = tokio::time::timeout(SOON, left).await.expect("deleted in time");
    assert_eq!(left, [b"new"]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parcels_that_wait_for_the_database_are_sent_together() {
    let Some(database) = postgres::Database::create().await else { return };
    let sender = database.backplane().await;
    let mut connection = PgConnection::connect(&database.url).await.expect("connect");
    connection.execute("BEGIN; LOCK TABLE parcels IN EXCLUSIVE MODE").await.expect("lock");
    for number in 0..200 {
        sender.send(TOPIC, Delivery::AnyOne, number.to_string().into()).await.expect("send");
    }
    let mut flush = sender.flush();
    let early = tokio::time::timeout(Duration::from_millis(200), &mut flush).await;
    assert!(early.is_err(), "nothing is sent: {early:?}");
    connection.execute("COMMIT").await.expect("free");
    flush.await.expect("flush");
    let count = "SELECT count(*), count(DISTINCT xmin::text) FROM parcels";
    let (parcels, transactions): (i64, i64) =
        sqlx::query_as(count).fetch_one(&mut connection).await.expect("count");
    assert!(parcels == 200 && transactions <= 3, "{parcels} parcels in {transactions} transactions");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_is_told_once_by_the_next_send_or_flush() {
    let Some(database) = postgres::Database::create().await else { return };
    let (_end, mut received) = listening(&database).await;
    let sender = database.backplane().await;
    let mut connection = PgConnection::connect(&database.url).await.expect("connect");
    connection.execute("ALTER TABLE parcels RENAME TO hidden").await.expect("rename");
    let send = |body: &'static str| sender.send(TOPIC, Delivery::AnyOne, body.into());
    let told = match send("lost").await {
        Err(told) => told,
        Ok(()) => sender.flush().await.expect_err("it was lost"),
    };
    assert!(told.is_retryable(), "{told:?}");
    sender.flush().await.expect("told already");
    let told = async || sender.send(TOPIC, Delivery::All, "kept".into()).await.is_err();
    eventually(SOON, "a sender is told", told).await;
    connection.execute("ALTER TABLE hidden RENAME TO parcels").await.expect("rename");
    let _ = sender.flush().await;
    send("last").await.expect("send");
    sender.flush().await.expect("flush");
    while next(&mut received).await != "last" {}
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_backplane() {
    let Some(database) = postgres::Database::create().await else { return };
    let (end, mut received) = listening(&database).await;
    drop(end);
    let ended = tokio::time::timeout(SOON, received.next()).await.expect("ends in time");
    assert_eq!(ended, None);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_has_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let store =
        SqlStore::open_sqlite(directory.path().join("log.db"), SqlOptions::default()).await.expect("open");
    assert!(store.backplane().await.expect("no failure").is_none());
}
