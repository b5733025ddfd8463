//! A relay that is killed (SIGKILL) under many agents, all of which come back at once.
//!
//! `SKYTALE_SCALE=full` has 10,000 of them, each a whole agent with a connection of its own, which takes `ulimit -n 20000`.
//! `SKYTALE_STORM` says another number.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use skytale_client::{Channel, Client};
use skytale_testing::RelayProcess;
use skytale_testing::edge::{self, By, Edge, hear};

/// How many pairs are brought together at a time.
const AT_ONCE: usize = 16;

fn agents() -> usize {
    let full = std::env::var("SKYTALE_SCALE").is_ok_and(|scale| scale == "full");
    let usual = if full { 10_000 } else { 200 };
    std::env::var("SKYTALE_STORM").map_or(usual, |agents| agents.parse().expect("a number"))
}

/// Two agents that talk to each other.
struct Pair {
    _clients: [Client; 2],
    channels: [Channel; 2],
}

impl Pair {
    async fn make(edge: &Edge, number: usize) -> Self {
        let by = if number.is_multiple_of(2) { By::Quic } else { By::Grpc };
        let start =
            |side: &str| edge.agent(&format!("storm/agents/{side}{number}"), by).with_key_packages(1).start();
        let (first, second) = (start("first").await.expect("starts"), start("second").await.expect("starts"));
        let room = format!("storm/rooms/room{number}");
        let firsts = first.create_channel(&room).await.expect("created");
        edge::add(&firsts, &second).await;
        let seconds = second.join_channel(&room).await.expect("joined");
        Self { _clients: [first, second], channels: [firsts, seconds] }
    }
}

async fn gather(edge: &Edge) -> Vec<Pair> {
    let pairs = (0..agents() / 2).map(|number| Pair::make(edge, number));
    stream::iter(pairs).buffer_unordered(AT_ONCE).collect().await
}

/// Has everybody say something; returns how long it took each until the relay had archived it.
async fn say(channels: &[&Channel], text: &str) -> Vec<Duration> {
    let began = Instant::now();
    let says = channels.iter().map(|channel| async move {
        channel.send(text).await.expect("sent, however long it takes");
        began.elapsed()
    });
    let mut times = join_all(says).await;
    times.sort();
    times
}

/// What one has said the other hears next: nothing is lost, and nothing comes twice.
async fn all_hear(channels: &[&Channel], text: &str) {
    for heard in join_all(channels.iter().map(|channel| hear(channel, 1))).await {
        assert_eq!(heard[0].text(), text);
    }
}

/// What a process has used: memory in MiB, and processor time.
fn used(process: &RelayProcess) -> (u64, Duration) {
    let read = |file: &str| {
        let path = format!("/proc/{}/{file}", process.id());
        std::fs::read_to_string(path).expect("Linux")
    };
    let (memory, times) = (read("statm"), read("stat"));
    let pages: u64 = memory.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    // After the name, which may have spaces: the twelfth and thirteenth, in hundredths of a second.
    let (_, times) = times.rsplit_once(')').expect("a name");
    let ticks: u64 =
        times.split(' ').skip(12).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    (pages * 4 / 1024, Duration::from_millis(ticks * 10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_come_back_when_the_relay_was_killed_and_nothing_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut relay = RelayProcess::start(directory.path());
    let edge = Edge::found(directory.path()).await;
    let began = Instant::now();
    let pairs = gather(&edge).await;
    let channels: Vec<_> = pairs.iter().flat_map(|pair| &pair.channels).collect();
    say(&channels, "before").await;
    all_hear(&channels, "before").await;
    let (gathered, before) = (began.elapsed(), used(&relay).0);

    relay.kill().await;
    let mut relay = RelayProcess::start(directory.path());
    let times = say(&channels, "during").await;
    all_hear(&channels, "during").await;
    let (memory, processor) = used(&relay);
    say(&channels, "after").await;
    all_hear(&channels, "after").await;
    assert!(channels.iter().all(|channel| channel.is_connected()));
    relay.kill().await;

    let last = times.len() - 1;
    println!(
        "{} agents, gathered in {gathered:.1?}: back p50 {:.1?}, p99 {:.1?}, all {:.1?} after the relay was killed; the relay \
         had {before} MiB, and has {memory} MiB after {processor:.1?} of processor time",
        channels.len(),
        times[last / 2],
        times[last * 99 / 100],
        times[last]
    );
}
