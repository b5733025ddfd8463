//! A relay over real sockets, QUIC and gRPC on the same channels, that can be stopped and started again.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skytale_client::{Channel, Client, ClientBuilder, Event, Message, StateStore};
use skytale_relay::grpc::{ConnectionLimits, Listener, Server};
use skytale_relay::quic::{QuicLimits, serve, server_config};
use skytale_relay::{
    AllowAnyone, AuthenticateLayer, Authenticator, Drain, EpochPolicy, ExternalCommits, Relay, Revocations,
};
use skytale_store::{KeyPackageDirectory, SqlOptions, SqlStore, Store};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::Layer;

use crate::certificate::SelfSigned;
use crate::{AnyAuthenticator, KeptPort, TestClock, eventually, obtain};

/// The channel of tests that have one.
pub const ROOM: &str = "acme/research/room";

/// How long anything may take.
pub const SOON: Duration = Duration::from_secs(60);

/// A relay, its addresses, and its archive in a directory that outlives it.
pub struct Edge {
    /// Where its archive is, and what agents keep.
    pub directory: PathBuf,
    /// Its certificate and key.
    pub identity: SelfSigned,
    /// The keys, tokens and accounts that it no longer accepts.
    pub revocations: Revocations,
    /// The clock of the relay and its agents.
    pub clock: TestClock,
    /// How it takes messages of past epochs.
    pub epochs: EpochPolicy,
    /// How many streams it takes on one connection.
    pub streams: u32,
    quic: SocketAddr,
    grpc: SocketAddr,
    kept: Option<KeptPort>,
    running: Option<Running>,
    _temporary: Option<tempfile::TempDir>,
}

/// The part of a relay that outlives its process.
#[derive(Serialize, Deserialize)]
struct Lasting {
    certificate_pem: String,
    key_pem: String,
    quic: SocketAddr,
    grpc: SocketAddr,
}

struct Running {
    store: Arc<SqlStore>,
    drain: Drain,
    stop: Vec<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// The transports of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// QUIC.
    Quic,
    /// gRPC.
    Grpc,
}

impl Edge {
    /// Starts a relay that lets everybody in.
    pub async fn start() -> Self {
        Self::with(AllowAnyone).await
    }

    /// Starts a relay.
    pub async fn with(authenticator: impl Authenticator) -> Self {
        Self::by_clock(&TestClock::default(), authenticator).await
    }

    /// Starts a relay that has a clock, as its agents have.
    pub async fn by_clock(clock: &TestClock, authenticator: impl Authenticator) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut edge = Self::of(temporary.path(), Lasting::new());
        (edge.clock, edge._temporary) = (clock.clone(), Some(temporary));
        edge.run(authenticator).await;
        edge
    }

    /// Starts a relay that takes messages of past epochs, too.
    pub async fn lenient() -> Self {
        let mut edge = Self::start().await;
        edge.stop().await;
        edge.epochs = EpochPolicy::Lenient;
        edge.run(AllowAnyone).await;
        edge
    }

    /// Starts a relay that takes so many streams on one connection.
    pub async fn with_streams(streams: u32) -> Self {
        let mut edge = Self::start().await;
        edge.stop().await;
        edge.streams = streams;
        edge.run(AllowAnyone).await;
        edge
    }

    /// Runs a relay in this process that another process finds by [`found`](Self::found), on the same addresses each time.
    pub async fn host(directory: &Path) -> Self {
        let lasting = Lasting::read(directory).unwrap_or_else(Lasting::new);
        let mut edge = Self::of(directory, lasting);
        edge.run(AllowAnyone).await;
        let SelfSigned { certificate_pem, key_pem } = edge.identity.clone();
        Lasting { certificate_pem, key_pem, quic: edge.quic, grpc: edge.grpc }.write(directory);
        edge
    }

    /// Waits for the relay of another process.
    pub async fn found(directory: &Path) -> Self {
        let lasting = obtain(SOON, "a relay in the directory", async || Lasting::read(directory)).await;
        Self::of(directory, lasting)
    }

    fn of(directory: &Path, lasting: Lasting) -> Self {
        let Lasting { certificate_pem, key_pem, quic, grpc } = lasting;
        Self {
            directory: directory.to_owned(),
            identity: SelfSigned { certificate_pem, key_pem },
            revocations: Revocations::new(),
            clock: TestClock::default(),
            epochs: EpochPolicy::Strict,
            streams: 128,
            quic,
            grpc,
            kept: None,
            running: None,
            _temporary: None,
        }
    }

    /// Starts the relay, on the addresses that it had before.
    pub async fn run(&mut self, authenticator: impl Authenticator) {
        self.run_any(AnyAuthenticator::new(authenticator)).await;
    }

    async fn run_any(&mut self, authenticator: AnyAuthenticator) {
        let path = self.directory.join("relay.db");
        let store = Arc::new(SqlStore::open_sqlite(path, SqlOptions::default()).await.expect("opens"));
        let (log, directory): (Arc<dyn Store>, Arc<dyn KeyPackageDirectory>) = (store.clone(), store.clone());
        let relay = Relay::new(log)
            .with_directory(directory)
            .with_external_commits(ExternalCommits::Accept)
            .with_epochs(self.epochs)
            .with_revocations(self.revocations.clone())
            .with_clock(self.clock.shared());
        let drain = relay.drain();
        let service = AuthenticateLayer::new(authenticator).layer(relay);

        let mut limits = QuicLimits::default();
        limits.streams_per_connection = self.streams;
        let config = server_config(self.identity.server(), &limits).expect("fit for QUIC");
        let endpoint = patiently(|| quinn::Endpoint::server(config.clone(), self.quic)).await;
        self.quic = endpoint.local_addr().expect("an address");
        let (stop_quic, quic_stopped) = oneshot::channel();
        let quic = tokio::spawn(serve(endpoint, service.clone(), limits, async { drop(quic_stopped.await) }));

        if self.kept.is_none() {
            let port = KeptPort::at(self.grpc);
            self.grpc = port.address();
            self.kept = Some(port);
        }
        let tcp = patiently(|| listen(self.grpc)).await;
        let server = Server::new(service, drain.clone()).with_grace(Duration::from_secs(1));
        let (stop_grpc, grpc_stopped) = oneshot::channel();
        let mut limits = ConnectionLimits::default();
        limits.streams = self.streams;
        let listener = Listener::new(tcp).with_limits(limits);
        let grpc = tokio::spawn(async move {
            server.serve(listener, async { drop(grpc_stopped.await) }).await;
        });
        let (stop, tasks) = (vec![stop_quic, stop_grpc], vec![quic, grpc]);
        self.running = Some(Running { store, drain, stop, tasks });
    }

    /// Stops the relay; nobody is told anything but that streams end.
    pub async fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.drain.start(Duration::ZERO);
        for stop in running.stop {
            let _ = stop.send(());
        }
        for task in running.tasks {
            let _ = task.await;
        }
        // The file is free once every session has let go of it.
        let is_free = async || Arc::strong_count(&running.store) == 1;
        eventually(SOON, "the store is free", is_free).await;
    }

    /// Returns its archive.
    pub fn store(&self) -> &Arc<SqlStore> {
        &self.running.as_ref().expect("runs").store
    }

    /// Returns the address for agents.
    pub fn address(&self, by: By) -> String {
        match by {
            By::Quic => format!("quic://localhost:{}", self.quic.port()),
            By::Grpc => format!("grpc://127.0.0.1:{}", self.grpc.port()),
        }
    }

    /// Returns the address of its socket.
    pub fn socket(&self, by: By) -> SocketAddr {
        match by {
            By::Quic => self.quic,
            By::Grpc => self.grpc,
        }
    }

    /// Makes an agent that keeps its state in memory.
    pub fn agent(&self, name: &str, by: By) -> ClientBuilder {
        Client::builder(name, self.address(by))
            .with_trusted_certificates(self.identity.certificate_pem.as_bytes())
            .with_key_packages(3)
            .with_clock(self.clock.shared())
    }

    /// Returns where an agent keeps its state.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.join(name.replace('/', "-"))
    }

    /// Makes an agent that keeps its state on disk.
    pub fn kept(&self, name: &str, by: By) -> ClientBuilder {
        self.agent(name, by).with_state(StateStore::directory(self.place(name)))
    }

    /// Returns the bytes of the relay's files.
    pub fn files(&self) -> Vec<u8> {
        let read = |name: &str| std::fs::read(self.directory.join(name)).unwrap_or_default();
        [read("relay.db"), read("relay.db-wal")].concat()
    }
}

impl Lasting {
    fn new() -> Self {
        let SelfSigned { certificate_pem, key_pem } = SelfSigned::generate();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { certificate_pem, key_pem, quic: any, grpc: any }
    }

    fn read(directory: &Path) -> Option<Self> {
        let bytes = std::fs::read(directory.join("relay.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whoever waits for it finds all of it or nothing.
    fn write(&self, directory: &Path) {
        let (written, place) = (directory.join("relay.new"), directory.join("relay.json"));
        std::fs::write(&written, serde_json::to_vec(self).expect("serialises")).expect("written");
        std::fs::rename(written, place).expect("renamed");
    }
}

/// Binds to an address, again as long as it is in use: connections that drain may hold it for a moment.
async fn patiently<T>(mut bind: impl FnMut() -> io::Result<T>) -> T {
    let bound = async || match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
        bound => Some(bound.expect("bind")),
    };
    obtain(SOON, "the address is free", bound).await
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Adds an agent, once it has left a key package.
pub async fn add(channel: &Channel, agent: &Client) -> u64 {
    agent.wait_until_addable().await.expect("left");
    channel.add(&agent.name().to_string()).await.expect("added")
}

/// Makes a channel of some agents, the first of which creates it.
pub async fn gather(agents: &[Client]) -> Vec<Channel> {
    let first = agents[0].create_channel(ROOM).await.expect("created");
    let mut channels = vec![first];
    for agent in &agents[1..] {
        add(&channels[0], agent).await;
        channels.push(agent.join_channel(ROOM).await.expect("joined"));
    }
    for channel in &channels {
        let knows_all = async || channel.members().len() >= agents.len();
        eventually(SOON, "everybody is a member", knows_all).await;
    }
    channels
}

/// Reads the next `count` messages, each of which comes soon.
pub async fn hear(channel: &Channel, count: usize) -> Vec<Message> {
    let (mut events, mut heard) = (channel.events(), Vec::new());
    while heard.len() < count {
        let next = tokio::time::timeout(SOON, events.next()).await;
        let next = next.unwrap_or_else(|_| panic!("{} of {count} messages in time", heard.len()));
        match next.expect("open").expect("readable") {
            Event::Message(message) => heard.push(message),
            event => assert!(!is_loss(&event), "{event:?}"),
        }
    }
    heard
}

/// Tells whether an event says that messages were lost, cannot be read, or differ.
pub fn is_loss(event: &Event) -> bool {
    matches!(
        event,
        Event::Undecryptable { .. } | Event::Forked { .. } | Event::Gap { .. } | Event::HistoryDiffers { .. }
    )
}

/// Waits for an event.
pub async fn expect(channel: &Channel, wanted: impl Fn(&Event) -> bool) -> Event {
    let mut events = channel.events();
    let read = async {
        loop {
            let event = events.next().await.expect("open").expect("readable");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(SOON, read).await.expect("the event in time")
}

/// Copies a directory, as a backup does.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
