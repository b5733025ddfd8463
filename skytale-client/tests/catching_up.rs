//! Agents that were away for long, or that read slowly. `SKYTALE_SCALE=full` runs the sizes that docs/performance.md
//! tells of.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use skytale_client::{Channel, Event};
use skytale_relay::AllowAnyone;
use skytale_testing::edge::{By, Edge, ROOM, gather, is_loss};
use tokio::sync::Mutex;

/// Held by each test: one of them measures the process's memory.
static ALONE: Mutex<()> = Mutex::const_new(());

fn is_full() -> bool {
    std::env::var("SKYTALE_SCALE").is_ok_and(|scale| scale == "full")
}

/// Returns the number of the last message.
async fn say(channel: &Channel, count: usize, length: usize) -> u64 {
    let body = |number: usize| [&(number as u64).to_be_bytes()[..], &vec![7; length - 8][..]].concat();
    let sends = (0..count).map(|number| channel.send(body(number)));
    let sends = stream::iter(sends).buffered(256);
    sends.fold(0, |last, sent| async move { sent.expect("sent").max(last) }).await
}

/// Reads on until so many messages were read, in order and each once; returns how many events waited at most.
async fn read(channel: &Channel, next: &mut u64, count: u64) -> u64 {
    let (mut events, mut waited) = (channel.events(), 0);
    while *next < count {
        match events.next().await.expect("open").expect("readable") {
            Event::Message(message) => {
                assert_eq!(message.body[..8], next.to_be_bytes(), "each once, in order");
                *next += 1;
            }
            Event::Lagging { waiting } => waited = waited.max(waiting),
            event => assert!(!is_loss(&event), "{event:?}"),
        }
    }
    waited
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_away_catches_up_over_a_connection_that_breaks_again_and_again() {
    let _alone = ALONE.lock().await;
    let (count, breaks) = if is_full() { (100_000, 100) } else { (10_000, 10) };
    let mut edge = Edge::start().await;
    let alice = edge.kept("acme/agents/alice", By::Quic).start().await.expect("starts");
    let bob = edge.kept("globex/agents/bob", By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice.clone(), bob.clone()]).await.try_into().expect("two");
    drop(bobs);
    bob.close().await;
    let last = say(&alices, count, 200).await;
    alice.close().await;

    let bob = edge.kept("globex/agents/bob", By::Quic).start().await.expect("starts");
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    let (began, mut broken) = (Instant::now(), 0);
    while broken < breaks && bobs.last_applied() < last {
        bobs.wait_for(last.min(bobs.last_applied() + 1)).await.expect("goes on");
        edge.stop().await;
        edge.run(AllowAnyone).await;
        broken += 1;
    }
    let mut next = 0;
    read(&bobs, &mut next, count as u64).await;
    assert!(broken > 0, "it caught up before the connection was broken");
    println!("{count} messages, the connection broken {broken} times: {:.1?}", began.elapsed());
}

/// Returns how much memory this process has, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("pages") * 4 / 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_nothing_and_costs_no_memory() {
    let _alone = ALONE.lock().await;
    let (count, length) = if is_full() { (20_000, 16 * 1024) } else { (5_000, 16 * 1024) };
    let edge = Edge::start().await;
    let alice = edge.kept("acme/agents/alice", By::Quic).start().await.expect("starts");
    let bob = edge.kept("globex/agents/bob", By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    say(&alices, 500, length).await;
    let mut next = 0;
    read(&bobs, &mut next, 500).await;
    let before = resident();
    let saying = async {
        let last = say(&alices, count, length).await;
        bobs.wait_for(last).await.expect("it takes everything in");
    };
    let mut most = before;
    let watching = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            most = most.max(resident());
        }
    };
    tokio::select! {
        () = saying => {}
        () = watching => {}
    }
    let grown = most - before;
    let sent = (count * length) as u64 >> 20;
    assert!(grown < 64, "{grown} MiB more with {sent} MiB unread");
    next = 0;
    let waited = read(&bobs, &mut next, count as u64).await;
    assert!(waited > 0, "it was told that it lags");
    println!("{sent} MiB unread: {grown} MiB more in memory, relay, sender and reader together");
}
