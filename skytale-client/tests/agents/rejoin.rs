//! Agents whose state is of no use any more come back, again and again. `SKYTALE_SCALE=full` loses 1,000 states.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use skytale_client::{Channel, Client, Credentials, Event};
use skytale_core::SequenceNumber;
use skytale_store::Store;
use skytale_testing::AccountPerToken;
use skytale_testing::edge::{self, By, Edge, ROOM, SOON};

const OWNER: &str = "acme/agents/owner";
const AGENT: &str = "globex/agents/forgetful";

/// Relays let an account in by an external commit once a minute: with each token the agent is another one.
const PER_TOKEN: AccountPerToken = AccountPerToken { otherwise: Some("owner") };

/// What becomes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// It is one from before the agent's own last changes, as out of a backup.
    Older,
    /// The archive has dropped some changes that it has not seen.
    Behind,
    /// The archive has dropped everything that it has not seen.
    FarBehind,
    /// It is gone, and the agent's keys with it.
    Gone,
}

impl Loss {
    fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0..4 => Self::Older,
            4..7 => Self::Behind,
            7..9 => Self::FarBehind,
            _ => Self::Gone,
        }
    }
}

/// The agent and the one other member, and how often the agent was started.
struct World {
    edge: Edge,
    owner: Option<Client>,
    owners: Channel,
    agent: Client,
    agents: Channel,
    starts: AtomicU32,
    random: StdRng,
}

impl World {
    async fn make(seed: u64) -> Self {
        let edge = Edge::with(PER_TOKEN).await;
        let owner = edge.kept(OWNER, By::Quic).with_key_packages(1).start().await.expect("starts");
        let owners = owner.create_channel(ROOM).await.expect("created");
        let starts = AtomicU32::new(0);
        let agent = start(&edge, &starts).await;
        edge::add(&owners, &agent).await;
        let agents = agent.join_channel(ROOM).await.expect("joined");
        let random = StdRng::seed_from_u64(seed);
        Self { edge, owner: Some(owner), owners, agent, agents, starts, random }
    }

    fn place(&self) -> PathBuf {
        self.edge.place(AGENT)
    }

    async fn close_agent(&mut self) {
        self.agent.clone().close().await;
    }

    async fn open_agent(&mut self) {
        self.agent = start(&self.edge, &self.starts).await;
        self.agents = self.agent.open_channel(ROOM).await.expect("opened");
    }

    async fn close_owner(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.close().await;
        }
    }

    async fn open_owner(&mut self) {
        let owner = self.edge.kept(OWNER, By::Quic).with_key_packages(1).start().await.expect("starts");
        self.owners = owner.open_channel(ROOM).await.expect("opened");
        self.owner = Some(owner);
    }

    /// Loses the state; returns how long the agent took to be able to speak again.
    async fn lose(&mut self, loss: Loss, round: u32) -> Duration {
        match loss {
            Loss::Older => self.restore_an_older_state().await,
            Loss::Behind | Loss::FarBehind => self.drop_what_was_missed(loss).await,
            Loss::Gone => return self.delete_the_state(round).await,
        }
        // Nobody else is there to help.
        self.close_owner().await;
        let began = Instant::now();
        self.open_agent().await;
        let (back, sent) = tokio::join!(rejoined(&self.agents), self.agents.send(format!("back {round}")));
        let took = began.elapsed();
        assert!(back <= sent.expect("sent"), "it said something before it was back");
        self.open_owner().await;
        took
    }

    async fn restore_an_older_state(&mut self) {
        self.close_agent().await;
        let backup = self.edge.directory.join("backup");
        edge::copy(&self.place(), &backup);
        self.open_agent().await;
        for _ in 0..self.random.random_range(1..=3) {
            self.agents.rotate().await.expect("rotated");
            self.agents.send("lost").await.expect("sent");
        }
        self.close_agent().await;
        std::fs::remove_dir_all(self.place()).expect("removed");
        std::fs::rename(&backup, self.place()).expect("restored");
    }

    async fn drop_what_was_missed(&mut self, loss: Loss) {
        self.close_agent().await;
        let first = self.owners.rotate().await.expect("rotated");
        for _ in 0..self.random.random_range(1..=3) {
            self.owners.send("missed").await.expect("sent");
            self.owners.rotate().await.expect("rotated");
        }
        let last = self.owners.last_applied();
        let through = if loss == Loss::FarBehind { last } else { self.random.random_range(first..last) };
        let store = self.edge.store();
        store.trim(self.owners.name(), SequenceNumber(through)).await.expect("trimmed");
    }

    /// Nobody but a member can let the agent in again, by a key package of its new state.
    async fn delete_the_state(&mut self, round: u32) -> Duration {
        self.close_agent().await;
        std::fs::remove_dir_all(self.place()).expect("removed");
        let began = Instant::now();
        self.agent = start(&self.edge, &self.starts).await;
        self.agent.wait_until_addable().await.expect("left");
        self.owners.remove(AGENT).await.expect("removed");
        self.owners.add(AGENT).await.expect("added");
        self.agents = self.agent.join_channel(ROOM).await.expect("joined");
        self.agents.send(format!("back {round}")).await.expect("sent");
        began.elapsed()
    }

    /// Both hear each other, and are in one group, each once.
    async fn agrees(&self, round: u32) {
        heard(&self.owners, &format!("back {round}")).await;
        self.owners.send(format!("seen {round}")).await.expect("sent");
        heard(&self.agents, &format!("seen {round}")).await;
        let last = self.owners.last_applied().max(self.agents.last_applied());
        for channel in [&self.owners, &self.agents] {
            channel.wait_for(last).await.expect("reached");
            assert_eq!(channel.members().len(), 2, "never two leaves");
        }
        assert_eq!(self.owners.epoch_authenticator(), self.agents.epoch_authenticator());
    }
}

async fn start(edge: &Edge, starts: &AtomicU32) -> Client {
    let token = Credentials::token(starts.fetch_add(1, Ordering::Relaxed).to_string());
    let agent = edge.kept(AGENT, By::Quic).with_key_packages(1).with_credentials(token);
    agent.start().await.expect("starts")
}

/// Waits until the agent is told that it is back, and returns the number of its commit.
async fn rejoined(channel: &Channel) -> u64 {
    match edge::expect(channel, |event| matches!(event, Event::Rejoined { .. })).await {
        Event::Rejoined { sequence, .. } => sequence,
        event => unreachable!("{event:?}"),
    }
}

/// Reads on to a message; what comes before it is readable, too.
async fn heard(channel: &Channel, wanted: &str) {
    let read = edge::expect(channel, |event| {
        assert!(
            !matches!(
                event,
                Event::Undecryptable { .. } | Event::Forked { .. } | Event::HistoryDiffers { .. }
            ),
            "{event:?}"
        );
        matches!(event, Event::Message(message) if message.text() == wanted)
    });
    tokio::time::timeout(SOON, read).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_comes_back_whatever_becomes_of_its_state() {
    let full = std::env::var("SKYTALE_SCALE").is_ok_and(|scale| scale == "full");
    let seed = std::env::var("SKYTALE_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    let mut world = World::make(seed).await;
    let all = [Loss::Older, Loss::Behind, Loss::FarBehind, Loss::Gone];
    let mut times = BTreeMap::<Loss, Vec<Duration>>::new();
    for round in 0..if full { 1_000 } else { 10 } {
        // Each of them in any case.
        let any = Loss::any(&mut world.random);
        let loss = all.get(round as usize).copied().unwrap_or(any);
        println!("round {round}: {loss:?}");
        let lost = tokio::time::timeout(SOON, world.lose(loss, round)).await;
        times.entry(loss).or_default().push(lost.unwrap_or_else(|_| panic!("not back in round {round}")));
        world.agrees(round).await;
    }
    for (loss, mut times) in times {
        times.sort();
        let [half, most] = [times[times.len() / 2], times[times.len() * 99 / 100]];
        println!("{loss:?}: {} times, back after p50 {half:?}, p99 {most:?}", times.len());
    }
}
