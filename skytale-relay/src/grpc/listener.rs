//! Accepting connections, so many at once and no longer without authentication than allowed.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::limits::handshakes::handshakes;
use crate::tls::TlsCertificate;

/// What one listener allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// The most connections at once. Default: 65,536.
    pub connections: usize,
    /// The most connections at once that have not opened an authenticated stream. Default: 1,024.
    pub unauthenticated: usize,
    /// The most TLS handshakes that begin in a second; beyond, connections wait to be accepted. Default: 500.
    pub handshakes: u32,
    /// How long a connection may go without an authenticated stream. Default: 10 s.
    pub authentication_time: Duration,
    /// The most streams at once on one connection. Default: 128.
    pub streams: u32,
    /// The most streams of one connection that the peer may reset before they are accepted. Default: 20.
    pub pending_resets: usize,
    /// The most streams of one connection that may be reset for the peer's errors. Default: 256.
    pub error_resets: usize,
    /// The most bytes of a request's headers. Default: 16 KiB.
    pub header_bytes: u32,
    /// How often an idle connection is probed. Default: 60 s.
    pub keepalive: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            unauthenticated: 1_024,
            handshakes: 500,
            authentication_time: Duration::from_secs(10),
            streams: 128,
            pending_resets: 20,
            error_resets: 256,
            header_bytes: 16 * 1024,
            keepalive: Duration::from_secs(60),
        }
    }
}

/// Accepts TCP, and TLS where it has a certificate.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsCertificate>,
    limits: ConnectionLimits,
}

impl Listener {
    /// Accepts plain connections.
    pub fn new(tcp: TcpListener) -> Self {
        Self { tcp, tls: None, limits: ConnectionLimits::default() }
    }

    /// Accepts TLS connections only.
    pub fn with_tls(mut self, certificate: TlsCertificate) -> Self {
        self.tls = Some(certificate);
        self
    }

    /// Sets the limits.
    pub fn with_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(super) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Accepts until `stop`, and then closes the listening socket at once, which ends the task.
    pub(super) fn accept(self, stop: CancellationToken) -> (mpsc::Receiver<Connection>, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(64);
        let door = ConnectionGate {
            connections: Arc::new(Semaphore::new(self.limits.connections)),
            unauthenticated: Arc::new(Semaphore::new(self.limits.unauthenticated)),
            authentication_time: self.limits.authentication_time,
            tls: self.tls.map(|certificate| certificate.acceptor(&[b"h2"])),
            sender,
        };
        let handshakes = handshakes(self.limits.handshakes);
        let accepting = tokio::spawn(async move {
            let accepting = async {
                loop {
                    if door.tls.is_some() {
                        handshakes.until_ready().await;
                    }
                    match self.tcp.accept().await {
                        Ok((stream, address)) => door.admit(stream, address),
                        Err(error) => pause_after(&error).await,
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = accepting => {}
            }
        });
        (receiver, accepting)
    }
}

/// Waits a moment after an accept failed, which is mostly for want of file descriptors.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Lets connections in, as long as there is room.
struct ConnectionGate {
    connections: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
    authentication_time: Duration,
    tls: Option<TlsAcceptor>,
    sender: mpsc::Sender<Connection>,
}

impl ConnectionGate {
    /// Takes the connection in, or drops it: before HTTP/2 there is no way to say why.
    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let (Ok(connection), Ok(unauthenticated)) =
            (self.connections.clone().try_acquire_owned(), self.unauthenticated.clone().try_acquire_owned())
        else {
            tracing::warn!(%address, "refused: too many connections, or too many without authentication");
            metrics::counter!("skytale_connections_refused_total").increment(1);
            return;
        };
        let _ = stream.set_nodelay(true);
        let peer = Peer::new(address, unauthenticated);
        let (tls, sender, allowed) = (self.tls.clone(), self.sender.clone(), self.authentication_time);
        tokio::spawn(async move {
            let opened = tokio::time::timeout(allowed, open(stream, tls)).await;
            if let Ok(Ok(io)) = opened {
                peer.clone().watch(allowed);
                let expired = Box::pin(peer.state.expired.clone().cancelled_owned());
                let _ = sender.send(Connection { io, peer, expired, _permit: connection }).await;
            }
        });
    }
}

async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Io> {
    match tls {
        None => Ok(Io::Plain(stream)),
        Some(acceptor) => acceptor.accept(stream).await.map(|stream| Io::Tls(Box::new(stream))),
    }
}

/// Who is at the other end, and whether it has authenticated.
#[derive(Clone, Debug)]
pub struct Peer {
    address: SocketAddr,
    state: Arc<PeerState>,
}

#[derive(Debug)]
struct PeerState {
    authenticated: AtomicBool,
    permit: std::sync::Mutex<Option<OwnedSemaphorePermit>>,
    expired: CancellationToken,
}

impl Peer {
    fn new(address: SocketAddr, permit: OwnedSemaphorePermit) -> Self {
        let state = PeerState {
            authenticated: AtomicBool::new(false),
            permit: Some(permit).into(),
            expired: CancellationToken::new(),
        };
        Self { address, state: Arc::new(state) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Marks the connection as one that has an authenticated stream.
    pub(super) fn authenticated(&self) {
        self.state.authenticated.store(true, Ordering::Relaxed);
        self.state.permit.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }

    /// Ends the connection if it does not authenticate in time.
    fn watch(self, allowed: Duration) {
        let state = Arc::downgrade(&self.state);
        tokio::spawn(async move {
            tokio::time::sleep(allowed).await;
            if let Some(state) = state.upgrade().filter(|state| !state.authenticated.load(Ordering::Relaxed))
            {
                state.expired.cancel();
            }
        });
    }
}

/// One accepted connection.
#[derive(Debug)]
pub(super) struct Connection {
    io: Io,
    peer: Peer,
    expired: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn peer(&self) -> Peer {
        self.peer.clone()
    }
}

macro_rules! io {
    ($connection:expr, $io:ident => $call:expr) => {
        match &mut $connection.get_mut().io {
            Io::Plain($io) => {
                let $io = Pin::new($io);
                $call
            }
            Io::Tls($io) => {
                let $io = Pin::new($io);
                $call
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.as_mut().get_mut().expired.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "not authenticated in time")));
        }
        io!(self, io => io.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        io!(self, io => io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        io!(self, io => io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        io!(self, io => io.poll_shutdown(cx))
    }
}
