//! What happens, and what has to hold in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use skytale_core::mls::{ContentType, MlsHeader};
use skytale_core::{ChannelName, Envelope, FrameLimits, SequenceNumber};
use skytale_relay::Relay;
use skytale_store::{KeyPackageDirectory, MemoryStore, Store};

use super::agent::Agent;
use crate::cipher_suite::CipherSuite;
use crate::event::Event;
use crate::group::Group;
use crate::group::identity::Identity;
use crate::group::key_package::{KeyPackages, Uses};
use crate::machine::stored::{Intent, Phase};
use crate::machine::{Input, Machine, Options};

pub(super) struct World {
    pub random: StdRng,
    members: Members,
    pub channel: ChannelName,
    log: Arc<dyn Store>,
    pub store: Arc<MemoryStore>,
    relay: Relay,
    pub agents: Vec<Agent>,
    now: u64,
    last_ticket: u64,
    /// What was said, by whom; crashed callers never learn its number, and it arrives all the same.
    pub said: Vec<Said>,
}

/// Whether members are removed, and added again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    Stay,
    ComeAndGo,
}

/// Something that was said: by whom, and with which ticket.
pub(super) struct Said {
    pub by: usize,
    pub ticket: u64,
    pub body: Vec<u8>,
}

/// What an agent is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Say,
    Rotate,
    Remove(usize),
    Leave,
    Add(usize),
}

/// How many commits and messages an agent is asked for, at most.
const COMMITS: u32 = 4;
const MESSAGES: u32 = 6;

/// How many steps a schedule may need to come to rest.
const REST: usize = 200_000;

pub(super) fn options() -> Options {
    // Who loses always tries again.
    Options { attempts: u32::MAX, ..Options::default() }
}

impl World {
    pub async fn new(seed: u64, members: Members, log: Arc<dyn Store>, store: Arc<MemoryStore>) -> Self {
        let channel = ChannelName::from_strings(["sim", "ns", "room"]);
        let relay = relay(&log, &store);
        let random = StdRng::seed_from_u64(seed);
        let (agents, said) = Default::default();
        let mut world =
            Self { random, members, channel, log, store, relay, agents, now: 0, last_ticket: 1, said };
        world.found().await;
        // Few large groups: what goes wrong goes wrong among two or three.
        let size: u32 = 2 + world.random.random_range(0..15).min(world.random.random_range(0..15));
        for number in 1..size {
            world.add_member(number).await;
        }
        world
    }

    /// Lets everything happen, then lets everything come to rest, and looks.
    pub async fn run(mut self) {
        let count = self.agents.len() as u32;
        let mut wishes: Vec<(usize, Wish)> = Vec::new();
        for agent in 0..self.agents.len() {
            let commits = self.random.random_range(1..=COMMITS);
            let messages = self.random.random_range(0..=MESSAGES);
            wishes.extend((0..commits).map(|_| (agent, Wish::Rotate)));
            wishes.extend((0..messages).map(|_| (agent, Wish::Say)));
        }
        if self.members == Members::ComeAndGo {
            self.wish_for_changes(&mut wishes);
        }
        let mut steps = 200 * count;
        while steps > 0 || !wishes.is_empty() {
            steps = steps.saturating_sub(1);
            self.now += self.random.random_range(0..5);
            if !wishes.is_empty() && self.random.random_range(0..10) == 0 {
                let (agent, wish) = wishes.swap_remove(self.random.random_range(0..wishes.len()));
                self.wish(agent, wish);
            }
            self.step().await;
        }
        self.rest().await;
        self.check().await;
    }

    async fn step(&mut self) {
        let agent = self.random.random_range(0..self.agents.len());
        match self.random.random_range(0..1000) {
            0..4 => self.restart_relay().await,
            4..12 => self.agents[agent].cut(self.now),
            12..20 => self.agents[agent].crash(&self.channel, options()),
            20..26 => {
                // Dies with something done that is not stored.
                if let Some(input) = self.input(agent) {
                    self.agents[agent].machine.handle(input, self.now).expect("handles");
                    self.agents[agent].settle(false);
                    self.agents[agent].crash(&self.channel, options());
                }
            }
            26..60 => {
                let past = self.agents[agent].past.len();
                if past > 0 {
                    let which = self.random.random_range(0..past);
                    self.agents[agent].send_again(&self.relay, which).await;
                    settle_tasks().await;
                }
            }
            60..300 => {
                if !self.agents[agent].is_connected() {
                    self.agents[agent].connect(&self.relay, self.now).await;
                }
            }
            300..650 => {
                self.agents[agent].send_next();
                settle_tasks().await;
            }
            650..990 => {
                self.agents[agent].receive_next(self.now);
            }
            _ => {
                self.agents[agent].take(Input::Tick, self.now);
                self.let_in(agent).await;
            }
        }
    }

    /// Something that an agent might take in when it dies.
    fn input(&mut self, agent: usize) -> Option<Input> {
        let alive = matches!(self.agents[agent].machine.phase(), Phase::Member);
        alive.then(|| Input::Change { ticket: 0, intent: Intent::Rotate })
    }

    fn wish(&mut self, agent: usize, wish: Wish) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let input = match wish {
            Wish::Say => {
                let body = format!("{agent} says {ticket}").into_bytes();
                self.said.push(Said { by: agent, ticket, body: body.clone() });
                Input::Send { ticket, body }
            }
            Wish::Rotate => Input::Change { ticket, intent: Intent::Rotate },
            Wish::Remove(other) => {
                let agent = self.agents[other].identity.text().to_owned();
                Input::Change { ticket, intent: Intent::Remove { agent } }
            }
            Wish::Leave => Input::Leave { ticket },
            Wish::Add(other) => Input::Change { ticket, intent: self.agents[other].addition() },
        };
        self.agents[agent].take(input, self.now);
    }

    async fn restart_relay(&mut self) {
        for agent in &mut self.agents {
            agent.cut(self.now);
        }
        settle_tasks().await;
        self.relay = relay(&self.log, &self.store);
    }

    /// No more faults: everybody connects, and everything arrives.
    async fn rest(&mut self) {
        for _ in 0..REST {
            let mut busy = false;
            self.now += 10;
            for agent in 0..self.agents.len() {
                if !self.agents[agent].is_connected() {
                    self.agents[agent].connect(&self.relay, self.now).await;
                    busy = true;
                }
                while !self.agents[agent].on_its_way.is_empty() {
                    self.agents[agent].send_next();
                    busy = true;
                }
                settle_tasks().await;
                while self.agents[agent].receive_next(self.now) {
                    busy = true;
                }
                busy |= self.let_in(agent).await;
                busy |= self.agents[agent].machine.wakes_at().is_some();
                self.agents[agent].take(Input::Tick, self.now);
            }
            if !busy {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    async fn check(&self) {
        self.check_log().await;
        if self.members == Members::ComeAndGo {
            return self.check_changes();
        }
        let first = &self.agents[0].machine;
        for (number, agent) in self.agents.iter().enumerate() {
            for event in agent.events() {
                let fine = !matches!(
                    event,
                    Event::Undecryptable { .. }
                        | Event::Forked { .. }
                        | Event::Gap { .. }
                        | Event::HistoryDiffers { .. }
                );
                assert!(fine, "agent {number} was told {event:?}");
            }
            assert_eq!(agent.failed, Vec::<String>::new(), "agent {number}");
            assert_eq!(agent.machine.group().epoch(), first.group().epoch(), "epoch of agent {number}");
            let authenticator = first.group().epoch_authenticator();
            assert_eq!(
                agent.machine.group().epoch_authenticator(),
                authenticator,
                "agent {number} has forked"
            );
            let mut expected = BTreeMap::<String, Vec<Vec<u8>>>::new();
            for said in self.said.iter().filter(|said| said.by != number) {
                expected.entry(name(said.by as u32).to_string()).or_default().push(said.body.clone());
            }
            let mut heard = BTreeMap::<String, Vec<Vec<u8>>>::new();
            for message in agent.heard() {
                heard.entry(message.sender).or_default().push(message.body);
            }
            assert_eq!(heard, expected, "what agent {number} has heard: everything once, in order");
        }
    }

    /// Numbers without gaps, and one commit for every epoch.
    async fn check_log(&self) {
        let mut records = self.store.read(&self.channel, SequenceNumber::START);
        let (mut expected, mut epoch) = (1, 0);
        let mut ids = BTreeMap::new();
        while let Some(record) = records.next().await {
            let record = record.expect("a record");
            assert_eq!(record.sequence.0, expected, "numbers have gaps");
            expected += 1;
            let again = ids.insert(record.message_id, record.sequence);
            assert_eq!(again, None, "a message was archived twice");
            let envelope =
                Envelope::parse(record.body, record.dialect, &FrameLimits::default()).expect("parses");
            let blob = envelope.app_payload().expect("a payload").blob;
            if let Some(MlsHeader::Framed { epoch: of, content: ContentType::Commit, .. }) =
                MlsHeader::read(blob)
            {
                assert_eq!(of.0, epoch, "two commits of one epoch, or none");
                epoch += 1;
            }
        }
    }

    async fn found(&mut self) {
        let identity = Identity::generate(&name(0)).expect("an identity");
        let machine =
            Machine::create(&self.channel, &identity, CipherSuite::Classic, options(), 1).expect("creates");
        let mut agent = Agent::new(identity, machine);
        agent.settle(true);
        self.agents.push(agent);
        self.rest().await;
    }

    async fn add_member(&mut self, number: u32) {
        let identity = Identity::generate(&name(number)).expect("an identity");
        let mut key_packages = KeyPackages::default();
        let key_package = key_packages
            .generate(&identity, CipherSuite::Classic, Uses::Once, SystemTime::now())
            .expect("a key package");
        self.last_ticket += 1;
        let intent = Intent::Add { agent: identity.text().to_owned(), key_package };
        self.agents[0].take(Input::Change { ticket: self.last_ticket, intent }, self.now);
        self.rest().await;
        let welcome = self.store.welcomes(identity.name(), 0, 1).await.expect("welcomes").remove(0);
        self.store.drop_welcome(identity.name(), welcome.commit).await.expect("dropped");
        let group = Group::join(&identity, &welcome.body, &mut key_packages).expect("joins");
        let commit = welcome.accepted.expect("accepted").0;
        let machine = Machine::joined(&self.channel, group, commit, options());
        let mut agent = Agent::new(identity, machine);
        agent.settle(true);
        self.agents.push(agent);
        self.rest().await;
    }
}

fn relay(log: &Arc<dyn Store>, store: &Arc<MemoryStore>) -> Relay {
    Relay::new(log.clone()).with_directory(store.clone())
}

fn name(number: u32) -> ChannelName {
    ChannelName::from_strings(["sim", "agents", &format!("agent{number}")])
}

/// Lets the relay's tasks do what they can.
async fn settle_tasks() {
    for _ in 0..6 {
        tokio::task::yield_now().await;
    }
}
