//! The program serves native agents by QUIC.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openmls::prelude::{
    BasicCredential, Ciphersuite, CredentialWithKey, KeyPackage, Lifetime, MlsMessageOut, SignatureScheme,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skytale_core::extension::{
    self, Accepted, Authenticate, Code, Content, Extension, Refused, Resume, Stock, Submit, UploadKeyPackages,
};
use skytale_core::{ChannelName, Envelope, FrameLimits, frame};
use skytale_relay::quic::ALPN;

const SOON: Duration = Duration::from_secs(20);

/// A server on free ports.
struct Server {
    child: Child,
    quic: SocketAddr,
}

impl Server {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = command(directory)
            .args(["--grpc-listen-addr", "127.0.0.1:0", "--health-listen-addr", "127.0.0.1:0"])
            .args(["--quic-listen-addr", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("quic listening on")).expect("it listens");
        let quic = line.split_whitespace().nth(3).expect("an address").parse().expect("an address");
        Self { child, quic }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skytale-server"));
    command.current_dir(directory).env_remove("SKYTALE_DATA_DIR");
    command
}

fn token(directory: &Path) -> String {
    let output = command(directory).args(["token", "--account", "alice"]).output().expect("it runs");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// Returns the certificate that the server has made for clients on this machine.
fn certificate(directory: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(directory.join("data/quic_cert.pem")).expect("a certificate")
}

async fn connect(server: &Server, trusted: CertificateDer<'static>, name: &str) -> Option<Connection> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("fit for QUIC")));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("bind");
    endpoint.connect_with(config, server.quic, name).expect("a name").await.ok()
}

/// One stream.
struct Stream {
    sender: SendStream,
    receiver: RecvStream,
    buffer: BytesMut,
}

impl Stream {
    async fn open(connection: &Connection) -> Self {
        let (sender, receiver) = connection.open_bi().await.expect("a stream");
        Self { sender, receiver, buffer: BytesMut::new() }
    }

    async fn authenticate(connection: &Connection, token: &str) -> (Self, Content) {
        let mut stream = Self::open(connection).await;
        let content = Content::Authenticate(Authenticate { token: token.to_owned() });
        let answer = stream.ask(Extension::new(content).into_frame()).await;
        (stream, answer)
    }

    async fn ask(&mut self, frame: Bytes) -> Content {
        let mut bytes = BytesMut::new();
        frame::put_prefix(frame.len(), &mut bytes);
        bytes.extend_from_slice(&frame);
        self.sender.write_chunk(bytes.freeze()).await.expect("the stream is open");
        self.content().await
    }

    async fn content(&mut self) -> Content {
        let frame = tokio::time::timeout(SOON, self.frame()).await.expect("in time");
        let envelope = Envelope::parse_first(frame, &FrameLimits::default()).expect("parses");
        let extension = Extension::read(envelope.extension().expect("extended")).expect("reads");
        extension.content.expect("an answer")
    }

    async fn frame(&mut self) -> Bytes {
        loop {
            if let Some(frame) = frame::take(&mut self.buffer, 1 << 23).expect("within the limit") {
                return frame;
            }
            let chunk = self.receiver.read_chunk(65_536, true).await.expect("readable");
            self.buffer.extend_from_slice(&chunk.expect("not ended").bytes);
        }
    }
}

fn room() -> ChannelName {
    ChannelName::from_strings(["org", "ns", "quic"])
}

fn message(content: u8, epoch: u64, public: bool) -> Bytes {
    let mut message = vec![0, 1, 0, if public { 1 } else { 2 }, 1, b'g'];
    message.extend(epoch.to_be_bytes());
    message.extend(if public { &[4, 0][..] } else { &[] });
    message.extend([content, 0, 0]);
    message.into()
}

fn submit(message: Bytes, id: u8) -> Bytes {
    let extension =
        Extension::new(Content::Submit(Submit::default())).with_request(7).with_message_id([id; 16]);
    extension::message(&room(), message, &extension)
}

#[tokio::test]
async fn an_agent_with_a_token_publishes_by_quic_and_is_told_when_the_server_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path(), &[]);
    let key = fs::metadata(directory.path().join("data/quic_key.pem")).expect("there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    for name in ["localhost", "127.0.0.1"] {
        assert!(connect(&server, certificate(directory.path()), name).await.is_some(), "{name}");
    }
    let connection = connect(&server, certificate(directory.path()), "localhost").await.expect("connects");
    let (_, refused) = Stream::authenticate(&connection, "").await;
    assert!(matches!(refused, Content::Refused(Refused { code, .. }) if code == Code::NotAuthorized as i32));
    let (mut stream, accepted) = Stream::authenticate(&connection, &token(directory.path())).await;
    assert!(matches!(accepted, Content::Accepted(_)), "{accepted:?}");
    let answer = stream.ask(submit(message(1, 0, false), 1)).await;
    assert!(matches!(answer, Content::Accepted(Accepted { sequence: 1, .. })), "{answer:?}");

    server.signal("-TERM");
    let drain = stream.content().await;
    assert!(matches!(&drain, Content::Drain(drain) if drain.retry_after_ms > 0), "{drain:?}");
    let end = stream.content().await;
    assert!(
        matches!(&end, Content::Refused(Refused { code, retry_after_ms, .. })
            if *code == Code::Unavailable as i32 && *retry_after_ms > 0),
        "{end:?}"
    );
    let exited = tokio::task::spawn_blocking(move || server.child.wait().expect("it is gone"));
    let status = tokio::time::timeout(SOON, exited).await.expect("in time").expect("waited");
    assert!(status.success(), "{status}");
}

const DAY: u64 = 86_400;

fn key_package(agent: &str, days: u64) -> Bytes {
    let provider = openmls_rust_crypto::OpenMlsRustCrypto::default();
    let signer = openmls_basic_credential::SignatureKeyPair::new(SignatureScheme::ED25519).expect("a key");
    let credential = CredentialWithKey {
        credential: BasicCredential::new(agent.as_bytes().to_vec()).into(),
        signature_key: signer.public().into(),
    };
    let suite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
    let builder = KeyPackage::builder().key_package_lifetime(Lifetime::new(days * DAY));
    let bundle = builder.build(suite, &provider, &signer, credential).expect("a key package");
    MlsMessageOut::from(bundle.into_key_package()).to_bytes().expect("bytes").into()
}

/// Nobody can add an agent by a key package that was changed, is another one's, or has too long or no life.
#[tokio::test]
async fn key_packages_that_nobody_can_use_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let connection = connect(&server, certificate(directory.path()), "localhost").await.expect("connects");
    let (mut stream, _) = Stream::authenticate(&connection, &token(directory.path())).await;
    let agent = "org/agents/bob";
    let mut leave = async |key_package: Bytes| {
        let upload = UploadKeyPackages {
            agent: agent.to_owned(),
            key_packages: vec![key_package],
            ..Default::default()
        };
        stream.ask(Extension::new(Content::UploadKeyPackages(upload)).with_request(9).into_frame()).await
    };
    let kept = leave(key_package(agent, 84)).await;
    assert!(matches!(kept, Content::Stock(Stock { left: 1, .. })), "{kept:?}");
    let mut changed = key_package(agent, 84).to_vec();
    *changed.last_mut().expect("not empty") ^= 1;
    for (unusable, why) in [
        (changed.into(), "signature"),
        (key_package("org/agents/eve", 84), "names the agent"),
        (key_package(agent, 91), "more than 90 days"),
        (key_package(agent, 0), "in the past"),
        (Bytes::from_static(&[0, 1, 0, 5, 1, 2, 3]), "no KeyPackage"),
    ] {
        let refused = leave(unusable).await;
        let Content::Refused(refused) = refused else { panic!("{why}: {refused:?}") };
        assert_eq!(refused.code, Code::Invalid as i32, "{why}");
        assert!(refused.text.contains(why), "{why}: {}", refused.text);
    }
}

#[tokio::test]
async fn the_certificate_is_made_once_and_a_killed_server_comes_back_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(directory.path(), &[]);
    let first = certificate(directory.path());
    let connection = connect(&server, first.clone(), "localhost").await.expect("connects");
    let (mut stream, _) = Stream::authenticate(&connection, &token(directory.path())).await;
    stream.ask(submit(message(1, 0, false), 1)).await;
    server.child.kill().expect("kill -9");
    server.child.wait().expect("it is gone");

    let server = Server::start(directory.path(), &[]);
    let connection = connect(&server, first, "localhost").await.expect("trusted as before");
    let (mut stream, _) = Stream::authenticate(&connection, &token(directory.path())).await;
    let resume = Extension::new(Content::Resume(Resume { after: None })).with_request(8);
    let answer = stream.ask(extension::subscribe(&room(), &resume)).await;
    assert!(matches!(answer, Content::Accepted(Accepted { sequence: 1, .. })), "{answer:?}");
}

#[tokio::test]
async fn another_certificate_is_served_after_a_hangup() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(directory.path().join("data/quic_key.pem"), made.signing_key.serialize_pem()).expect("written");
    fs::write(directory.path().join("data/quic_cert.pem"), made.cert.pem()).expect("written");
    server.signal("-HUP");
    let served =
        async { while connect(&server, certificate(directory.path()), "localhost").await.is_none() {} };
    tokio::time::timeout(SOON, served).await.expect("in time");
}

#[tokio::test]
async fn settings_reach_the_relay() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = "[server]\nexternal_commits = true\nepochs = \"lenient\"\nallow_anonymous = true\n\
                    [limits]\nmax_proposals_per_epoch = 0\nmax_quic_streams_per_connection = 1\n";
    fs::write(directory.path().join("skytale.toml"), settings).expect("written");
    let server = Server::start(directory.path(), &[]);
    let connection = connect(&server, certificate(directory.path()), "localhost").await.expect("connects");
    let (mut stream, _) = Stream::authenticate(&connection, "").await;
    for (message, id) in [(message(3, 0, true), 1), (message(3, 1, false), 2), (message(1, 0, false), 3)] {
        let answer = stream.ask(submit(message, id)).await;
        assert!(matches!(answer, Content::Accepted(_)), "{id}: {answer:?}");
    }
    let refused = stream.ask(submit(message(2, 2, false), 4)).await;
    assert!(matches!(refused, Content::Refused(Refused { code, .. }) if code == Code::ProposalLimit as i32));
    let second = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(second.is_err(), "one stream at a time");
}
