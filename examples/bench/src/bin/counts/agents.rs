//! Agents of a relay inside the process, with their state in memory.

use anyhow::Context;
use futures::future::try_join_all;
use skytale_client::{Channel, Events, LocalRelay};

/// The channel of all agents.
const ROOM: &str = "bench/counts/room";

/// How many messages are on their way at once.
const WINDOW: u32 = 64;

/// The size of a message, in bytes.
const BODY: usize = 256;

/// One agent that sends, and perhaps another one that hears it.
pub struct Group {
    sending: Channel,
    hearing: Option<Events>,
}

impl Group {
    /// Gathers one or two agents.
    pub async fn gather(members: usize) -> anyhow::Result<Self> {
        let relay = LocalRelay::start();
        let sender = relay.agent("bench/counts/sender").with_key_packages(1).start().await?;
        let sending = sender.create_channel(ROOM).await?;
        let receiver = relay.agent("bench/counts/receiver").with_key_packages(1).start().await?;
        receiver.wait_until_addable().await?;
        let mut hearing = None;
        if members > 1 {
            sending.add(&receiver.name().to_string()).await?;
            hearing = Some(receiver.join_channel(ROOM).await?.events());
        }
        Ok(Self { sending, hearing })
    }

    /// Sends messages, and waits until each has been heard.
    pub async fn run(&mut self, messages: u32) -> anyhow::Result<()> {
        let mut left = messages;
        while left > 0 {
            let next = left.min(WINDOW);
            try_join_all((0..next).map(|_| self.sending.send(vec![7; BODY]))).await?;
            if let Some(hearing) = &mut self.hearing {
                for _ in 0..next {
                    hearing.next_message().await.context("the channel was closed")??;
                }
            }
            left -= next;
        }
        Ok(())
    }
}
