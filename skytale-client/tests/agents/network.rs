//! A network that swallows everything for a while. `SKYTALE_SCALE=full` cuts it for a minute.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skytale_client::{Client, ClientBuilder};
use skytale_testing::edge::{By, Edge, gather, hear};
use skytale_testing::{SOON, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

/// A way to the relay that can be cut: connections stay open, and nothing arrives.
struct Network {
    address: SocketAddr,
    flows: watch::Sender<bool>,
    held: Arc<Held>,
}

/// How much was held up, or dropped, each way.
#[derive(Default)]
struct Held {
    from_agents: AtomicUsize,
    from_relay: AtomicUsize,
}

impl Held {
    fn holds(&self, each_way: usize) -> bool {
        [&self.from_agents, &self.from_relay].iter().all(|count| count.load(Ordering::Relaxed) >= each_way)
    }
}

impl Network {
    async fn to(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let (flows, flowing) = watch::channel(true);
        let held = Arc::<Held>::default();
        let counted = held.clone();
        tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                let Ok(relay) = TcpStream::connect(relay).await else { continue };
                let ((from_agent, to_agent), (from_relay, to_relay)) =
                    (agent.into_split(), relay.into_split());
                let (there, back) = (counted.clone(), counted.clone());
                tokio::spawn({
                    let flowing = flowing.clone();
                    async move { carry(from_agent, to_relay, flowing, &there.from_agents).await }
                });
                tokio::spawn({
                    let flowing = flowing.clone();
                    async move { carry(from_relay, to_agent, flowing, &back.from_relay).await }
                });
            }
        });
        Self { address, flows, held }
    }

    async fn of_datagrams_to(relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
        let address = socket.local_addr().expect("an address");
        let (flows, flowing) = watch::channel(true);
        let held = Arc::<Held>::default();
        tokio::spawn(carry_datagrams(socket, relay, flowing, held.clone()));
        Self { address, flows, held }
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut flowing: watch::Receiver<bool>,
    held: &AtomicUsize,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if !*flowing.borrow() {
            held.fetch_add(1, Ordering::Relaxed);
        }
        if count == 0 || flowing.wait_for(|flowing| *flowing).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Carries datagrams of one agent, each way.
async fn carry_datagrams(
    agents: UdpSocket,
    relay: SocketAddr,
    flowing: watch::Receiver<bool>,
    held: Arc<Held>,
) {
    let onward = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    onward.connect(relay).await.expect("connected");
    let (mut agent, mut coming, mut going) = (None, vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            came = agents.recv_from(&mut going) => {
                let Ok((count, from)) = came else { continue };
                agent = Some(from);
                let flows = *flowing.borrow();
                if flows {
                    let _ = onward.send(&going[..count]).await;
                } else {
                    held.from_agents.fetch_add(1, Ordering::Relaxed);
                }
            }
            came = onward.recv(&mut coming) => {
                let flows = *flowing.borrow();
                if !flows {
                    held.from_relay.fetch_add(1, Ordering::Relaxed);
                } else if let (Ok(count), Some(agent)) = (came, agent) {
                    let _ = agents.send_to(&coming[..count], agent).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_cut_loses_nothing_on_grpc() {
    let edge = Edge::start().await;
    let network = Network::to(edge.socket(By::Grpc)).await;
    let alice = Client::builder("acme/agents/alice", format!("grpc://{}", network.address));
    cut(&edge, &network, alice, 1).await;
}

#[tokio::test]
async fn a_cut_loses_nothing_on_quic() {
    let edge = Edge::start().await;
    let network = Network::of_datagrams_to(edge.socket(By::Quic)).await;
    let alice = Client::builder("acme/agents/alice", format!("quic://localhost:{}", network.address.port()));
    let alice = alice.with_trusted_certificates(edge.identity.certificate_pem.as_bytes());
    cut(&edge, &network, alice, 10).await;
}

/// Alice is cut off until so much was held up each way, at full scale for a minute; she and Bob talk all the time.
async fn cut(edge: &Edge, network: &Network, alice: ClientBuilder, each_way: usize) {
    let is_full = std::env::var("SKYTALE_SCALE").is_ok_and(|scale| scale == "full");
    let least = if is_full { Duration::from_secs(60) } else { Duration::ZERO };
    let alice = alice.with_key_packages(1).start().await.expect("starts");
    let bob = edge.agent("globex/agents/bob", By::Quic).start().await.expect("starts");
    let [alices, bobs] = gather(&[alice, bob]).await.try_into().expect("two");
    network.flows.send_replace(false);
    let cut = Instant::now();
    let talker = alices.clone();
    let talking = tokio::spawn(async move {
        for number in 0..50 {
            talker.send(format!("{number}")).await.expect("sent");
        }
    });
    for number in 0..50 {
        bobs.send(format!("{number}")).await.expect("sent");
    }
    let is_noticed = async || network.held.holds(each_way) && cut.elapsed() >= least;
    eventually(least + SOON, "something is held up each way", is_noticed).await;
    let (ended, before) = (talking.is_finished(), alices.last_applied());
    network.flows.send_replace(true);
    let (cut, began) = (cut.elapsed(), Instant::now());
    assert!(!ended && before < bobs.last_applied(), "it was no cut");
    for channel in [&alices, &bobs] {
        let heard: Vec<String> =
            hear(channel, 50).await.iter().map(|message| message.text().into_owned()).collect();
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(heard, expected);
    }
    talking.await.expect("all sent");
    println!("after a cut of {cut:.1?} all was there within {:?}", began.elapsed());
}
