//! `dataplane.proto.v1.DataPlaneService`.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::{Service, ServiceExt};

use super::codec::FrameCodec;
use super::gate::Peer;
use super::status;
use crate::admission::connect::{Connect, ConnectError, Transport};
use crate::admission::credentials::Credentials;
use crate::outbound::frame::Frame;
use crate::session::Session;

/// The gRPC service that gives every `OpenChannel` stream a session of the relay behind it.
#[derive(Clone, Debug)]
pub struct DataPlane<S> {
    service: S,
    frame_bytes: usize,
}

impl<S> DataPlane<S> {
    /// Makes the service; `frame_bytes` is the longest frame that is read.
    pub fn new(service: S, frame_bytes: usize) -> Self {
        Self { service, frame_bytes }
    }
}

impl<S> NamedService for DataPlane<S> {
    const NAME: &'static str = "dataplane.proto.v1.DataPlaneService";
}

const OPEN_CHANNEL: &str = "/dataplane.proto.v1.DataPlaneService/OpenChannel";

impl<S, B> Service<http::Request<B>> for DataPlane<S>
where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != OPEN_CHANNEL {
            return Box::pin(ready(Ok(
                Status::unimplemented("this service has one method, OpenChannel").into_http()
            )));
        }
        let open = OpenChannel(self.clone());
        let mut grpc = Grpc::new(FrameCodec).max_decoding_message_size(self.frame_bytes);
        Box::pin(async move { Ok(grpc.streaming(open, request).await) })
    }
}

/// The one method.
struct OpenChannel<S>(DataPlane<S>);

impl<S> StreamingService<Bytes> for OpenChannel<S>
where
    S: Service<Connect<Credentials>, Response = Session> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<ConnectError>,
{
    type Response = Frame;
    type ResponseStream = BoxStream<'static, Result<Frame, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let DataPlane { service, frame_bytes } = self.0.clone();
        Box::pin(async move {
            let connect = connect(&request)?;
            let peer = request.extensions().get::<Peer>().cloned();
            let session =
                service.oneshot(connect).await.map_err(|error| status::of_refusal(&error.into()))?;
            if let Some(peer) = peer {
                peer.authenticated();
            }
            let outbound = session.outbound().map_err(|close| status::of_close(&close));
            let inbound = request.into_inner().map_err(move |status| status::to_close(&status, frame_bytes));
            tokio::spawn(session.run(inbound));
            Ok(Response::new(outbound.boxed()))
        })
    }
}

fn connect(request: &Request<Streaming<Bytes>>) -> Result<Connect<Credentials>, Status> {
    let credentials = match request.metadata().get("authorization") {
        None => Credentials::none(),
        Some(value) => bearer(value.to_str().unwrap_or_default())
            .ok_or_else(|| Status::unauthenticated("the authorization must be `Bearer <token>`"))?,
    };
    let remote = request.extensions().get::<Peer>().map(Peer::address).or_else(|| request.remote_addr());
    Ok(Connect::new(credentials, Transport::Grpc, remote))
}

fn bearer(authorization: &str) -> Option<Credentials> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Credentials::bearer(token.trim()))
}
