//! gRPC: an `OpenChannel` stream for each channel, so many on one connection to the relay.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures::{StreamExt, stream};
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::trust_roots::Roots;
use super::{Link, Liveness, OUTGOING, unreachable};
use crate::error::{Error, Result};

const METHOD: &str = "/dataplane.proto.v1.DataPlaneService/OpenChannel";

/// The longest frame that is read, in bytes.
const FRAME_BYTES: usize = 16 * 1024 * 1024;

pub(super) const PATIENT: Liveness =
    Liveness { keep_alive: Duration::from_secs(20), idle: Duration::from_secs(40) };

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may be on its way to the agent unread: of a stream, and of the connection, in bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// How many streams of one connection are used at most: fewer than relays usually allow.
const STREAMS: usize = 100;

#[derive(Debug)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    connections: Mutex<Vec<Connection>>,
    address: String,
}

/// A connection, which is made when it is first used, and again when it was lost.
#[derive(Debug)]
struct Connection {
    channel: Channel,
    /// Shared by its streams, which it counts.
    streams: Arc<()>,
    /// How many it takes, as far as is known.
    most: usize,
}

impl Connection {
    fn streams(&self) -> usize {
        Arc::strong_count(&self.streams) - 1
    }
}

impl Dialer {
    pub fn plain(host: &str, port: u16, liveness: Liveness) -> Result<Self> {
        Self::over(endpoint(&format!("http://{host}:{port}"), liveness)?, format!("grpc://{host}:{port}"))
    }

    pub fn encrypted(host: &str, port: u16, roots: &Roots, liveness: Liveness) -> Result<Self> {
        let tls = match roots {
            Roots::System => ClientTlsConfig::new().with_native_roots(),
            Roots::Only(certificates) => {
                let pem = certificates.iter().map(|der| Certificate::from_pem(to_pem(der)));
                ClientTlsConfig::new().ca_certificates(pem)
            }
        };
        let endpoint = endpoint(&format!("https://{host}:{port}"), liveness)?.tls_config(tls);
        let endpoint = endpoint.map_err(|error| Error::configuration(error.to_string()))?;
        Self::over(endpoint, format!("grpcs://{host}:{port}"))
    }

    fn over(endpoint: Endpoint, address: String) -> Result<Self> {
        Ok(Self { endpoint, connections: Mutex::default(), address })
    }

    /// Returns a connection that takes another stream, and what counts that one for as long as it lives.
    fn connection(&self) -> (Channel, Arc<()>) {
        let mut known = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > 1 {
            known.retain(|connection| connection.streams() > 0);
        }
        if let Some(free) = known.iter().find(|connection| connection.streams() < connection.most) {
            return (free.channel.clone(), free.streams.clone());
        }
        let streams = Arc::new(());
        let channel = self.endpoint.connect_lazy();
        known.push(Connection { channel: channel.clone(), streams: streams.clone(), most: STREAMS });
        (channel, streams)
    }

    /// Notes that a connection did not take its last stream: it may have as many as its relay allows.
    fn is_full(&self, stream: &Arc<()>) {
        let mut known = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let full = known.iter_mut().find(|connection| Arc::ptr_eq(&connection.streams, stream));
        if let Some(full) = full.filter(|connection| connection.streams() > 1) {
            full.most = full.streams() - 1;
        }
    }

    pub async fn open(&self, token: Option<&str>) -> Result<Link> {
        let (channel, stream) = self.connection();
        let mut client = Grpc::new(channel).max_decoding_message_size(FRAME_BYTES);
        client.ready().await.map_err(|error| unreachable(&self.address, error))?;
        let (outgoing, waiting) = mpsc::channel(OUTGOING);
        let frames = ReceiverStream::new(waiting).flat_map(|bundle: Vec<Bytes>| stream::iter(bundle));
        let mut request = Request::new(frames);
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse();
            let value = value.map_err(|_| Error::configuration("the token is no HTTP header value"))?;
            request.metadata_mut().insert("authorization", value);
        }
        let opening = client.streaming(request, PathAndQuery::from_static(METHOD), Raw);
        let response = match tokio::time::timeout(PATIENCE, opening).await {
            Ok(response) => response.map_err(|status| of_status(&self.address, &status))?,
            Err(_) => {
                self.is_full(&stream);
                return Err(unreachable(&self.address, "it did not answer in time"));
            }
        };
        let address = self.address.clone();
        let incoming = response.into_inner().map(move |frame| {
            let _counted = &stream;
            frame.map_err(|status| of_status(&address, &status))
        });
        Ok(Link { incoming: incoming.fuse().boxed(), outgoing, place: 0 })
    }
}

fn endpoint(uri: &str, liveness: Liveness) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(uri.to_owned());
    let endpoint = endpoint.map_err(|error| Error::configuration(format!("{uri}: {error}")))?;
    Ok(endpoint
        .connect_timeout(PATIENCE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(liveness.keep_alive)
        .keep_alive_timeout(liveness.idle - liveness.keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

fn to_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn of_status(relay: &str, status: &Status) -> Error {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => {
            Error::NotAuthorized { reason: status.message().to_owned() }
        }
        _ => unreachable(relay, status.clone()),
    }
}

/// Frames as they are.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, frame: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&frame);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(64 * 1024, 64 * 1024)
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(64 * 1024, 64 * 1024)
    }
}
