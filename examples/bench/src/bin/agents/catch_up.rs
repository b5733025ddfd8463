//! An agent comes back after it has missed messages.

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use futures::{StreamExt, TryStreamExt, stream};

use crate::Place;
use crate::group::{gather, room, start};
use crate::report::{Reading, Report};

/// How many messages are on their way while they are missed.
const WINDOW: usize = 256;

/// How long the next message may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Parser)]
pub struct CatchUp {
    /// How many messages are missed.
    #[arg(long, default_value_t = 10_000)]
    messages: u32,
    /// The size of a message, in bytes.
    #[arg(long, default_value_t = 200)]
    bytes: u32,
}

impl CatchUp {
    pub async fn measure(&self, place: &Place) -> anyhow::Result<Report> {
        let mut group = gather(place, 2).await?;
        let (away, _) = group.pop().context("a group of two")?;
        let (speaker, channel) = group.pop().context("a group of two")?;
        away.close().await;
        let sends = (0..self.messages).map(|_| channel.send(vec![7; self.bytes as usize]));
        stream::iter(sends).buffered(WINDOW).try_collect::<Vec<_>>().await?;
        speaker.close().await;

        let before = Reading::take(place.pid, 0);
        let back = start(place, 1).await?;
        let mut messages = back.open_channel(&room(place)).await?.events();
        for _ in 0..self.messages {
            let next = tokio::time::timeout(PATIENCE, messages.next_message());
            next.await.context("messages are missing")?.context("the channel was closed")??;
        }
        let report = Reading::take(place.pid, self.messages.into()).since(&before);
        back.close().await;
        Ok(report)
    }
}
