//! The gate of the gRPC edge: which connections are admitted, and how long they may go without authentication.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::limits::ConnectionLimits;

/// Admits connections while there is room, and none for long without authentication.
pub(super) struct ConnectionGate {
    connections: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
    authentication_time: Duration,
    tls: Option<TlsAcceptor>,
    sender: mpsc::Sender<Connection>,
}

impl ConnectionGate {
    /// Makes a gate that hands the connections that it admits to `sender`.
    pub fn new(
        limits: &ConnectionLimits,
        tls: Option<TlsAcceptor>,
        sender: mpsc::Sender<Connection>,
    ) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(limits.connections)),
            unauthenticated: Arc::new(Semaphore::new(limits.unauthenticated)),
            authentication_time: limits.authentication_time,
            tls,
            sender,
        }
    }

    /// Tells whether connections have to agree on TLS first.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes the connection in, or drops it: before HTTP/2 there is no way to say why.
    pub fn admit(&self, stream: TcpStream, address: SocketAddr) {
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

/// The address at the other end of a connection, and whether it has authenticated.
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
