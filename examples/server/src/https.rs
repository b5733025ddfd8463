//! HTTP over TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::IncomingStream;
use skytale_relay::TlsCertificate;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on keys, and how many may be at it or wait to be served.
const HANDSHAKE: Duration = Duration::from_secs(10);
const WAITING: usize = 256;

/// A socket whose connections are encrypted. Clients that dawdle keep nobody else waiting.
pub struct TlsListener {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl TlsListener {
    pub fn new(tcp: TcpListener, certificate: &TlsCertificate) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        let (sender, connections) = mpsc::channel(WAITING);
        let acceptor = certificate.acceptor(&[b"h2", b"http/1.1"]);
        tokio::spawn(accept(tcp, acceptor, sender));
        Ok(Self { connections, address })
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TlsListener, router: Router) -> io::Result<()> {
    let router = router.layer(middleware::from_fn(tell_address));
    axum::serve(listener, router.into_make_service_with_connect_info::<Remote>()).await
}

/// Where a connection comes from.
#[derive(Clone, Copy)]
struct Remote(SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for Remote {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Tells handlers the address in the same way as without TLS.
async fn tell_address(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(Remote(address))) = request.extensions().get().copied() {
        request.extensions_mut().insert(ConnectInfo(address));
    }
    next.run(request).await
}

async fn accept(
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let Ok(place) = sender.clone().reserve_owned().await else { return };
        let (stream, address) = match tcp.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "an HTTP connection was not accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = handshake.await {
                place.send((stream, address));
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
