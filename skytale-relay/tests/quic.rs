//! The QUIC edge: one session per stream, the same channels as on gRPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, Endpoint};
use rustls::pki_types::CertificateDer;
use skytale_core::extension::{self, Code, Content, Extension, Resume, Submit};
use skytale_core::{ChannelName, Dialect};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::quic::{ALPN, QuicLimits, serve, server_config};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Authenticator, Drain, Relay, TlsCertificate};
use skytale_store::{MemoryStore, Store};
use skytale_testing::certificate::{self, Authority, Identity, SelfSigned};
use skytale_testing::mls::{APPLICATION, private};
use skytale_testing::quic::{self, QuicStream};
use skytale_testing::slim::Agent;
use skytale_testing::{AnyAuthenticator, SOON, TestClock, tokens};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower::Layer;

/// A relay on QUIC and the certificate that its clients trust.
struct Edge {
    address: SocketAddr,
    grpc: SocketAddr,
    certificate: CertificateDer<'static>,
    drain: Drain,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

impl Edge {
    async fn start(store: Arc<dyn Store>, authenticator: impl Authenticator, limits: QuicLimits) -> Self {
        let own = SelfSigned::generate();
        Self::with_tls(store, authenticator, limits, own.server(), own.certificate()).await
    }

    /// Starts an edge that takes tokens, and whose clock is moved.
    async fn by_clock(clock: &TestClock) -> Self {
        let own = SelfSigned::generate();
        let relay = Relay::new(Arc::new(MemoryStore::new())).with_clock(clock.shared());
        let authenticator = tokens::authenticator().with_clock(clock.shared());
        Self::of(relay, authenticator, QuicLimits::default(), own.server(), own.certificate()).await
    }

    async fn with_tls(
        store: Arc<dyn Store>,
        authenticator: impl Authenticator,
        limits: QuicLimits,
        tls: rustls::ServerConfig,
        certificate: CertificateDer<'static>,
    ) -> Self {
        Self::of(Relay::new(store), authenticator, limits, tls, certificate).await
    }

    async fn of(
        relay: Relay,
        authenticator: impl Authenticator,
        limits: QuicLimits,
        tls: rustls::ServerConfig,
        certificate: CertificateDer<'static>,
    ) -> Self {
        let config = server_config(tls, &limits).expect("fit for QUIC");
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().expect("an address")).expect("bind");
        let address = endpoint.local_addr().expect("an address");
        let drain = relay.drain();
        let service = AuthenticateLayer::new(AnyAuthenticator::new(authenticator)).layer(relay);
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let grpc = tcp.local_addr().expect("an address");
        let server = Server::new(service.clone(), drain.clone());
        tokio::spawn(async move { server.serve(Listener::new(tcp), std::future::pending()).await });
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(endpoint, service, limits, async { drop(stopped.await) }));
        Self { address, grpc, certificate, drain, stop, served }
    }

    async fn anyone() -> Self {
        Self::start(Arc::new(MemoryStore::new()), AllowAnyone, QuicLimits::default()).await
    }

    async fn connect(&self, protocol: &[u8]) -> Result<Connection, ConnectionError> {
        self.connect_as(protocol, None).await
    }

    async fn connect_as(
        &self,
        protocol: &[u8],
        client: Option<Identity>,
    ) -> Result<Connection, ConnectionError> {
        let tls = certificate::client(&self.certificate, protocol, client);
        quic::connect(self.address, "localhost", tls).await
    }
}

async fn subscribe(stream: &mut QuicStream, after: Option<u64>) {
    let extension = Extension::new(Content::Resume(Resume { after })).with_request(2);
    let answer = stream.ask(extension::subscribe(&room(), &extension)).await;
    assert!(matches!(answer, Content::Accepted(_)), "{answer:?}");
}

async fn publish(stream: &mut QuicStream, salt: u8) -> Content {
    let extension = Extension::new(Content::Submit(Submit::default())).with_request(3);
    stream.send(extension::message(&room(), message(salt), &extension.with_message_id([salt; 16]))).await;
    loop {
        // A subscriber is told the place of its message, too.
        if let Some(answer) = stream.next().await.1.content {
            return answer;
        }
    }
}

fn room() -> ChannelName {
    ChannelName::from_strings(["org", "ns", "quic"])
}

fn message(salt: u8) -> Bytes {
    private("g", 0, APPLICATION, salt)
}

#[tokio::test]
async fn agents_on_two_connections_share_a_channel() {
    let edge = Edge::anyone().await;
    let (one, other) =
        (edge.connect(ALPN).await.expect("connects"), edge.connect(ALPN).await.expect("connects"));
    let mut member = QuicStream::admitted(&one, "").await;
    subscribe(&mut member, None).await;
    let mut sender = QuicStream::admitted(&other, "").await;
    for salt in 1..=100 {
        assert!(
            matches!(publish(&mut sender, salt).await, Content::Accepted(accepted) if accepted.sequence == u64::from(salt))
        );
    }
    for salt in 1..=100 {
        let (envelope, extension) = member.next().await;
        assert_eq!((extension.sequence, extension.previous), (u64::from(salt), u64::from(salt) - 1));
        assert_eq!(envelope.app_payload().expect("a payload").blob, message(salt));
    }
}

#[tokio::test]
async fn a_grpc_agent_and_a_quic_agent_share_a_channel() {
    let edge = Edge::anyone().await;
    let mut grpc = Agent::open(edge.grpc, Dialect::Slim3, "unnamed", 1, None).await.expect("admitted");
    let resume = Extension::new(Content::Resume(Resume { after: None })).with_request(2);
    grpc.send(extension::subscribe(&room(), &resume)).await;
    grpc.frame().await.expect("subscribed");
    let connection = edge.connect(ALPN).await.expect("connects");
    let mut quic = QuicStream::admitted(&connection, "").await;
    subscribe(&mut quic, None).await;

    let mut sender = QuicStream::admitted(&connection, "").await;
    publish(&mut sender, 1).await;
    assert_eq!(grpc.hear().await.blob, message(1));
    assert_eq!(quic.next().await.1.sequence, 1);
    let submit = Extension::new(Content::Submit(Submit::default())).with_message_id([2; 16]);
    grpc.send(extension::message(&room(), message(2), &submit)).await;
    assert_eq!(quic.next().await.1.sequence, 2);
}

#[tokio::test]
async fn a_stream_that_is_not_read_does_not_block_another() {
    let edge = Edge::anyone().await;
    let connection = edge.connect(ALPN).await.expect("connects");
    let mut stuck = QuicStream::admitted(&connection, "").await;
    subscribe(&mut stuck, None).await;
    let mut reader = QuicStream::admitted(&connection, "").await;
    subscribe(&mut reader, None).await;
    let other = edge.connect(ALPN).await.expect("connects");
    let mut sender = QuicStream::admitted(&other, "").await;
    let long: Bytes = [message(9), vec![0; 500_000].into()].concat().into();
    for number in 1..=20u8 {
        let extension = Extension::new(Content::Submit(Submit::default())).with_message_id([number; 16]);
        sender.send(extension::message(&room(), long.clone(), &extension)).await;
        assert_eq!(reader.next().await.1.sequence, u64::from(number));
    }
    drop(stuck);
}

#[tokio::test]
async fn the_first_frame_presents_the_token() {
    let store = Arc::new(MemoryStore::new());
    let edge = Edge::start(store, tokens::authenticator(), QuicLimits::default()).await;
    let connection = edge.connect(ALPN).await.expect("connects");
    let now = tokens::now();
    let good = tokens::token("acme", 60);
    let mut channel = QuicStream::open(&connection).await;
    let Content::Accepted(accepted) = channel.authenticate(&good).await else { panic!("refused") };
    assert!(accepted.expires >= now + 60, "{}", accepted.expires);
    assert!(matches!(publish(&mut channel, 1).await, Content::Accepted(_)));
    for bad in ["", "junk", &format!("{good}x")] {
        let mut channel = QuicStream::open(&connection).await;
        let Content::Refused(refused) = channel.authenticate(bad).await else {
            panic!("let in with {bad:?}")
        };
        assert_eq!(Code::try_from(refused.code), Ok(Code::NotAuthorized), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_connection_without_a_session_counts_as_unauthenticated_and_is_closed_in_time() {
    let mut limits = QuicLimits::default();
    (limits.unauthenticated, limits.first_frame) = (1, std::time::Duration::from_secs(3));
    let edge = Edge::start(Arc::new(MemoryStore::new()), AllowAnyone, limits).await;
    let first = edge.connect(ALPN).await.expect("connects");
    assert!(edge.connect(ALPN).await.is_err(), "one too many");
    let mut authenticated = QuicStream::admitted(&first, "").await;
    let second = edge.connect(ALPN).await.expect("the first one has a session");
    let closed = tokio::time::timeout(SOON, second.closed()).await.expect("in time");
    assert!(closed.to_string().contains("not authenticated in time"), "{closed}");
    assert!(matches!(publish(&mut authenticated, 1).await, Content::Accepted(_)), "the first one goes on");
    edge.connect(ALPN).await.expect("there is room again");
}

#[tokio::test]
async fn more_connections_at_once_than_handshakes_a_second_are_refused_and_come_in_later() {
    let mut limits = QuicLimits::default();
    limits.handshakes = 1;
    let edge = Edge::start(Arc::new(MemoryStore::new()), AllowAnyone, limits).await;
    let attempts = futures::future::join_all((0..20).map(|_| edge.connect(ALPN))).await;
    assert!(attempts.iter().any(Result::is_ok), "one is let in");
    assert!(attempts.iter().any(Result::is_err), "and not all");
    let later = async { while edge.connect(ALPN).await.is_err() {} };
    tokio::time::timeout(SOON, later).await.expect("let in later");
}

fn token(account: &str, seconds: u64, pattern: Option<&str>) -> String {
    let mut claims = tokens::claims(account, tokens::now(), seconds);
    if let Some(pattern) = pattern {
        let channels = pattern.parse().expect("a pattern");
        claims = claims.with_grants(vec![skytale_core::Grant::everything_on(channels)]);
    }
    tokens::signed(&claims)
}

#[tokio::test]
async fn a_stream_that_presents_another_token_outlives_its_first() {
    let clock = TestClock::default();
    let edge = Edge::by_clock(&clock).await;
    let connection = edge.connect(ALPN).await.expect("connects");
    let short = token("acme", 600, None);
    let mut renewed = QuicStream::admitted(&connection, &short).await;
    let mut lapsing = QuicStream::admitted(&connection, &short).await;
    subscribe(&mut renewed, None).await;
    for (refused, why) in [
        (token("other", 1_200, None), "another account"),
        (token("acme", 1_200, Some("org/elsewhere/*")), "does not grant"),
        ("junk".to_owned(), "not valid"),
    ] {
        let Content::Refused(refused) = renewed.authenticate(&refused).await else { panic!("taken: {why}") };
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    let next = token("acme", 1_200, None);
    assert!(matches!(renewed.authenticate(&next).await, Content::Accepted(accepted) if accepted.expires > 0));
    clock.advance(Duration::from_secs(600));
    let (_, end) = lapsing.next().await;
    assert!(matches!(end.content, Some(Content::Refused(refused)) if refused.text.contains("expired")));
    assert!(matches!(publish(&mut renewed, 1).await, Content::Accepted(_)), "goes on");
}

#[tokio::test]
async fn a_first_frame_that_presents_nothing_is_refused() {
    let edge = Edge::anyone().await;
    let connection = edge.connect(ALPN).await.expect("connects");
    let mut channel = QuicStream::open(&connection).await;
    channel.send(extension::message(&room(), message(1), &Extension::default())).await;
    let (_, answer) = channel.next().await;
    assert!(
        matches!(answer.content, Some(Content::Refused(refused)) if refused.text.contains("authenticate"))
    );
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_its_stream_with_the_reason() {
    let limits = QuicLimits::default();
    let allowed = limits.frame_bytes;
    let edge = Edge::start(Arc::new(MemoryStore::new()), AllowAnyone, limits).await;
    let connection = edge.connect(ALPN).await.expect("connects");
    let mut channel = QuicStream::admitted(&connection, "").await;
    let prefix = Bytes::copy_from_slice(&(allowed as u32 + 1).to_be_bytes());
    channel.write(prefix).await;
    let (_, answer) = channel.next().await;
    let text = match answer.content {
        Some(Content::Refused(refused)) => refused.text,
        other => panic!("{other:?}"),
    };
    assert!(text.contains(&allowed.to_string()), "{text}");
    assert!(matches!(
        publish(&mut QuicStream::admitted(&connection, "").await, 2).await,
        Content::Accepted(_)
    ));
}

#[tokio::test]
async fn clients_have_to_present_a_certificate_where_an_authority_is_set() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::generate());
    let at = |name: &str| directory.path().join(name);
    let own = SelfSigned::generate();
    own.write(at("cert.pem"), at("key.pem"));
    std::fs::write(at("ca.pem"), &authority.certificate_pem).expect("written");
    let tls = TlsCertificate::from_pem(at("cert.pem"), at("key.pem")).expect("readable");
    let wrong = tls.clone().with_client_ca(at("key.pem")).expect_err("no certificate").to_string();
    assert!(wrong.contains("key.pem"), "{wrong}");
    let tls = tls.with_client_ca(at("ca.pem")).expect("readable").tls13();
    let (store, trusted) = (Arc::new(MemoryStore::new()), own.certificate());
    let edge = Edge::with_tls(store, AllowAnyone, QuicLimits::default(), tls, trusted).await;

    let known = edge.connect_as(ALPN, Some(authority.certify("agent"))).await.expect("connects");
    assert!(matches!(publish(&mut QuicStream::admitted(&known, "").await, 1).await, Content::Accepted(_)));
    for stranger in
        [None, Some(Authority::generate().certify("agent")), Some(SelfSigned::generate().identity())]
    {
        // The client's part of the handshake is over before the relay has seen its certificate.
        if let Ok(connection) = edge.connect_as(ALPN, stranger).await {
            let why = tokio::time::timeout(SOON, connection.closed()).await.expect("in time");
            assert!(matches!(why, quinn::ConnectionError::ConnectionClosed(_)), "{why}");
        }
    }
}

#[tokio::test]
async fn another_protocol_is_refused_in_the_handshake() {
    let edge = Edge::anyone().await;
    assert!(edge.connect(b"h3").await.is_err());
}

#[tokio::test]
async fn a_drain_says_when_to_come_back() {
    let edge = Edge::anyone().await;
    let connection = edge.connect(ALPN).await.expect("connects");
    let mut channel = QuicStream::admitted(&connection, "").await;
    subscribe(&mut channel, None).await;
    edge.drain.start(std::time::Duration::from_secs(3));
    let (_, drain) = channel.next().await;
    assert!(matches!(drain.content, Some(Content::Drain(drain)) if drain.retry_after_ms == 3_000));
    let (_, answer) = channel.next().await;
    assert!(matches!(answer.content, Some(Content::Refused(refused)) if refused.retry_after_ms == 3_000));
    let _ = edge.stop.send(());
    tokio::time::timeout(SOON * 2, edge.served).await.expect("in time").expect("ends");
}
