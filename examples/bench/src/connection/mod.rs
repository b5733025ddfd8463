//! One connection to the node, ready to send.

mod grpc;
mod outgoing;
mod quic;

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use skytale_bench::native;
use skytale_core::extension::Content;
use skytale_core::generated::slim3::Name;
use tokio::sync::mpsc;

use crate::args::{Node, Transport};
use crate::message::{Dialect, slim};
pub use outgoing::Put;

/// How long the node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest frame, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

pub struct Connection {
    pub dialect: Dialect,
    pub outgoing: mpsc::UnboundedSender<Put>,
    pub incoming: BoxStream<'static, anyhow::Result<Bytes>>,
}

impl Connection {
    /// Connects: on gRPC as a SLIM agent whose link is negotiated, on QUIC as a native agent.
    pub async fn open(node: &Node) -> anyhow::Result<Self> {
        match node.transport {
            Transport::Grpc => grpc::open(node).await,
            Transport::Quic => quic::open(node).await,
        }
    }

    /// Subscribes, and waits until the node has confirmed it.
    pub async fn subscribe(&mut self, source: &Name, destination: &Name) -> anyhow::Result<()> {
        let id = rand::random::<u64>();
        let Dialect::Slim(key) = &self.dialect else {
            return self.ask(native::subscription(destination, id), id).await;
        };
        let _ = self.outgoing.send(Put::Frame(slim::subscription(key, source, destination, id)));
        loop {
            if let Some(ack) = slim::acknowledgement(&self.next().await?, id) {
                return if ack.success { Ok(()) } else { bail!("a subscription was refused: {}", ack.error) };
            }
        }
    }

    /// Readies a destination for messages: native ones need a group, which the first commit begins.
    pub async fn found(&mut self, destination: &Name) -> anyhow::Result<()> {
        match self.dialect {
            Dialect::Slim(_) => Ok(()),
            Dialect::Native => self.ask(native::first_commit(destination), native::FIRST).await,
        }
    }

    /// Sends a native request, and waits until it is accepted.
    async fn ask(&mut self, frame: Bytes, request: u64) -> anyhow::Result<()> {
        let _ = self.outgoing.send(Put::Frame(frame));
        loop {
            match native::answer(&self.next().await?, request) {
                Some(Content::Accepted(_)) => return Ok(()),
                Some(other) => bail!("the node refused a request: {other:?}"),
                None => {}
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<Bytes> {
        let frame = tokio::time::timeout(PATIENCE, self.incoming.next());
        frame.await.context("the node does not answer")?.context("the node ended the stream")?
    }
}
