//! One connection to the node, with its link negotiated.

mod codec;
mod outgoing;

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use skytale_core::generated::slim3::{Message, Name, message::MessageType};
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use crate::args::Node;
use crate::message;
use crate::message::link::{LinkKey, Offer};
use codec::Frames;
use outgoing::Outgoing;
pub use outgoing::Put;

/// How long the node may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

const OPEN_CHANNEL: PathAndQuery =
    PathAndQuery::from_static("/dataplane.proto.v1.DataPlaneService/OpenChannel");

/// The longest frame, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

pub struct Connection {
    pub key: LinkKey,
    pub outgoing: mpsc::UnboundedSender<Put>,
    pub incoming: Streaming<Bytes>,
}

impl Connection {
    pub async fn open(node: &Node) -> anyhow::Result<Self> {
        let endpoint = Channel::from_shared(format!("http://{}", node.endpoint))?;
        let endpoint = endpoint.connect_timeout(PATIENCE).tcp_nodelay(true);
        let channel = endpoint.connect().await.with_context(|| format!("connecting to {}", node.endpoint))?;
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(LONGEST);
        grpc.ready().await?;
        let (outgoing, frames) = Outgoing::new();
        let mut request = Request::new(frames);
        if let Some(token) = &node.token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        }
        let offer = Offer::new();
        let _ = outgoing.send(Put::Frame(offer.frame()));
        let mut incoming = grpc.streaming(request, OPEN_CHANNEL, Frames).await?.into_inner();
        let key = offer.accept(next(&mut incoming).await?)?;
        Ok(Self { key, outgoing, incoming })
    }

    /// Subscribes, and waits until the node has confirmed it.
    pub async fn subscribe(&mut self, source: &Name, destination: &Name) -> anyhow::Result<()> {
        let id = rand::random::<u64>();
        let _ = self.outgoing.send(Put::Frame(message::subscription(&self.key, source, destination, id)));
        loop {
            let message = Message::decode(next(&mut self.incoming).await?)?;
            match message.message_type {
                Some(MessageType::SubscriptionAck(ack)) if ack.subscription_id == id && ack.success => {
                    return Ok(());
                }
                Some(MessageType::SubscriptionAck(ack)) if ack.subscription_id == id => {
                    bail!("the node refused a subscription: {}", ack.error)
                }
                _ => {}
            }
        }
    }
}

async fn next(incoming: &mut Streaming<Bytes>) -> anyhow::Result<Bytes> {
    let frame =
        tokio::time::timeout(PATIENCE, incoming.message()).await.context("the node does not answer")??;
    frame.context("the node ended the stream")
}
