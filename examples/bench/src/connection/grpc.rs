//! gRPC, with the link negotiated as SLIM's agents do.

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use http::uri::PathAndQuery;
use skytale_testing::Raw;
use tonic::Request;
use tonic::transport::Channel;

use super::outgoing::{Outgoing, Put};
use super::{Connection, LONGEST, PATIENCE};
use crate::args::Node;
use crate::message::Dialect;
use crate::message::link::Offer;

const OPEN_CHANNEL: PathAndQuery =
    PathAndQuery::from_static("/dataplane.proto.v1.DataPlaneService/OpenChannel");

pub async fn open(node: &Node) -> anyhow::Result<Connection> {
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
    let mut incoming = grpc.streaming(request, OPEN_CHANNEL, Raw).await?.into_inner();
    let answer =
        tokio::time::timeout(PATIENCE, incoming.message()).await.context("the node does not answer")?;
    let key = offer.accept(answer?.context("the node ended the stream")?)?;
    Ok(Connection { dialect: Dialect::Slim(key), outgoing, incoming: incoming.map_err(Into::into).boxed() })
}
