//! A relay that runs in process, or several that act as one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use skytale_core::{Dialect, SequenceNumber};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Authenticator, Drain, Limits, Relay};
use skytale_store::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::transport::Channel;
use tower::Layer;

use crate::slim::{Agent, dial};
use crate::{AnyAuthenticator, Engine, Meters, SOON, eventually};

/// One relay, or several that act as one, on free ports.
pub struct RunningRelay {
    /// The first one's.
    pub address: SocketAddr,
    /// The first one's archive.
    pub store: Arc<dyn Store>,
    /// Ends the first one's sessions.
    pub drain: Drain,
    /// The metrics of all relays together.
    pub meters: Meters,
    relays: Vec<Served>,
    /// How many agents have come.
    agents: AtomicUsize,
    /// What the relays share, as long as they run.
    _engine: Option<Engine>,
}

/// Returns how to configure relays that have such limits.
pub fn limited(set: impl FnOnce(&mut Limits)) -> impl Fn(Relay) -> Relay {
    let mut limits = Limits::default();
    set(&mut limits);
    move |relay| relay.with_limits(limits.clone())
}

struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl RunningRelay {
    /// Starts the relays that the environment asks for: see [`Engine::start`].
    pub async fn start() -> Self {
        Self::with(|relay| relay).await
    }

    /// Starts the relays that the environment asks for, each configured alike: see [`Engine::start`].
    pub async fn with(configure: impl Fn(Relay) -> Relay) -> Self {
        Self::over(Engine::start().await, configure).await
    }

    /// Starts one relay, whatever the environment asks for.
    pub async fn alone() -> Self {
        Self::over(Engine::alone(), |relay| relay).await
    }

    /// Starts two relays that act as one, whatever the environment asks for.
    pub async fn pair() -> Self {
        let engine = match Engine::start().await {
            engine if engine.relays.len() > 1 => engine,
            _ => Engine::in_memory(),
        };
        Self::over(engine, |relay| relay).await
    }

    async fn over(mut engine: Engine, configure: impl Fn(Relay) -> Relay) -> Self {
        let relays = engine.relays.drain(..).map(|(relay, store)| (configure(relay), store)).collect();
        let meters = engine.meters.clone();
        Self {
            _engine: Some(engine),
            ..Self::serve(relays, meters, AnyAuthenticator::new(AllowAnyone), &|listener| listener).await
        }
    }

    /// Starts one relay.
    pub async fn assembled(
        store: Arc<dyn Store>,
        authenticator: impl Authenticator,
        configure: impl FnOnce(Relay) -> Relay,
        listen: impl Fn(Listener) -> Listener,
    ) -> Self {
        let meters = Meters::default();
        let relay = configure(meters.of(|| Relay::new(store.clone())));
        Self::serve(vec![(relay, store)], meters, AnyAuthenticator::new(authenticator), &listen).await
    }

    async fn serve(
        relays: Vec<(Relay, Arc<dyn Store>)>,
        meters: Meters,
        authenticator: AnyAuthenticator,
        listen: &dyn Fn(Listener) -> Listener,
    ) -> Self {
        let (drain, store) = (relays[0].0.drain(), relays[0].1.clone());
        let layer = AuthenticateLayer::new(authenticator);
        let mut served = Vec::new();
        for (relay, _) in relays {
            served.push(Served::start(relay, &layer, listen).await);
        }
        let agents = AtomicUsize::new(0);
        Self { address: served[0].address, store, drain, meters, relays: served, agents, _engine: None }
    }

    /// Stops the relays and waits until they have drained.
    pub async fn stop(mut self) {
        for relay in &mut self.relays {
            relay.stop.take().map(|stop| stop.send(()));
        }
        for relay in self.relays {
            tokio::time::timeout(SOON, relay.served).await.expect("it drains in time").expect("serve");
        }
    }

    /// Opens a connection to the first relay.
    pub async fn channel(&self) -> Channel {
        dial(self.address).await
    }

    /// Tells whether there is one relay only.
    pub fn is_one(&self) -> bool {
        self.relays.len() == 1
    }

    /// Opens a stream to a relay, to each in turn, and negotiates the link, as an agent of the dialect does.
    pub async fn agent(&self, dialect: Dialect, who: &str, id: u64) -> Agent {
        let mut agent = self.silent_agent(dialect, who, id, None).await.expect("admitted");
        agent.negotiate().await;
        agent
    }

    /// Opens a stream to a relay, to each in turn, and sends nothing yet.
    ///
    /// # Errors
    ///
    /// The status with which the relay refuses the stream.
    pub async fn silent_agent(
        &self,
        dialect: Dialect,
        who: &str,
        id: u64,
        token: Option<&str>,
    ) -> Result<Agent, Status> {
        let turn = self.agents.fetch_add(1, Ordering::Relaxed);
        Agent::open(self.relays[turn % self.relays.len()].address, dialect, who, id, token).await
    }

    /// Waits until the archive holds so many records of a channel.
    pub async fn archives(&self, strings: [&str; 3], count: usize) {
        let all = async || self.archived(strings).await.len() >= count;
        eventually(SOON, "so many records are archived", all).await;
    }

    /// Returns what the archive holds of a channel.
    pub async fn archived(&self, strings: [&str; 3]) -> Vec<skytale_store::Record> {
        use futures::TryStreamExt;
        let channel = skytale_core::ChannelName::from_strings(strings);
        self.store.read(&channel, SequenceNumber::START).try_collect().await.expect("read")
    }
}

impl Served {
    async fn start(
        relay: Relay,
        layer: &AuthenticateLayer<AnyAuthenticator>,
        listen: &dyn Fn(Listener) -> Listener,
    ) -> Self {
        let drain = relay.drain();
        let frame_bytes = relay.limits().frame.frame_bytes;
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = tcp.local_addr().expect("an address");
        let service = layer.layer(relay);
        let server =
            Server::new(service, drain).with_frame_bytes(frame_bytes).with_grace(Duration::from_secs(5));
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = listen(Listener::new(tcp));
        let served = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            server.serve(listener, shutdown).await;
        });
        Self { address, stop: Some(stop), served }
    }
}
