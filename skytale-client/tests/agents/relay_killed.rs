//! The relay's process is killed (SIGKILL) again and again while agents talk and change their group.
//!
//! `SKYTALE_KILLS=100` kills it so often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use skytale_client::{Channel, Client, Result};
use skytale_testing::edge::{By, Edge, ROOM, SOON, gather, hear};
use skytale_testing::{RelayProcess, eventually};
use tokio::sync::watch;

const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";
const CAROL: &str = "initech/agents/carol";

fn kills() -> usize {
    std::env::var("SKYTALE_KILLS").map_or(5, |kills| kills.parse().expect("a number"))
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
    carol.wait_until_addable().await.expect("left");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    let ((over, goes_on), progress) = (watch::channel(true), Progress::default());

    let (relay, (), (), ()) = tokio::join!(
        kill_again_and_again(relay, &edge, &progress, over),
        talk(&alices, &progress, goes_on.clone()),
        rotate(&bobs, &progress, goes_on.clone()),
        come_and_go(&alices, &carol, &progress, goes_on),
    );
    let [said, rotated, joined] = progress.counts();
    let heard: Vec<_> = hear(&bobs, said).await.iter().map(|message| message.text().into_owned()).collect();
    let expected: Vec<_> = (0..said).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected, "each message once, in order");
    let last = alices.rotate().await.expect("rotated");
    bobs.wait_for(last).await.expect("reached");
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

/// What the agents have done so far.
#[derive(Default)]
struct Progress {
    said: AtomicUsize,
    rotated: AtomicUsize,
    joined: AtomicUsize,
}

impl Progress {
    fn counts(&self) -> [usize; 3] {
        [&self.said, &self.rotated, &self.joined].map(|count| count.load(Ordering::Relaxed))
    }

    /// Waits until the agents have said, committed and added so much more.
    async fn goes_on(&self, by: [usize; 3]) {
        let before = self.counts();
        let goes_on = async || (0..3).all(|what| self.counts()[what] >= before[what] + by[what]);
        eventually(SOON, "the agents go on", goes_on).await;
    }
}

/// Kills the relay at any moment; each time the agents have done another amount since it was killed before.
async fn kill_again_and_again(
    mut relay: RelayProcess,
    edge: &Edge,
    progress: &Progress,
    over: watch::Sender<bool>,
) -> RelayProcess {
    for round in 0..kills() {
        progress.goes_on([20 + round * 37 % 70, 1, 0]).await;
        relay.kill().await;
        relay = RelayProcess::start(&edge.directory);
    }
    progress.goes_on([20, 1, 1]).await;
    over.send_replace(false);
    relay
}

async fn talk(channel: &Channel, progress: &Progress, goes_on: watch::Receiver<bool>) {
    while *goes_on.borrow() {
        let said = progress.said.load(Ordering::Relaxed);
        channel.send(format!("{said}")).await.expect("sent");
        progress.said.fetch_add(1, Ordering::Relaxed);
    }
}

async fn rotate(channel: &Channel, progress: &Progress, goes_on: watch::Receiver<bool>) {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    while *goes_on.borrow() {
        pace.tick().await;
        channel.rotate().await.expect("rotated");
        progress.rotated.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whoever is added can join: the commit never comes without its Welcome.
async fn come_and_go(channel: &Channel, agent: &Client, progress: &Progress, goes_on: watch::Receiver<bool>) {
    let name = agent.name().to_string();
    while *goes_on.borrow() {
        let added = again(|| channel.add(&name)).await;
        let theirs = again(|| agent.join_channel(ROOM)).await;
        theirs.wait_for(added).await.expect("reached");
        let removed = channel.remove(&name).await.expect("removed");
        theirs.wait_for(removed).await.expect("reached");
        assert!(!theirs.is_member());
        progress.joined.fetch_add(1, Ordering::Relaxed);
    }
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
