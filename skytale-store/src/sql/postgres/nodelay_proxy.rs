//! A way to a PostgreSQL server that sends at once.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (transact-rs/sqlx#4335, mended since but not released): a statement can wait 40 ms for the
//! acknowledgement of another packet. Until then connections begin at a socket of this process, which passes their bytes on
//! without it. Only Linux has sockets that need no file; elsewhere connections go the usual way.

use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
#[cfg(target_os = "linux")]
use {
    socket2::{SockRef, TcpKeepalive},
    std::hash::{BuildHasher, Hasher, RandomState},
    std::io,
    std::str::FromStr,
    std::time::Duration,
    tokio::io::copy_bidirectional_with_sizes,
    tokio::net::{TcpStream, UnixListener, UnixStream},
    tokio::task::JoinSet,
    tokio::time::timeout,
};

/// Passes connections on for as long as a clone of it lives.
#[derive(Clone, Debug)]
pub(crate) struct NodelayProxy(Option<Arc<Open>>);

#[derive(Debug)]
struct Open {
    /// Where connections begin, as the directory of a socket.
    place: String,
    passing: tokio::task::AbortHandle,
}

impl NodelayProxy {
    /// Leads a connection through the passage.
    pub fn lead(&self, options: PgConnectOptions) -> PgConnectOptions {
        match &self.0 {
            Some(open) => options.socket(&open.place),
            None => options,
        }
    }

    /// Keeps the passage open for as long as a pool lives.
    pub fn keep(&self, options: PgPoolOptions) -> PgPoolOptions {
        let kept = self.clone();
        options.after_connect(move |_, _| {
            let _ = &kept;
            Box::pin(async { Ok(()) })
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub async fn open(_url: &str) -> Result<Self, sqlx::Error> {
        Ok(Self(None))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

/// What is passed on at once, in bytes.
#[cfg(target_os = "linux")]
const BUFFER: usize = 64 * 1024;

/// How long a server's machine may be silent before a connection counts as broken, and after how long it is asked.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const ASKED: Duration = Duration::from_secs(4);

#[cfg(target_os = "linux")]
impl NodelayProxy {
    /// Opens a passage to the server of a URL, unless connections do not begin with TCP anyway.
    ///
    /// # Errors
    ///
    /// Why the server cannot be reached, which those who begin at the socket are not told.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?;
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return Ok(Self(None));
        }
        let place = format!("\0skytale-{:016x}", RandomState::new().build_hasher().finish());
        let listener = UnixListener::bind(format!("{place}/.s.PGSQL.{}", options.get_port()))?;
        let server = (options.get_host().to_owned(), options.get_port());
        let first = reach(&server).await?;
        let passing = tokio::spawn(pass_on(listener, server, first)).abort_handle();
        Ok(Self(Some(Arc::new(Open { place, passing }))))
    }
}

#[cfg(target_os = "linux")]
async fn pass_on(listener: UnixListener, server: (String, u16), first: TcpStream) {
    let mut first = Some(first);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _)) if is_ours(&near) => {
                    connections.spawn(connect(near, server.clone(), first.take()));
                }
                Ok(_) => tracing::warn!("another process tried to connect to PostgreSQL through this one"),
                Err(error) => tracing::warn!(%error, "a connection to PostgreSQL could not begin"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

#[cfg(target_os = "linux")]
fn is_ours(near: &UnixStream) -> bool {
    let ours = i32::try_from(std::process::id()).ok();
    near.peer_cred().is_ok_and(|peer| peer.pid() == ours)
}

#[cfg(target_os = "linux")]
async fn reach(server: &(String, u16)) -> io::Result<TcpStream> {
    let far = timeout(SILENCE, TcpStream::connect(server)).await??;
    far.set_nodelay(true)?;
    let socket = SockRef::from(&far);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ASKED).with_interval(ASKED))?;
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    Ok(far)
}

#[cfg(target_os = "linux")]
async fn connect(mut near: UnixStream, server: (String, u16), far: Option<TcpStream>) {
    let connected = match far {
        Some(far) => Ok(far),
        None => reach(&server).await,
    };
    match connected {
        // When one end is gone, the other one sees that.
        Ok(mut far) => drop(copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER).await),
        Err(error) => {
            tracing::warn!(%error, host = server.0, port = server.1, "PostgreSQL cannot be reached")
        }
    }
}
