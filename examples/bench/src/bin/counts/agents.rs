//! Agents of a relay inside the process, with their state in memory.

use anyhow::Context;
use futures::future::try_join_all;
use skytale_client::LocalRelay;

/// The channel of all agents.
const ROOM: &str = "bench/counts/room";

/// How many messages are on their way at once.
const WINDOW: u32 = 64;

/// The size of a message, in bytes.
const BODY: usize = 256;

/// Sends messages to a group of one or two.
pub async fn run(messages: u32, members: usize) -> anyhow::Result<()> {
    let relay = LocalRelay::start();
    let sender = relay.agent("bench/counts/sender").with_key_packages(1).start().await?;
    let sending = sender.create_channel(ROOM).await?;
    let receiver = relay.agent("bench/counts/receiver").with_key_packages(1).start().await?;
    let mut hearing = None;
    if members > 1 {
        receiver.left_key_packages().await?;
        sending.add(&receiver.name().to_string()).await?;
        hearing = Some(receiver.join_channel(ROOM).await?.messages());
    }
    let mut sent = 0;
    while sent < messages {
        let next = (sent + WINDOW).min(messages);
        try_join_all((sent..next).map(|_| sending.send(vec![7; BODY]))).await?;
        if let Some(hearing) = &mut hearing {
            for _ in sent..next {
                hearing.next_message().await.context("the channel was closed")??;
            }
        }
        sent = next;
    }
    Ok(())
}
