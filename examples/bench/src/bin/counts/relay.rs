//! A relay on the memory store, with sessions inside the process.

use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::StreamExt;
use skytale_bench::native;
use skytale_core::extension::Content;
use skytale_core::{Permissions, Principal};
use skytale_relay::{Connect, Outbound, Relay, Transport};
use skytale_store::MemoryStore;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::ServiceExt;

use crate::codec::name;

/// How many messages are on their way at once.
const WINDOW: u32 = 64;

/// The size of a payload, in bytes.
const PAYLOAD: usize = 256;

/// Submits messages, each delivered to every subscriber.
pub async fn run(messages: u32, subscribers: usize) -> anyhow::Result<()> {
    let (relay, room) = (Relay::new(Arc::new(MemoryStore::new())), name("room"));
    let mut publisher = Peer::connect(&relay).await?;
    publisher.ask(native::first_commit(&room), native::FIRST).await?;
    let mut all = Vec::new();
    for _ in 0..subscribers {
        let mut subscriber = Peer::connect(&relay).await?;
        subscriber.ask(native::subscription(&room, native::FIRST), native::FIRST).await?;
        all.push(subscriber);
    }
    let message = native::publish(&room, PAYLOAD);
    let mut sent = 0;
    while sent < messages {
        let next = (sent + WINDOW).min(messages);
        for number in sent..next {
            let id = u128::from(number).to_be_bytes();
            publisher.send(native::with_submission(&message, u64::from(number) + 1, id));
        }
        publisher.take(next - sent, u64::from(next)).await?;
        for subscriber in &mut all {
            subscriber.take(next - sent, 0).await?;
        }
        sent = next;
    }
    Ok(())
}

/// An agent that speaks frames.
struct Peer {
    frames: mpsc::UnboundedSender<Bytes>,
    outbound: Outbound,
}

impl Peer {
    async fn connect(relay: &Relay) -> anyhow::Result<Self> {
        let principal = Principal::new("counts", Permissions::All);
        let session = relay.clone().oneshot(Connect::new(principal, Transport::Quic, None)).await?;
        let outbound = session.outbound();
        let (frames, waiting) = mpsc::unbounded_channel();
        tokio::spawn(session.run(UnboundedReceiverStream::new(waiting).map(Ok)));
        Ok(Self { frames, outbound })
    }

    fn send(&self, frame: Bytes) {
        let _ = self.frames.send(frame);
    }

    async fn next(&mut self) -> anyhow::Result<Bytes> {
        let frame = self.outbound.next().await.context("the session ended")?;
        frame.map(|frame| frame.to_bytes()).map_err(|close| anyhow::anyhow!("the session ended: {close}"))
    }

    async fn ask(&mut self, frame: Bytes, request: u64) -> anyhow::Result<()> {
        self.send(frame);
        match native::answer(&self.next().await?, request) {
            Some(Content::Accepted(_)) => Ok(()),
            other => bail!("not accepted: {other:?}"),
        }
    }

    /// Takes frames, the last of which answers a request, if it is not 0.
    async fn take(&mut self, frames: u32, last: u64) -> anyhow::Result<()> {
        let mut frame = Bytes::new();
        for _ in 0..frames {
            frame = self.next().await?;
        }
        match native::answer(&frame, last) {
            Some(Content::Accepted(_)) => Ok(()),
            None if last == 0 => Ok(()),
            other => bail!("not accepted: {other:?}"),
        }
    }
}
