//! Ports for servers that are started, and started again.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A TCP port of this machine that the system gives to nobody else, whether or not a server listens at it.
///
/// It is bound, and not listened to; a server that lets its address be used again, as most do, can bind it as well.
pub struct KeptPort(TcpSocket);

impl KeptPort {
    /// Takes any port.
    pub fn any() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Takes a port that is known; any where it is 0.
    pub fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.bind(address).expect("bind");
        Self(socket)
    }

    /// Returns the port's address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }
}
