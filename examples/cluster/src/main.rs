//! Agents that talk in one channel at several relays which act as one, whatever happens to these meanwhile, and a check
//! that every one of them was given everything once, in the same order.
//!
//! It writes a line of JSON a second, and a verdict at the end; its status is 0 only if nothing was lost.

mod agent;
mod history;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::Agent;
use anyhow::{Result, ensure};
use clap::Parser;
use history::History;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

/// Lets agents talk at several relays, and checks what they were given.
#[derive(Clone, Debug, Parser)]
pub struct Load {
    /// The addresses of the relays: quic://, grpc:// or grpcs://
    #[arg(long = "relay", required = true)]
    pub relays: Vec<String>,
    /// The PEM file of the certificates to trust
    #[arg(long)]
    pub trust: Option<PathBuf>,
    /// How many agents there are
    #[arg(long, default_value_t = 20)]
    pub agents: usize,
    /// How long they talk
    #[arg(long, default_value_t = 30.0)]
    pub seconds: f64,
    /// How many messages each one says in a second
    #[arg(long, default_value_t = 5.0)]
    pub rate: f64,
    /// After how many seconds, on average, somebody changes the group's keys
    #[arg(long, default_value_t = 2.0)]
    pub commit_every: f64,
    /// How many seconds all may take to have everything, once nobody talks any more
    #[arg(long, default_value_t = 10.0)]
    pub settle: f64,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let load = Load::parse();
    let directory = tempfile::tempdir()?;
    let history = Arc::new(History::new(load.agents));
    let agents = gather(&load, directory.path(), &history).await?;
    println!("{}", json!({"agents": agents.len(), "members": agents[0].channel.members().len()}));

    let until = Instant::now() + Duration::from_secs_f64(load.seconds);
    let progress = tokio::spawn(report(history.clone(), until));
    let talking = futures::future::join_all(agents.iter().map(|agent| agent.talk(&load, until)));
    let (_, commits) = tokio::join!(talking, change_keys(&agents, &load, until));
    let since = Instant::now();
    progress.await?;

    let settled = settle(&agents, &load).await;
    let took = since.elapsed();
    let faults = history.faults();
    println!(
        "{}",
        json!({
            "acked": history.acked(), "heard": history.heard(), "failed_sends": history.failed(),
            "commits": commits.made, "failed_commits": commits.failed,
            "longest_wait_ms": history.longest_wait().as_millis() as u64, "settled_ms": took.as_millis() as u64,
            "epoch": agents[0].channel.epoch(), "faults": faults,
        })
    );
    settled?;
    ensure!(faults.is_empty(), "{} faults: {}", faults.len(), faults[0]);
    ensure!(history.failed() == 0, "{} sends failed", history.failed());
    ensure!(history.everybody_said(load.least()), "an agent said fewer than {} messages", load.least());
    ensure!(commits.failed == 0, "{} changes of keys failed", commits.failed);
    ensure!(commits.made > 0, "nobody changed keys");
    Ok(())
}

/// Starts the agents, and brings them into one channel.
async fn gather(load: &Load, directory: &std::path::Path, history: &Arc<History>) -> Result<Vec<Agent>> {
    let mut clients = Vec::new();
    for number in 0..load.agents {
        clients.push(agent::start(load, number, directory).await?);
    }
    let mut clients = clients.into_iter().enumerate();
    let (_, first) = clients.next().expect("an agent at least");
    let founded = first.create_channel(agent::ROOM).await?;
    let mut agents = Vec::new();
    for (number, client) in clients {
        client.wait_until_addable().await?;
        founded.add(&client.name().to_string()).await?;
        let channel = client.join_channel(agent::ROOM).await?;
        agents.push(Agent::new(number, client, channel, history.clone()));
    }
    agents.insert(0, Agent::new(0, first, founded, history.clone()));
    let last = agents[0].channel.last_applied();
    for agent in &agents {
        agent.channel.wait_for(last).await?;
    }
    Ok(agents)
}

impl Load {
    /// How much each agent has to have said: a hundredth of what it means to, since it waits while something fails.
    fn least(&self) -> usize {
        (self.seconds * self.rate / 100.0).ceil() as usize
    }
}

/// How often keys were changed, and could not be.
#[derive(Default)]
struct Commits {
    made: usize,
    failed: usize,
}

/// Lets one or another agent change the group's keys.
async fn change_keys(agents: &[Agent], load: &Load, until: Instant) -> Commits {
    use rand::RngExt;
    let mut chance = StdRng::seed_from_u64(load.seed);
    let mut commits = Commits::default();
    loop {
        let pause = Duration::from_secs_f64(load.commit_every * chance.random_range(0.0..2.0));
        if Instant::now() + pause > until {
            return commits;
        }
        tokio::time::sleep(pause).await;
        match agents[chance.random_range(0..agents.len())].channel.rotate().await {
            Ok(_) => commits.made += 1,
            Err(error) => {
                eprintln!("no change of keys: {error}");
                commits.failed += 1;
            }
        }
    }
}

/// Waits until everybody has everything, and nobody has another group.
async fn settle(agents: &[Agent], load: &Load) -> Result<()> {
    let last = agents.iter().map(|agent| agent.channel.last_applied()).max().unwrap_or_default();
    let all = futures::future::join_all(agents.iter().map(|agent| agent.has_read(last)));
    let settled = tokio::time::timeout(Duration::from_secs_f64(load.settle), all).await;
    ensure!(settled.is_ok(), "not everybody has everything {} s after the end", load.settle);
    let authenticator = agents[0].channel.epoch_authenticator();
    let forked = agents.iter().any(|agent| agent.channel.epoch_authenticator() != authenticator);
    ensure!(!forked, "the group has forked");
    Ok(())
}

async fn report(history: Arc<History>, until: Instant) {
    let mut second = 0;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_secs(1)).await;
        second += 1;
        let (acked, heard) = (history.acked(), history.heard());
        let waiting = history.longest_open().as_millis() as u64;
        println!("{}", json!({"second": second, "acked": acked, "heard": heard, "waiting_ms": waiting}));
    }
}
