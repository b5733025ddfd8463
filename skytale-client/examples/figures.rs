//! Measures channels end to end, over real sockets and SQLite on both sides: what docs/performance.md says of them.
//!
//! `cargo run --release -p skytale-client --example figures -- [talk|catch-up|commits]...`, by default all.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use skytale_client::{Channel, Client};
use skytale_testing::edge::{By, Edge, ROOM, gather, hear};

/// The body of a message, in bytes.
const BODY: usize = 256;

/// How many messages are on their way at once.
const WINDOW: usize = 256;

#[tokio::main]
async fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    if is_chosen("talk") {
        for by in [By::Quic, By::Grpc] {
            talk(by).await;
        }
    }
    if is_chosen("catch-up") {
        catch_up(100_000).await;
    }
    if is_chosen("commits") {
        for size in [2, 32, 256, 1000] {
            commits(size).await;
        }
        contended().await;
    }
}

/// One agent says, another hears: as fast as it goes, and at a pace.
async fn talk(by: By) {
    let edge = Edge::start().await;
    let [alice, bob] = pair(&edge, by).await;
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let count = 20_000;
    let began = Instant::now();
    tokio::join!(say(&alices, count, BODY), hear(&bobs, count));
    let rate = count as f64 / began.elapsed().as_secs_f64();
    let mut times = paced(&alices, &bobs).await;
    times.sort();
    println!(
        "{by:?}, {BODY} B, encrypted, archived on SQLite, decrypted, stored: {rate:.0} messages/s; at 200/s p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

/// Says something 200 times a second, and returns how long each took to be heard.
async fn paced(alices: &Channel, bobs: &Channel) -> Vec<Duration> {
    let (count, origin) = (1_000, Instant::now());
    let saying = async {
        let mut interval = tokio::time::interval(Duration::from_millis(5));
        let mut sends = Vec::new();
        for _ in 0..count {
            interval.tick().await;
            let mut body = vec![0; BODY];
            body[..8].copy_from_slice(&(origin.elapsed().as_nanos() as u64).to_be_bytes());
            let channel = alices.clone();
            sends.push(tokio::spawn(async move { channel.send(body).await }));
        }
        join_all(sends).await;
    };
    let hearing = async {
        let (mut messages, mut times) = (bobs.events(), Vec::new());
        while times.len() < count {
            let message = messages.next_message().await.expect("open").expect("readable");
            let sent = u64::from_be_bytes(*message.body.first_chunk().expect("a time"));
            times.push(origin.elapsed() - Duration::from_nanos(sent));
        }
        times
    };
    tokio::join!(saying, hearing).1
}

/// An agent comes back after it has missed many messages.
async fn catch_up(count: usize) {
    let edge = Edge::start().await;
    let alice = edge.kept("figures/agents/alice", By::Quic).start().await.expect("starts");
    let bob = edge.kept("figures/agents/bob", By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob.clone()]).await.try_into().expect("two");
    drop(bobs);
    bob.close().await;
    say(&alices, count, 200).await;
    let bob = edge.kept("figures/agents/bob", By::Quic).start().await.expect("starts");
    let began = Instant::now();
    let bobs = bob.open_channel(ROOM).await.expect("opened");
    let heard = hear(&bobs, count).await;
    let taken = began.elapsed().as_secs_f64();
    let in_order = heard.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
    assert!(in_order && heard.len() == count, "a gap or a duplicate");
    println!("catching up {count} messages of 200 B: {taken:.1} s, {:.0} messages/s", count as f64 / taken);
}

/// How long a commit takes in a group of a size.
async fn commits(size: usize) {
    let edge = Edge::start().await;
    let [alice, bob] = pair(&edge, By::Quic).await;
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let names: Vec<String> = (2..size).map(|number| format!("figures/many/agent{number}")).collect();
    for name in &names {
        let agent = edge.agent(name, By::Quic).with_key_packages(1).start().await.expect("starts");
        agent.wait_until_addable().await.expect("left");
        agent.close().await;
    }
    let began = Instant::now();
    let adds = names.iter().map(|name| alices.add(name));
    stream::iter(adds)
        .buffer_unordered(64)
        .for_each(|added| async move { assert!(added.is_ok(), "{added:?}") })
        .await;
    let adding = began.elapsed();
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let commit = alices.rotate().await.expect("rotated");
        bobs.wait_for(commit).await.expect("reached");
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "a commit with {size} members, until another member has applied it: p50 {:?}, slowest {:?} (adding them took {adding:.1?})",
        times[10], times[19]
    );
}

/// How long those who lose take to commit again.
async fn contended() {
    let edge = Edge::start().await;
    let [alice, bob] = pair(&edge, By::Quic).await;
    let channels = gather(&[alice, bob]).await;
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        let both = channels.iter().map(|channel| async move {
            channel.rotate().await.expect("rotated");
            began.elapsed()
        });
        let both = join_all(both).await;
        times.push(both[0].max(both[1]) - both[0].min(both[1]));
    }
    times.sort();
    println!("from the winner's commit to the loser's next: p50 {:?}, p99 {:?}", times[100], times[198]);
}

async fn pair(edge: &Edge, by: By) -> [Client; 2] {
    let start = |name: &'static str| async move { edge.kept(name, by).start().await.expect("starts") };
    [start("figures/agents/alice").await, start("figures/agents/bob").await]
}

async fn say(channel: &Channel, count: usize, length: usize) {
    let sends = (0..count).map(|_| channel.send(vec![7; length]));
    stream::iter(sends)
        .buffered(WINDOW)
        .for_each(|sent| async move { assert!(sent.is_ok(), "{sent:?}") })
        .await;
}
