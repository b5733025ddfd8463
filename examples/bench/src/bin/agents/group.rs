//! The agents and their channel.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use skytale_client::{Channel, Client, StateStore};

use crate::Place;

/// How many agents join at the same time.
const JOINING: usize = 16;

/// Returns the name of the channel of all agents.
pub fn room(place: &Place) -> String {
    format!("bench/run-{}/room", place.run)
}

/// Starts an agent, with the state that it had before.
pub async fn start(place: &Place, number: usize) -> anyhow::Result<Client> {
    let mut builder = Client::builder(format!("bench/run-{}/agent-{number}", place.run), &place.relay);
    if let Some(file) = &place.certificate {
        let pem = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        builder = builder.with_trusted_certificates(&pem);
    }
    let state = StateStore::directory(place.state.join(format!("agent-{number}")));
    Ok(builder.with_state(state).with_key_packages(1).start().await?)
}

/// Starts agents, the first of which creates a channel and adds the others; returns when each knows all members.
pub async fn gather(place: &Place, members: usize) -> anyhow::Result<Vec<(Client, Channel)>> {
    let first = start(place, 0).await?;
    let room = first.create_channel(&self::room(place)).await?;
    let joined = stream::iter(1..members).map(|number| join(place, &room, number));
    let others: Vec<_> = joined.buffered(JOINING).try_collect().await?;
    let group: Vec<_> = [(first, room.clone())].into_iter().chain(others).collect();
    for (_, channel) in &group {
        while channel.members().len() < members {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(group)
}

async fn join(place: &Place, room: &Channel, number: usize) -> anyhow::Result<(Client, Channel)> {
    let client = start(place, number).await?;
    client.wait_until_addable().await?;
    room.add(&client.name().to_string()).await?;
    let channel = client.join_channel(&self::room(place)).await?;
    Ok((client, channel))
}
