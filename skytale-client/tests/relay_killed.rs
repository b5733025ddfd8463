//! The relay's process is killed (SIGKILL) again and again while agents talk and change their group.
//!
//! `SKYTALE_KILLS=100` kills it so often.

use std::time::{Duration, Instant};

use futures::future::join_all;
use skytale_client::{Channel, Client, Result};
use skytale_testing::RelayProcess;
use skytale_testing::edge::{By, Edge, ROOM, SOON, gather, hear};
use tokio::net::TcpStream;
use tokio::sync::watch;

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";
const CAROL: &str = "initech/agents/carol";

fn kills() -> u64 {
    std::env::var("SKYTALE_KILLS").map_or(5, |kills| kills.parse().expect("a number"))
}

/// What the killed process does; a test of its own only by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay() {
    RelayProcess::serve().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_forks_when_the_relay_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let relay = RelayProcess::start(directory.path());
    let edge = Edge::found(directory.path()).await;
    let agent = |name, by| edge.kept(name, by).start();
    let alice = agent(ALICE, By::Grpc).await.expect("starts");
    let bob = agent(BOB, By::Grpc).await.expect("starts");
    let carol = agent(CAROL, By::Grpc).await.expect("starts");
    carol.left_key_packages().await.expect("left");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let (over, goes_on) = watch::channel(true);

    let killing = kill_again_and_again(relay, &edge, over);
    let (relay, said, rotated, joined) = tokio::join!(
        killing,
        talk(&alices, goes_on.clone()),
        rotate(&bobs, goes_on.clone()),
        come_and_go(&alices, &carol, goes_on),
    );
    let heard: Vec<_> = hear(&bobs, said).await.iter().map(|message| message.text().into_owned()).collect();
    let expected: Vec<_> = (0..said).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected, "each message once, in order");
    let last = alices.rotate().await.expect("rotated");
    bobs.reached(last).await.expect("reached");
    assert_eq!(alices.epoch_authenticator(), bobs.epoch_authenticator(), "the group has forked");
    println!("killed {} times during {said} messages, {rotated} commits and {joined} agents added", kills());
    drop(relay);
}

/// No packet says that the process at the other end is another one: the agent notices that nobody answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_on_quic_notices_that_its_relay_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut relay = RelayProcess::start(directory.path());
    let edge = Edge::found(directory.path()).await;
    let alice = edge.kept(ALICE, By::Quic).start().await.expect("starts");
    let bob = edge.kept(BOB, By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    relay.kill().await;
    let relay = RelayProcess::start(directory.path());
    let began = Instant::now();
    let sends = (0..20).map(|number| alices.send(format!("{number}")));
    assert!(join_all(sends).await.iter().all(Result::is_ok));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let heard: Vec<_> = hear(&bobs, 20).await.iter().map(|message| message.text().into_owned()).collect();
    assert_eq!(heard, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
    drop(relay);
}

/// Kills the relay at any moment; each time it has been up for another while.
async fn kill_again_and_again(
    mut relay: RelayProcess,
    edge: &Edge,
    over: watch::Sender<bool>,
) -> RelayProcess {
    for round in 0..kills() {
        while TcpStream::connect(edge.socket(By::Grpc)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300 + round * 37 % 700)).await;
        relay.kill().await;
        relay = RelayProcess::start(&edge.directory);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    over.send_replace(false);
    relay
}

async fn talk(channel: &Channel, goes_on: watch::Receiver<bool>) -> usize {
    let mut said = 0;
    while *goes_on.borrow() {
        channel.send(format!("{said}")).await.expect("sent");
        said += 1;
    }
    said
}

async fn rotate(channel: &Channel, goes_on: watch::Receiver<bool>) -> usize {
    let mut rotated = 0;
    while *goes_on.borrow() {
        channel.rotate().await.expect("rotated");
        rotated += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rotated
}

/// Whoever is added can join: the commit never comes without its Welcome.
async fn come_and_go(channel: &Channel, agent: &Client, goes_on: watch::Receiver<bool>) -> usize {
    let mut joined = 0;
    let name = agent.name().to_string();
    while *goes_on.borrow() {
        let added = again(|| channel.add(&name)).await;
        let theirs = again(|| agent.join_channel(ROOM)).await;
        theirs.reached(added).await.expect("reached");
        let removed = channel.remove(&name).await.expect("removed");
        theirs.reached(removed).await.expect("reached");
        assert!(!theirs.is_member());
        joined += 1;
    }
    joined
}

/// Asks until there is a relay to answer.
async fn again<T>(ask: impl AsyncFn() -> Result<T>) -> T {
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}
