//! The server killed under load, again and again, while the same agents go on: SLIM ones, and native ones, which are told
//! what was kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use skytale_client::{ArchiveDurability, Channel, Client};
use skytale_core::{ChannelName, Dialect, SequenceNumber};
use skytale_store::{Record, SqlStore, Store};
use skytale_testing::KeptPort;
use skytale_testing::slim::{Agent, Say, room};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::process::Process;

const KILLS: u64 = 20;
const NATIVE_ROOM: &str = "acme/research/room";

/// How long anything may take.
const SOON: Duration = Duration::from_secs(60);

/// A server that is killed and started again where it was.
struct Server {
    port: KeptPort,
    directory: TempDir,
    process: Process,
}

impl Server {
    fn start() -> Self {
        let (port, directory) = (KeptPort::any(), tempfile::tempdir().expect("a directory"));
        let process = run(&port, &directory);
        Self { port, directory, process }
    }

    fn kill_and_start(&mut self) {
        self.process.kill();
        self.process = run(&self.port, &self.directory);
    }

    async fn archived(&self, channel: &ChannelName) -> Vec<Record> {
        let path = self.directory.path().join("skytale.db");
        let store = SqlStore::open_sqlite_read_only(path).await.expect("open");
        let records: Vec<Record> =
            store.read(channel, SequenceNumber::START).try_collect().await.expect("read");
        assert!(
            records.iter().map(|record| record.sequence.0).eq(1..=records.len() as u64),
            "no gap, no duplicate"
        );
        records
    }
}

fn run(port: &KeptPort, directory: &TempDir) -> Process {
    let data = directory.path().to_str().expect("UTF-8");
    Process::start_at(port.address(), directory.path(), &["--allow-anonymous", "--data-dir", data])
}

async fn slim(address: SocketAddr, dialect: Dialect, who: &str, id: u64) -> Agent {
    let mut agent = Agent::open(address, dialect, who, id, None).await.expect("admitted");
    agent.negotiate().await;
    agent
}

/// Two SLIM agents, which come back under their names when the server does.
#[derive(Default)]
struct SlimAgents {
    said: u64,
    heard: BTreeSet<String>,
}

impl SlimAgents {
    /// Publishes and listens, kills the server once so many were heard, and goes on until the streams end.
    async fn talk(&mut self, server: &mut Server, dialect: Dialect, until: usize) {
        let sender = slim(server.port.address(), dialect, "sender", 1).await;
        let mut member = slim(server.port.address(), dialect, "member", 2).await;
        member.subscribe(&room()).await;
        let first = self.said;
        let publishing = tokio::spawn(async move {
            for message in first.. {
                let frame = sender.publish_frame(&Say::msg(room(), &message.to_string()));
                if sender.sender.send(frame).await.is_err() {
                    return message;
                }
            }
            unreachable!("it goes on until the server is gone")
        });
        let mut heard = 0;
        while let Ok(frame) = member.frame().await {
            self.heard.insert(member.read(frame).text().to_owned());
            heard += 1;
            if heard == until {
                server.kill_and_start();
            }
        }
        assert!(heard >= until, "{heard} of {until} heard before the kill");
        self.said = publishing.await.expect("the publisher ends");
    }
}

/// An agent that speaks, one that listens, and what they were told. Neither knows of the kills.
struct NativeAgents {
    speaking: JoinHandle<BTreeMap<u64, u64>>,
    listener: Channel,
    acknowledged: watch::Receiver<usize>,
    stop: Arc<AtomicBool>,
}

impl NativeAgents {
    async fn start(address: SocketAddr) -> Self {
        let agent = |name: &str| Client::builder(name, format!("grpc://{address}")).start();
        let (alice, bob) = (agent("acme/agents/alice").await, agent("acme/agents/bob").await);
        let (alice, bob) = (alice.expect("starts"), bob.expect("starts"));
        let speaker = alice.create_channel(NATIVE_ROOM).await.expect("created");
        assert_eq!(speaker.durability(), Some(ArchiveDurability::Disk), "what may be asked of it");
        bob.wait_until_addable().await.expect("left");
        speaker.add("acme/agents/bob").await.expect("added");
        let listener = bob.join_channel(NATIVE_ROOM).await.expect("joined");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (told, acknowledged) = watch::channel(0);
        let speaking = tokio::spawn(async move {
            let mut sequences = BTreeMap::new();
            for message in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let sequence = speaker.send(u64::to_string(&message)).await.expect("sent in the end");
                sequences.insert(message, sequence);
                told.send_replace(sequences.len());
            }
            sequences
        });
        Self { speaking, listener, acknowledged, stop }
    }

    /// Waits until a message was sent and acknowledged from now on: of two, the first may have been on its way.
    async fn carry_on(&mut self) {
        let before = *self.acknowledged.borrow();
        let carried_on = self.acknowledged.wait_for(|count| *count >= before + 2);
        tokio::time::timeout(SOON, carried_on).await.expect("in time").expect("the speaker goes on");
    }

    /// Hears every message once, in order, under the number that its speaker was told.
    async fn compare(self) -> BTreeMap<u64, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let speaking = tokio::time::timeout(SOON, self.speaking).await;
        let acknowledged = speaking.expect("the last one is acknowledged in time").expect("the speaker ends");
        let mut messages = self.listener.events();
        for (message, sequence) in &acknowledged {
            let next = tokio::time::timeout(SOON, messages.next_message()).await.expect("in time");
            let heard = next.expect("open").expect("readable");
            assert_eq!((heard.text().as_ref(), heard.sequence), (message.to_string().as_str(), *sequence));
        }
        acknowledged
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_or_acknowledged_survives_twenty_kills_and_agents_carry_on() {
    let mut server = Server::start();
    let mut native = NativeAgents::start(server.port.address()).await;
    let mut slim = SlimAgents::default();
    let slim_room = ChannelName::from_strings(["org", "ns", "room"]);
    for number in 0..KILLS {
        native.carry_on().await;
        let dialect = if number % 2 == 0 { Dialect::Slim1 } else { Dialect::Slim3 };
        let talk = slim.talk(&mut server, dialect, 50 + 37 * number as usize);
        tokio::time::timeout(SOON, talk).await.expect("in time");
        let kept: BTreeSet<String> = server.archived(&slim_room).await.iter().map(text).collect();
        let lost: Vec<_> = slim.heard.difference(&kept).collect();
        assert!(lost.is_empty(), "after kill {number} these were delivered and are gone: {lost:?}");
    }
    native.carry_on().await;
    let acknowledged = native.compare().await;
    let kept = server.archived(&ChannelName::parse(NATIVE_ROOM).expect("a name")).await;
    assert!(acknowledged.values().all(|sequence| *sequence <= kept.len() as u64));
    println!("{} delivered to SLIM agents, {} acknowledged", slim.heard.len(), acknowledged.len());
}

fn text(record: &Record) -> String {
    let limits = skytale_core::FrameLimits::default();
    let envelope =
        skytale_core::Envelope::parse(record.body.clone(), record.dialect, &limits).expect("parses");
    String::from_utf8(envelope.app_payload().expect("a message").blob.to_vec()).expect("UTF-8")
}
