//! An agent in a process of its own, which can be killed.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::agent::{self, Setup};

/// The argument by which this program is an agent alone.
pub const FLAG: &str = "--agent";

/// What a process has read, one number a line, as an application would keep it.
pub fn read_log(setup: &Setup) -> Result<BTreeSet<u64>> {
    let text = fs::read_to_string(log(setup)).unwrap_or_default();
    text.split_terminator('\n').map(|line| line.parse().context("a number")).collect()
}

/// Starts the process.
pub fn spawn(setup: &Setup, channel: &str, count: u64) -> Result<Child> {
    let certificate = setup.state.with_extension("pem");
    fs::write(&certificate, &setup.certificate)?;
    Command::new(std::env::current_exe()?)
        .args([FLAG, &setup.name, &setup.relay, channel, &count.to_string()])
        .args([&certificate, &setup.state])
        .kill_on_drop(true)
        .spawn()
        .context("the agent's process does not start")
}

/// What the process does: join or come back, say what is left to say, read what is left to read, be removed.
pub async fn run(arguments: Vec<String>) -> Result<()> {
    let [name, relay, channel, count, certificate, state]: [String; 6] =
        arguments.try_into().ok().context("six arguments")?;
    let count: u64 = count.parse()?;
    let certificate = fs::read_to_string(certificate)?;
    let setup = Setup { name, relay, certificate, state: PathBuf::from(state) };
    let client = setup.start().await?;
    let channel = client.join_channel(&channel).await?;
    agent::gathered(&channel, 3).await;
    let known = read_log(&setup)?;
    let mut log = OpenOptions::new().create(true).append(true).open(log(&setup))?;
    let note = |sequence| writeln!(log, "{sequence}").context("the log cannot be written");
    let (said, read) = tokio::join!(
        agent::say(&channel, &setup.name, count),
        agent::read(&channel, 2 * count as usize, known, note)
    );
    said?;
    read?;
    let after = agent::evicted(&channel).await?;
    fs::write(setup.state.with_extension("evicted"), after.to_string())?;
    client.close().await;
    Ok(())
}

fn log(setup: &Setup) -> PathBuf {
    setup.state.with_extension("read")
}
