//! The server killed under load, again and again.

#[path = "../../../skytale-relay/tests/wire/mod.rs"]
mod wire;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures::TryStreamExt;
use skytale_core::{ChannelName, Dialect, SequenceNumber};
use skytale_store::{Record, SqlStore, Store};
use wire::{Agent, Say, room};

const KILLS: u64 = 20;

/// Starts the server and waits until it listens.
fn start(directory: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_skytale-server"))
        .args([
            "--allow-anonymous",
            "--grpc-listen-addr",
            "127.0.0.1:0",
            "--quic-listen-addr",
            "127.0.0.1:0",
            "--health-listen-addr",
            "127.0.0.1:0",
        ])
        .arg("--data-dir")
        .arg(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("grpc listening on")).expect("it listens");
    let address = line.split_whitespace().nth(3).expect("an address").parse().expect("an address");
    (child, address)
}

async fn agent(address: SocketAddr, dialect: Dialect, who: &str, id: u64) -> Agent {
    let mut agent = Agent::open(address, dialect, who, id, None).await.expect("admitted");
    agent.negotiate().await;
    agent
}

async fn archived(directory: &Path) -> Vec<Record> {
    let store = SqlStore::open_sqlite_read_only(directory.join("skytale.db")).await.expect("open");
    let channel = ChannelName::from_strings(["org", "ns", "room"]);
    store.read(&channel, SequenceNumber::START).try_collect().await.expect("read")
}

/// Publishes until the server is gone; returns what the member heard.
async fn round(mut server: Child, address: SocketAddr, dialect: Dialect, number: u64) -> Vec<String> {
    let sender = agent(address, dialect, "sender", 1).await;
    let mut member = agent(address, dialect, "member", 2).await;
    member.subscribe(&room()).await;
    let publishing = tokio::spawn(async move {
        for message in 0_u64.. {
            let frame = sender.publish_frame(&Say::msg(room(), &format!("{number}-{message}")));
            if sender.sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    let mut heard = Vec::new();
    while let Ok(frame) = member.frame().await {
        heard.push(member.read(frame).text().to_owned());
        if heard.len() as u64 == 50 + 37 * number {
            server.kill().expect("kill -9");
        }
    }
    server.wait().expect("it is gone");
    publishing.await.expect("the publisher ends");
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_survives_twenty_kills_and_agents_carry_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut heard = BTreeSet::new();
    for number in 0..KILLS {
        let dialect = if number % 2 == 0 { Dialect::Slim1 } else { Dialect::Slim3 };
        let (server, address) = start(directory.path());
        heard.extend(round(server, address, dialect, number).await);
        let records = archived(directory.path()).await;
        assert!(
            records.iter().map(|record| record.sequence.0).eq(1..=records.len() as u64),
            "no gap, no duplicate"
        );
        let kept: BTreeSet<String> = records.iter().map(text).collect();
        let lost: Vec<_> = heard.difference(&kept).collect();
        assert!(lost.is_empty(), "after kill {number} these were delivered and are gone: {lost:?}");
    }
}

fn text(record: &Record) -> String {
    let limits = skytale_core::FrameLimits::default();
    let envelope =
        skytale_core::Envelope::parse(record.body.clone(), record.dialect, &limits).expect("parses");
    String::from_utf8(envelope.app_payload().expect("a message").blob.to_vec()).expect("UTF-8")
}
