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

/// A publisher, and the subscribers of its channel.
pub struct Sessions {
    publisher: Peer,
    subscribers: Vec<Peer>,
    /// A message without its extension.
    message: Bytes,
    sent: u32,
}

impl Sessions {
    pub async fn open(subscribers: usize) -> anyhow::Result<Self> {
        let (relay, room) = (Relay::new(Arc::new(MemoryStore::new())), name("room"));
        let mut publisher = Peer::connect(&relay).await?;
        publisher.ask(native::first_commit(&room), native::FIRST).await?;
        let mut all = Vec::new();
        for _ in 0..subscribers {
            let mut subscriber = Peer::connect(&relay).await?;
            subscriber.ask(native::subscription(&room, native::FIRST), native::FIRST).await?;
            all.push(subscriber);
        }
        Ok(Self { publisher, subscribers: all, message: native::publish(&room, PAYLOAD), sent: 0 })
    }

    /// Submits messages, each of which is delivered to every subscriber.
    pub async fn run(&mut self, messages: u32) -> anyhow::Result<()> {
        let end = self.sent + messages;
        while self.sent < end {
            let next = (self.sent + WINDOW).min(end);
            for number in self.sent..next {
                let id = u128::from(number).to_be_bytes();
                self.publisher.send(native::with_submission(&self.message, u64::from(number) + 1, id));
            }
            self.publisher.take(next - self.sent, u64::from(next)).await?;
            for subscriber in &mut self.subscribers {
                subscriber.take(next - self.sent, 0).await?;
            }
            self.sent = next;
        }
        Ok(())
    }
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
