//! The store and the backplane in NATS: their contracts, several writers, and servers that fail.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::{StreamExt, TryStreamExt};
use skytale_core::{ChannelName, Dialect, SequenceNumber};
use skytale_store::{
    AppendOutcome, Backplane, Durability, MessageId, NatsOptions, NatsStore, NewRecord, Precondition, Record,
    Store, StoreError, conformance,
};
use skytale_testing::eventually;
use skytale_testing::nats::{Cluster, Server, connect, options};

fn channel(name: &str) -> ChannelName {
    ChannelName::from_strings(["test", "nats", name])
}

fn record(body: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord::new(Dialect::Slim3, body.into().into())
}

fn id(number: u64) -> MessageId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    MessageId(id)
}

async fn append(store: &NatsStore, channel: &ChannelName, records: Vec<NewRecord>) -> Vec<AppendOutcome> {
    store.append(channel, records, Precondition::Any).await.expect("append")
}

async fn read(store: &NatsStore, channel: &ChannelName, after: u64) -> Vec<Record> {
    store.read(channel, SequenceNumber(after)).try_collect().await.expect("read")
}

/// Checks that numbers have no gap and no body is there twice.
fn check_log(records: &[Record]) {
    assert!(records.iter().map(|record| record.sequence.0).eq(1..=records.len() as u64), "no gap");
    let bodies: BTreeSet<_> = records.iter().map(|record| &record.body).collect();
    assert_eq!(bodies.len(), records.len(), "no duplicate");
    assert!(records.is_sorted_by_key(|record| record.appended_at), "times never decrease");
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_on_one_server() {
    let Some(server) = Server::start().await else { return };
    let store: Arc<dyn Store> = Arc::new(server.store().await);
    conformance::all(&store).await;
    let other: Arc<dyn Store> = Arc::new(server.store().await);
    conformance::all(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conformance_on_three_servers() {
    let Some(cluster) = Cluster::start().await else { return };
    for server in 0..3 {
        let store: Arc<dyn Store> = Arc::new(cluster.store_at(server).await);
        conformance::all(&store).await;
    }
}

async fn end(store: &NatsStore) -> Arc<dyn Backplane> {
    Arc::new(store.backplane().await.expect("a backplane"))
}

#[tokio::test(flavor = "multi_thread")]
async fn backplane_on_one_server() {
    let Some(server) = Server::start().await else { return };
    let stores = [server.store().await, server.store().await, server.store().await];
    let [one, two, three] = stores.each_ref().map(end);
    let ends = [one.await, two.await, three.await];
    for _ in 0..5 {
        conformance::backplane(&ends).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backplane_on_three_servers() {
    let Some(cluster) = Cluster::start().await else { return };
    let stores = [cluster.store_at(0).await, cluster.store_at(1).await, cluster.store_at(2).await];
    let [one, two, three] = stores.each_ref().map(end);
    let ends = [one.await, two.await, three.await];
    for _ in 0..5 {
        conformance::backplane(&ends).await;
    }
}

/// Appends single records, so many at once, and returns the number that each body got.
async fn append_many(
    store: &NatsStore,
    channel: &ChannelName,
    count: usize,
    at_once: usize,
    name: &str,
) -> HashMap<String, u64> {
    let appends = futures::stream::iter(0..count).map(|number| async move {
        let body = format!("{name}-{number}");
        let outcomes = append(store, channel, vec![record(body.clone())]).await;
        (body, outcomes[0].sequence().0)
    });
    appends.buffer_unordered(at_once).collect().await
}

async fn four_stores_append(stores: [NatsStore; 4]) {
    const EACH: usize = 5_000;
    let channel = channel("shared");
    let follow = |store: &NatsStore| {
        store.follow(&channel, SequenceNumber::START).take(4 * EACH).try_collect::<Vec<_>>()
    };
    let followers = futures::future::try_join_all(stores.iter().map(follow));
    let appends = stores.iter().enumerate().map(|(number, store)| {
        let (channel, name) = (&channel, number.to_string());
        async move { append_many(store, channel, EACH, 64, &name).await }
    });
    let since = Instant::now();
    let both = futures::future::join(followers, async {
        let told = futures::future::join_all(appends).await;
        println!("{} appends by four stores: {:?}", 4 * EACH, since.elapsed());
        told
    });
    let (followed, told) = tokio::time::timeout(Duration::from_secs(240), both).await.expect("in time");
    let followed = followed.expect("follow");
    check_log(&followed[0]);
    assert!(followed.iter().all(|records| *records == followed[0]), "every follower sees the same");
    for (body, number) in told.into_iter().flatten() {
        assert_eq!(followed[0][number as usize - 1].body, body, "what was told is true");
    }
    assert_eq!(read(&stores[0], &channel, 0).await, followed[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_stores_append_to_one_channel() {
    let Some(server) = Server::start().await else { return };
    let stores = [server.store().await, server.store().await, server.store().await, server.store().await];
    four_stores_append(stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_stores_append_to_one_channel_of_three_servers() {
    let Some(cluster) = Cluster::start().await else { return };
    let stores = [
        cluster.store_at(0).await,
        cluster.store_at(1).await,
        cluster.store_at(2).await,
        cluster.store().await,
    ];
    four_stores_append(stores).await;
}

/// Appends until something is acknowledged that was sent after an election, eight records at once; returns what was
/// acknowledged, and counts it meanwhile.
async fn append_until(
    elected: &AtomicBool,
    count: &AtomicUsize,
    store: &NatsStore,
    channel: &ChannelName,
    name: &str,
) -> Vec<(String, u64)> {
    let (mut told, mut number) = (Vec::new(), 0);
    loop {
        let (goes_on, before) = (elected.load(Ordering::Relaxed), told.len());
        let appends = (0..8).map(|part| async move {
            let body = format!("{name}-{number}-{part}");
            let appended = store.append(channel, vec![record(body.clone())], Precondition::Any).await.ok()?;
            Some((body, appended[0].sequence().0))
        });
        told.extend(futures::future::join_all(appends).await.into_iter().flatten());
        count.fetch_add(told.len() - before, Ordering::Relaxed);
        if goes_on && told.len() > before {
            return told;
        }
        number += 1;
    }
}

/// How long appends may take to go on, on a machine that does other things as well.
const GO_ON: Duration = Duration::from_secs(120);

/// Servers take four to nine seconds to elect another leader, and again where votes are split; once they have, appends go on.
#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_when_the_leader_is_killed() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let (store, channel) = (cluster.store().await, channel("killed"));
    for round in 0..3 {
        append(&store, &channel, vec![record(format!("round {round}"))]).await;
        let (leader, start) = (cluster.leader_but(None).await, read(&store, &channel, 0).await.len());
        let (has_elected, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let kill = async {
            eventually(GO_ON, "appends are under way", async || count.load(Ordering::Relaxed) >= 100).await;
            cluster.servers[leader].kill();
            let killed = Instant::now();
            cluster.leader_but(Some(leader)).await;
            has_elected.store(true, Ordering::Relaxed);
            (killed, Instant::now())
        };
        let name = round.to_string();
        let both = futures::future::join(append_until(&has_elected, &count, &store, &channel, &name), kill);
        let (told, (killed, elected)) = tokio::time::timeout(GO_ON, both).await.expect("appends go on");
        let (count, after) = (told.len(), elected.elapsed());
        println!("{count} acknowledged; elected after {:?}, went on after {after:?}", elected - killed);
        let records = read(&store, &channel, 0).await;
        check_log(&records);
        assert!(records.len() >= start + told.len(), "nothing that was acknowledged is lost");
        for (body, number) in told {
            assert_eq!(records[number as usize - 1].body, body, "what was told is true");
        }
        cluster.servers[leader].restart().await;
        drop(cluster.store_at(leader).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_refuses_and_loses_nothing() {
    let Some(server) = Server::start().await else { return };
    let store = connect(&server.url(), options().with_max_bytes(1024 * 1024)).await;
    let channel = channel("full");
    let mut kept = 0;
    let refused = loop {
        match store.append(&channel, vec![record(vec![7; 10_000])], Precondition::Any).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert!(kept > 90, "{kept}");
    assert_eq!(read(&store, &channel, 0).await.len(), kept);
    store.trim(&channel, SequenceNumber(kept as u64 / 2)).await.expect("there is room for a trim");
    let appended = append(&store, &channel, vec![record("again")]).await;
    assert_eq!(appended, [AppendOutcome::Appended(SequenceNumber(kept as u64 + 1))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_doubles_nothing() {
    let Some(server) = Server::start().await else { return };
    let store = connect(&server.url(), options().with_timeout(Duration::from_secs(20))).await;
    let impatient = connect(&server.url(), options().with_timeout(Duration::from_secs(2))).await;
    let channel = channel("paused");
    append(&store, &channel, vec![record("first")]).await;
    for round in 0..3 {
        let bodies = (0..50).map(|number| format!("{round}-{number}"));
        let appends = bodies.clone().map(|body| append(&store, &channel, vec![record(body)]));
        let others = (0..50).map(|number| {
            let record = record(format!("other-{round}-{number}")).with_message_id(id(round * 50 + number));
            impatient.append(&channel, vec![record.clone()], Precondition::Any)
        });
        // The server goes on once the last of the impatient has given up.
        let pause = async {
            let stop = async { server.signal("STOP") };
            let (others, ()) = futures::future::join(futures::future::join_all(others), stop).await;
            server.signal("CONT");
            others
        };
        let (_, others) = futures::future::join(futures::future::join_all(appends), pause).await;
        println!("round {round}: {} of the impatient were told", others.iter().flatten().count());
        for number in 0..50 {
            // Whoever was not told asks again, and its record is there once.
            let record = record(format!("other-{round}-{number}")).with_message_id(id(round * 50 + number));
            append(&store, &channel, vec![record]).await;
        }
    }
    let records = read(&store, &channel, 0).await;
    check_log(&records);
    assert_eq!(records.len(), 301);
}

/// A leader that is silent, and then comes back as if nothing had been, doubles and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_leader_doubles_nothing() {
    let Some(cluster) = Cluster::start().await else { return };
    let channel = channel("silent");
    let stores = [cluster.store_at(0).await, cluster.store_at(1).await, cluster.store_at(2).await];
    append(&stores[0], &channel, vec![record("first")]).await;
    let leader = cluster.leader_but(None).await;
    let (end, counts) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 3]);
    let others = || counts.iter().enumerate().filter(|(server, _)| *server != leader);
    let silence = async {
        cluster.servers[leader].signal("STOP");
        cluster.leader_but(Some(leader)).await;
        let before: usize = others().map(|(_, count)| count.load(Ordering::Relaxed)).sum();
        let go_on =
            async || others().map(|(_, count)| count.load(Ordering::Relaxed)).sum::<usize>() > before + 100;
        eventually(GO_ON, "appends go on at another leader", go_on).await;
        cluster.servers[leader].signal("CONT");
        // Each store, also the one whose server was silent, has to be told something from now on.
        end.store(true, Ordering::Relaxed);
    };
    let appends = stores.iter().zip(&counts).enumerate().map(|(number, (store, count))| {
        let (end, channel) = (&end, &channel);
        async move { append_until(end, count, store, channel, &number.to_string()).await }
    });
    let (told, ()) = futures::future::join(futures::future::join_all(appends), silence).await;
    let records = read(&stores[leader], &channel, 0).await;
    check_log(&records);
    let told: Vec<_> = told.into_iter().flatten().collect();
    println!("{} acknowledged of {}", told.len(), records.len());
    assert!(!told.is_empty(), "another server leads meanwhile");
    for (body, number) in told {
        assert_eq!(records[number as usize - 1].body, body, "what was told is true");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = Server::start().await else { return };
    let (store, channel) = (server.store().await, channel("crash"));
    let mut told = 0;
    for _ in 0..3 {
        for _ in 0..200 {
            told = append(&store, &channel, vec![record(format!("{told}"))]).await[0].sequence().0;
        }
        server.restart().await;
    }
    append(&store, &channel, vec![record("last")]).await;
    let records = read(&store, &channel, 0).await;
    check_log(&records);
    assert_eq!(records.len() as u64, told + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_knows_old_message_ids() {
    let Some(server) = Server::start().await else { return };
    let (store, channel) = (server.store().await, channel("ids"));
    for number in 0..1_500 {
        let records =
            vec![record(format!("a{number}")).with_message_id(id(number)), record(format!("b{number}"))];
        append(&store, &channel, records).await;
    }
    let other = server.store().await;
    for number in [0, 700, 1_499] {
        let again = vec![record("again").with_message_id(id(number))];
        assert_eq!(
            append(&other, &channel, again).await,
            [AppendOutcome::Duplicate(SequenceNumber(2 * number + 1))]
        );
    }
    let fresh = vec![record("fresh").with_message_id(id(9_999))];
    assert_eq!(append(&other, &channel, fresh).await, [AppendOutcome::Appended(SequenceNumber(3_001))]);
    assert_eq!(store.find(&channel, id(9_999)).await.expect("find"), Some(SequenceNumber(3_001)));
    store.trim(&channel, SequenceNumber(1_001)).await.expect("trim");
    let third = server.store().await;
    for number in [499, 500] {
        assert_eq!(third.find(&channel, id(number)).await.expect("find"), None, "{number} was trimmed");
    }
    assert_eq!(third.find(&channel, id(501)).await.expect("find"), Some(SequenceNumber(1_003)));
}

/// Tells whether anybody hears of a channel's new blocks.
async fn is_listened_to(client: &async_nats::Client, channel: &ChannelName) -> bool {
    let [a, b, c] = channel.components();
    let ask = async_nats::client::Request::new().timeout(Some(Duration::from_millis(300)));
    let asked = client.send_request(format!("skytale.kept.{a:016x}{b:016x}{c:016x}"), ask).await;
    asked.expect_err("nobody answers").kind() != async_nats::client::RequestErrorKind::NoResponders
}

#[tokio::test(flavor = "multi_thread")]
async fn other_writers_are_listened_to_while_there_are_some() {
    let Some(server) = Server::start().await else { return };
    let (one, other, channel) = (server.store().await, server.store().await, channel("contested"));
    let client = async_nats::connect(server.url()).await.expect("connect");
    let begins = async {
        while !is_listened_to(&client, &channel).await {
            let appends = [(&one, "one"), (&other, "other")];
            let appends = appends.map(|(store, name)| append_many(store, &channel, 100, 8, name));
            futures::future::join_all(appends).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), begins).await.expect("they are in each other's way");
    let ends = async || !is_listened_to(&client, &channel).await;
    eventually(Duration::from_secs(30), "nobody listens where nothing is appended", ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_begins_anywhere_and_trims_are_seen_by_others() {
    let Some(server) = Server::start().await else { return };
    let (store, other) = (server.store().await, server.store().await);
    let (one, two) = (channel("one"), channel("two"));
    for number in 0..300 {
        append(&store, &one, vec![record(format!("{number}a")), record(format!("{number}b"))]).await;
        append(&store, &two, vec![record("x")]).await;
    }
    for after in [0, 1, 2, 3, 298, 299, 300, 597, 598, 599, 600] {
        let records = read(&other, &one, after).await;
        assert!(records.iter().map(|record| record.sequence.0).eq(after + 1..=600), "after {after}");
    }
    store.trim(&one, SequenceNumber(301)).await.expect("trim");
    assert_eq!(other.head(&one).await.expect("head").floor, SequenceNumber(301));
    assert!(read(&other, &one, 301).await.iter().map(|record| record.sequence.0).eq(302..=600));
    for after in [0, 299, 300] {
        let mut records = other.read(&one, SequenceNumber(after));
        let gone = records.next().await;
        assert!(matches!(gone, Some(Err(StoreError::Gone { floor: SequenceNumber(301) }))), "{gone:?}");
        assert!(records.next().await.is_none());
    }
    other.trim(&one, SequenceNumber(u64::MAX)).await.expect("trim");
    assert_eq!(store.head(&one).await.expect("head").floor, SequenceNumber(600));
    assert!(read(&store, &one, 600).await.is_empty());
    assert_eq!(
        append(&store, &one, vec![record("next")]).await,
        [AppendOutcome::Appended(SequenceNumber(601))]
    );
    let expired = store.expire(SystemTime::now() + Duration::from_secs(9)).await.expect("expire");
    assert_eq!(expired, 301);
    assert_eq!(store.channels().try_collect::<Vec<_>>().await.expect("channels").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_store_wrote_is_an_error_and_no_panic() {
    let Some(server) = Server::start().await else { return };
    let (store, channel) = (server.store().await, channel("foreign"));
    append(&store, &channel, vec![record("x")]).await;
    let client = async_nats::connect(server.url()).await.expect("connect");
    let [a, b, c] = channel.components();
    let subject = format!("skytale.log.{a:016x}{b:016x}{c:016x}");
    let jetstream = async_nats::jetstream::new(client);
    let published = jetstream.publish(subject, "garbage".into()).await.expect("publish");
    published.await.expect("kept");
    let read: Result<Vec<_>, _> = store.read(&channel, SequenceNumber::START).try_collect().await;
    assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
    let appended = store.append(&channel, vec![record("y")], Precondition::Any).await;
    assert!(matches!(appended, Err(StoreError::Corrupt { .. })), "{appended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relaxed_sync_has_to_be_accepted_by_name() {
    let Some(server) = Server::start().await else { return };
    let refused = NatsStore::connect(&server.url(), NatsOptions::default()).await.expect_err("not synced");
    assert!(
        matches!(refused, StoreError::Invalid { .. }) && refused.to_string().contains("sync"),
        "{refused}"
    );
    let accepted = connect(&server.url(), NatsOptions::default().accept_relaxed_sync()).await;
    assert_eq!(accepted.durability(), Durability::Process);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_always_sync_say_so() {
    let accounts = r#"#sync
        accounts {
          APP { jetstream: enabled, users: [{ user: app, password: app }],
                imports: [{ service: { account: SYS, subject: "$SYS.REQ.SERVER.PING.JSZ" } }] }
          SYS { users: [{ user: sys, password: sys }],
                exports: [{ service: "$SYS.REQ.SERVER.PING.JSZ", response: stream }] }
        }
        system_account: SYS"#;
    let Some(server) = Server::start_version((2, 11), accounts).await else { return };
    let url = format!("nats://app:app@{}", server.address());
    let store = connect(&url, NatsOptions::default()).await;
    assert_eq!(store.durability(), Durability::Disk);
    append(&store, &channel("synced"), vec![record("x")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_streams_and_options_are_refused() {
    let Some(server) = Server::start().await else { return };
    for wrong in [options().with_prefix("a.b"), options().with_replicas(2)] {
        let refused = NatsStore::connect(&server.url(), wrong).await;
        assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    }
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    let config = async_nats::jetstream::stream::Config {
        name: "mine-log".to_owned(),
        subjects: vec!["mine.log.*".to_owned()],
        max_age: Duration::from_secs(3_600),
        ..Default::default()
    };
    jetstream.create_stream(config).await.expect("a stream");
    let refused = NatsStore::connect(&server.url(), options().with_prefix("mine")).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    let too_large = server.store().await;
    let too_large =
        too_large.append(&channel("large"), vec![record(vec![0; 9_000_000])], Precondition::Any).await;
    assert!(matches!(too_large, Err(StoreError::Invalid { .. })), "{too_large:?}");
}

/// Measures; run with `--ignored --nocapture`, optimised.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn rates() {
    let Some(server) = Server::start().await else { return };
    let (store, other) = (server.store().await, server.store().await);
    let since = Instant::now();
    let body = vec![1; 256];
    for _ in 0..5_000 {
        append(&store, &channel("sequential"), vec![record(body.clone())]).await;
    }
    println!("sequential: {:.0}/s", 5_000.0 / since.elapsed().as_secs_f64());
    let rate = |count: usize, since: Instant| count as f64 / since.elapsed().as_secs_f64();
    for at_once in [16, 64, 512] {
        let channel = channel(&format!("concurrent-{at_once}"));
        let since = Instant::now();
        let appends =
            futures::stream::iter(0..100_000).map(|_| append(&store, &channel, vec![record(body.clone())]));
        appends.buffer_unordered(at_once).for_each(|_| async {}).await;
        println!("concurrent, {at_once} at once: {:.0}/s", rate(100_000, since));
        let since = Instant::now();
        let count = read(&other, &channel, 0).await.len();
        println!("  read back: {:.0}/s", rate(count, since));
    }
    let since = Instant::now();
    let count = read(&other, &channel("sequential"), 0).await.len();
    println!("read back, a record a block: {:.0}/s", rate(count, since));
}
