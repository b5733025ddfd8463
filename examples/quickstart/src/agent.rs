//! One agent: it says what it has to say, and reads what the others say.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use skytale_client::{Channel, Client, Event, StateStore};

/// How many messages an agent has on their way to the relay at once.
const WINDOW: usize = 64;

/// What an agent needs to start.
#[derive(Clone)]
pub struct Setup {
    pub name: String,
    pub relay: String,
    pub certificate: String,
    pub state: PathBuf,
}

impl Setup {
    pub async fn start(&self) -> Result<Client> {
        let builder = Client::builder(&self.name, &self.relay)
            .with_trusted_certificates(self.certificate.as_bytes())
            .with_key_packages(5)
            .with_state(StateStore::directory(&self.state).encrypted_with([7; 32]));
        builder.start().await.with_context(|| format!("{} does not start", self.name))
    }
}

/// Waits until the channel has so many members: who joins later cannot read what was said before.
pub async fn gathered(channel: &Channel, members: usize) {
    while channel.members().len() < members {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Says what has not been said yet of `count` messages.
pub async fn say(channel: &Channel, name: &str, count: u64) -> Result<()> {
    let first = channel.sent_count() + 1;
    let sends = (first..=count).map(|number| {
        let channel = channel.clone();
        let text = format!("{name} says its secret number {number}");
        async move { channel.send(text).await }
    });
    stream::iter(sends).buffered(WINDOW).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

/// Reads until it has read `count` messages of others, and returns their numbers; `note` is told of each first.
pub async fn read(
    channel: &Channel,
    count: usize,
    mut known: BTreeSet<u64>,
    mut note: impl FnMut(u64) -> Result<()>,
) -> Result<BTreeSet<u64>> {
    let mut events = channel.events();
    while known.len() < count {
        match events.next().await.context("the channel was closed")?? {
            Event::Message(message) => {
                note(message.sequence)?;
                known.insert(message.sequence);
            }
            Event::Undecryptable { sequence, reason } => bail!("{sequence} cannot be read: {reason}"),
            Event::Gap { from, to } => bail!("{from} to {to} are missing"),
            Event::HistoryDiffers { sequence, .. } => bail!("{sequence} tells of another history"),
            Event::Forked { sequence, .. } => bail!("the group was lost at {sequence}"),
            _ => {}
        }
    }
    Ok(known)
}

/// Waits until the agent is removed, and returns how many messages it could read until then.
pub async fn evicted(channel: &Channel) -> Result<u64> {
    let mut events = channel.events();
    let mut read = 0;
    loop {
        match events.next().await.context("the channel was closed")?? {
            Event::Evicted { .. } => return Ok(read),
            Event::Message(_) => read += 1,
            _ => {}
        }
    }
}
