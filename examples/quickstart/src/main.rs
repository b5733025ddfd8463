//! Three agents of different owners talk through a relay that never sees a plaintext.
//!
//! Everything is real: sockets, SQLite files, a process that is killed. `cargo run -p quickstart`

mod agent;
mod process;
mod relay;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::Setup;
use anyhow::{Context, Result, ensure};
use relay::Running;
use skytale_client::{Channel, Client, Error};

const ROOM: &str = "acme/research/room";
const ALICE: &str = "acme/agents/alice";
const BOB: &str = "globex/agents/bob";
const CAROL: &str = "initech/agents/carol";

/// How many messages each agent says.
const MESSAGES: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(process::FLAG) {
        return process::run(arguments.collect()).await;
    }
    let began = Instant::now();
    let directory = tempfile::tempdir()?;
    story(directory.path(), began).await?;
    println!("\nDone in {:.1} s. Read it in examples/quickstart/src.", began.elapsed().as_secs_f64());
    Ok(())
}

async fn story(directory: &Path, began: Instant) -> Result<()> {
    let tell = |text: String| println!("{:5.2} s  {text}", began.elapsed().as_secs_f64());
    let relay = Running::start(directory).await?;
    tell(format!("A relay runs at {} and {}, its archive in SQLite.", relay.quic, relay.grpc));
    let setup = |name: &str, address: &str| Setup {
        name: name.to_owned(),
        relay: address.to_owned(),
        certificate: relay.certificate.clone(),
        state: directory.join(name.replace('/', "-")),
    };

    let alice = setup(ALICE, &relay.quic).start().await?;
    let room = alice.create_channel(ROOM).await?;
    tell(format!("{ALICE} (QUIC) creates {ROOM}."));

    let bob = setup(BOB, &relay.grpc);
    let mut process = process::spawn(&bob, ROOM, MESSAGES)?;
    add(&room, BOB).await?;
    tell(format!("{BOB} (gRPC, in a process of its own) is added and joins."));

    let carol = setup(CAROL, &relay.quic);
    visit(&carol, &room).await?;
    tell(format!("{CAROL} was there once, and is away: it is added all the same."));
    let carol = carol.start().await?;
    let carols = carol.join_channel(ROOM).await?;
    tell(format!("{CAROL} (QUIC) comes back and joins. Everybody says {MESSAGES} things."));

    let others = 2 * MESSAGES as usize;
    let kill = async {
        while process::read_log(&bob)?.len() < others / 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        process.kill().await?;
        let read = process::read_log(&bob)?.len();
        tell(format!("{BOB} is killed (SIGKILL) after it has read {read}. It starts again."));
        process::spawn(&bob, ROOM, MESSAGES)
    };
    let (alice_said, carol_said, alice_read, carol_read, restarted) = tokio::join!(
        agent::say(&room, ALICE, MESSAGES),
        agent::say(&carols, CAROL, MESSAGES),
        agent::read(&room, others, BTreeSet::new(), |_| Ok(())),
        agent::read(&carols, others, BTreeSet::new(), |_| Ok(())),
        kill
    );
    alice_said.and(carol_said)?;
    let (alice_read, carol_read, mut process) = (alice_read?, carol_read?, restarted?);
    let bob_read = until_read(&bob, others).await?;
    tell("All have read everything:".to_owned());
    for (name, read) in [(ALICE, &alice_read), (BOB, &bob_read), (CAROL, &carol_read)] {
        let (first, last) = (read.first().context("read")?, read.last().context("read")?);
        println!("           {name:22} {} messages of the others, numbers {first} to {last}", read.len());
    }

    part(&room, &carols, &mut process, &bob, began).await?;
    show_archive(&relay, directory).await?;
    alice.close().await;
    carol.close().await;
    Ok(())
}

/// Removes Bob, who can read nothing of what comes after.
async fn part(
    room: &Channel,
    carols: &Channel,
    process: &mut tokio::process::Child,
    bob: &Setup,
    began: Instant,
) -> Result<()> {
    let removed = room.remove(BOB).await?;
    for _ in 0..10 {
        room.send("this is not for bob").await?;
    }
    ensure!(process.wait().await?.success(), "{BOB} failed");
    let after = fs::read_to_string(bob.state.with_extension("evicted"))?;
    let text =
        format!("{BOB} is removed by commit {removed}, and of the 10 messages after it has read {after}.");
    println!("{:5.2} s  {text}", began.elapsed().as_secs_f64());
    carols.wait_for(room.last_applied()).await?;
    ensure!(room.epoch_authenticator() == carols.epoch_authenticator(), "the group has forked");
    Ok(())
}

/// Adds an agent as soon as it has left a key package.
async fn add(room: &Channel, agent: &str) -> Result<u64> {
    loop {
        match room.add(agent).await {
            Err(Error::NoKeyPackage { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            added => return Ok(added?),
        }
    }
}

/// An agent comes, leaves key packages, and goes; then it is added.
async fn visit(setup: &Setup, room: &Channel) -> Result<()> {
    let client: Client = setup.start().await?;
    client.wait_until_addable().await?;
    client.close().await;
    room.add(&setup.name).await?;
    Ok(())
}

async fn until_read(setup: &Setup, count: usize) -> Result<BTreeSet<u64>> {
    loop {
        let read = process::read_log(setup)?;
        if read.len() >= count {
            return Ok(read);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Shows what the relay has, and looks for what it must not have.
async fn show_archive(relay: &Running, directory: &Path) -> Result<()> {
    let archive = relay.archive(ROOM).await?;
    let sizes: Vec<String> = archive.sizes.iter().map(usize::to_string).collect();
    println!("\nWhat the relay saw of {ROOM}: {} records, {} bytes,", archive.records, archive.bytes);
    println!(
        "in envelopes of {} different sizes ({} ... {}).",
        sizes.len(),
        sizes[0],
        sizes[sizes.len() - 1]
    );
    let mut everything = archive.all;
    for file in ["relay.db", "relay.db-wal"] {
        everything.extend(fs::read(directory.join(file)).unwrap_or_default());
    }
    let everything = String::from_utf8_lossy(&everything);
    for secret in ["secret number", "not for bob", "agents/alice says"] {
        let found = everything.matches(secret).count();
        println!("{secret:?} in its archive and its files: {found} times");
        ensure!(found == 0, "the relay has seen a plaintext");
    }
    Ok(())
}
