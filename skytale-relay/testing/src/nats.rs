//! NATS servers for one test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skytale_store::{Durability, NatsOptions, NatsStore, StoreError};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{KeptPort, eventually, obtain};

/// A server with a directory of its own, which ends with the test.
pub struct Server {
    child: Child,
    port: KeptPort,
    binary: PathBuf,
    directory: TempDir,
}

/// Three servers that are one.
pub struct Cluster {
    /// The servers.
    pub servers: [Server; 3],
    _routes: [KeptPort; 3],
}

/// How long servers may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// How long a server may take to answer, which it does not while there is no leader.
const ANSWER: Duration = Duration::from_millis(200);

/// The names of three servers.
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Returns the binary that `SKYTALE_TEST_NATS_SERVER` names, by default the one on the path, if its version is at least this.
///
/// Without one the test is skipped, which is printed, and is a failure under `CI=true`.
fn binary(at_least: (u32, u32)) -> Option<PathBuf> {
    let given = std::env::var_os("SKYTALE_TEST_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let reason = match version(&given) {
        Some(version) if version >= at_least => return Some(given.into()),
        Some((major, minor)) => format!("nats-server is {major}.{minor}, not {}.{}", at_least.0, at_least.1),
        None => "no nats-server found; examples/server/tests/with_nats.py gets one".to_owned(),
    };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    eprintln!("SKIPPED: {reason}");
    None
}

/// Returns major and minor version.
fn version(binary: &std::ffi::OsStr) -> Option<(u32, u32)> {
    let told = Command::new(binary).arg("--version").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let mut numbers = told.trim().rsplit('v').next()?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

impl Server {
    /// Starts a server.
    pub async fn start() -> Option<Self> {
        Self::start_version((2, 9), "").await
    }

    /// Starts a server of at least a version, with more configuration.
    pub async fn start_version(at_least: (u32, u32), more: &str) -> Option<Self> {
        let binary = binary(at_least)?;
        let mut server = Self::run(binary, "one", more);
        server.wait().await;
        Some(server)
    }

    fn run(binary: PathBuf, name: &str, more: &str) -> Self {
        let (port, directory) = (KeptPort::any(), tempfile::tempdir().expect("a directory"));
        let store = directory.path().join("jetstream");
        let config = format!(
            "listen: {address}\nserver_name: {name}\nmax_payload: 8MB\n\
             jetstream {{ store_dir: {store:?}, max_file_store: 2GB {sync} }}\n{more}\n",
            address = port.address(),
            sync = if more.contains("#sync") { ", sync_interval: always" } else { "" },
        );
        std::fs::write(directory.path().join("config"), &config).expect("a file");
        let child = spawn(&binary, &directory);
        Self { child, port, binary, directory }
    }

    async fn wait(&mut self) {
        let address = self.port.address();
        let listens = async || {
            let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            let ended = self.child.try_wait().expect("its status");
            assert!(ended.is_none(), "nats-server has ended: {}", log());
            TcpStream::connect(address).await.is_ok()
        };
        eventually(READY, "nats-server listens", listens).await;
    }

    /// Returns the address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Connects a store of its own.
    pub async fn store(&self) -> NatsStore {
        connect(&self.url(), options()).await
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills it and starts it again where it was.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.binary, &self.directory);
        self.wait().await;
    }

    /// Sends a signal by name.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Cluster {
    /// Starts three servers.
    pub async fn start() -> Option<Self> {
        let binary = binary((2, 11))?;
        let ports = [(); 3].map(|()| KeptPort::any());
        let routes: Vec<_> = ports.iter().map(|port| format!("nats://{}", port.address())).collect();
        let run = |name: &str, port: &KeptPort| {
            let (address, routes) = (port.address(), routes.join(", "));
            let more = format!("cluster {{ name: test, listen: {address}, routes: [{routes}] }}");
            Server::run(binary.clone(), name, &more)
        };
        let mut servers = [0, 1, 2].map(|place| run(NAMES[place], &ports[place]));
        for server in &mut servers {
            server.wait().await;
        }
        Some(Self { servers, _routes: ports })
    }

    /// Returns the URLs of all servers, with commas between them.
    pub fn urls(&self) -> String {
        self.servers.each_ref().map(Server::url).join(",")
    }

    /// Connects a store to one of the servers.
    pub async fn store_at(&self, server: usize) -> NatsStore {
        connect(&self.servers[server].url(), options().with_replicas(3)).await
    }

    /// Connects a store that may use each server.
    pub async fn store(&self) -> NatsStore {
        connect(&self.urls(), options().with_replicas(3)).await
    }

    /// Returns which server leads the stream, unless it is the one that has just ended.
    pub async fn leader_but(&self, ended: Option<usize>) -> usize {
        let asked = self.servers.iter().enumerate().filter(|(place, _)| Some(*place) != ended);
        let urls: Vec<_> = asked.map(|(_, server)| server.url()).collect();
        let jetstream = async_nats::jetstream::new(async_nats::connect(urls).await.expect("connect"));
        let leader = async || {
            let asked = tokio::time::timeout(ANSWER, jetstream.get_stream("skytale-log")).await;
            let leader = asked.ok()?.ok()?.cached_info().cluster.clone()?.leader?;
            let place = NAMES.iter().position(|name| *name == leader)?;
            (Some(place) != ended).then_some(place)
        };
        obtain(READY, "a leader", leader).await
    }
}

/// Returns options that the servers here fulfil.
pub fn options() -> NatsOptions {
    NatsOptions::default().with_durability(Durability::Process)
}

/// Connects as soon as the servers are ready.
pub async fn connect(url: &str, options: NatsOptions) -> NatsStore {
    let since = Instant::now();
    loop {
        match NatsStore::connect(url, options.clone()).await {
            Ok(store) => return store,
            Err(error @ StoreError::Invalid { .. }) => panic!("{error}"),
            Err(error) => assert!(since.elapsed() < READY, "{error:?}"),
        }
    }
}

fn spawn(binary: &PathBuf, directory: &TempDir) -> Child {
    Command::new(binary)
        .arg("-c")
        .arg(directory.path().join("config"))
        .arg("-l")
        .arg(directory.path().join("log"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server")
}
