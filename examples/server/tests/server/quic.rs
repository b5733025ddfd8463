//! The program serves native agents by QUIC.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use openmls::prelude::Lifetime;
use quinn::Connection;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skytale_core::ChannelName;
use skytale_core::extension::{
    self, Accepted, Code, Content, Extension, Refused, Resume, Stock, Submit, UploadKeyPackages,
};
use skytale_relay::quic::ALPN;
use skytale_testing::certificate::{SelfSigned, client};
use skytale_testing::mls::{APPLICATION, COMMIT, PROPOSAL, external_commit, private};
use skytale_testing::quic::{self, QuicStream};
use skytale_testing::{SOON, key_package_for};

use crate::process::{Process, command};

fn token(directory: &Path) -> String {
    let output = command(directory).args(["token", "--account", "alice"]).output().expect("it runs");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// Returns the certificate that the server has made for clients on this machine.
fn certificate(directory: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(directory.join("data/quic_cert.pem")).expect("a certificate")
}

async fn connect(server: &Process, trusted: CertificateDer<'static>, name: &str) -> Option<Connection> {
    quic::connect(server.quic, name, client(&trusted, ALPN, None)).await.ok()
}

/// Opens a stream, presents a token, and returns the answer.
async fn authenticate(connection: &Connection, token: &str) -> (QuicStream, Content) {
    let mut stream = QuicStream::open(connection).await;
    let answer = stream.authenticate(token).await;
    (stream, answer)
}

fn room() -> ChannelName {
    ChannelName::from_strings(["org", "ns", "quic"])
}

fn submit(message: Bytes, id: u8) -> Bytes {
    let extension =
        Extension::new(Content::Submit(Submit::default())).with_request(7).with_message_id([id; 16]);
    extension::message(&room(), message, &extension)
}

#[tokio::test]
async fn an_agent_with_a_token_publishes_by_quic_and_is_told_when_the_server_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Process::start(directory.path(), &[]);
    let key = fs::metadata(directory.path().join("data/quic_key.pem")).expect("there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    for name in ["localhost", "127.0.0.1"] {
        assert!(connect(&server, certificate(directory.path()), name).await.is_some(), "{name}");
    }
    let connection = connect(&server, certificate(directory.path()), "localhost").await.expect("connects");
    let (_, refused) = authenticate(&connection, "").await;
    assert!(matches!(refused, Content::Refused(Refused { code, .. }) if code == Code::NotAuthorized as i32));
    let (mut stream, accepted) = authenticate(&connection, &token(directory.path())).await;
    assert!(matches!(accepted, Content::Accepted(_)), "{accepted:?}");
    let answer = stream.ask(submit(private("g", 0, APPLICATION, 0), 1)).await;
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
    let exited = tokio::task::spawn_blocking(move || server.wait());
    let status = tokio::time::timeout(SOON, exited).await.expect("in time").expect("waited");
    assert!(status.success(), "{status}");
}

const DAY: u64 = 86_400;

fn key_package(agent: &str, days: u64) -> Bytes {
    key_package_for(agent, Lifetime::new(days * DAY)).into()
}

/// Nobody can add an agent by a key package that was changed, is another one's, or has too long or no life.
#[tokio::test]
async fn key_packages_that_nobody_can_use_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Process::start(directory.path(), &[]);
    let connection = connect(&server, certificate(directory.path()), "localhost").await.expect("connects");
    let (mut stream, _) = authenticate(&connection, &token(directory.path())).await;
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
    let mut server = Process::start(directory.path(), &[]);
    let first = certificate(directory.path());
    let connection = connect(&server, first.clone(), "localhost").await.expect("connects");
    let (mut stream, _) = authenticate(&connection, &token(directory.path())).await;
    stream.ask(submit(private("g", 0, APPLICATION, 0), 1)).await;
    server.kill();

    let server = Process::start(directory.path(), &[]);
    let connection = connect(&server, first, "localhost").await.expect("trusted as before");
    let (mut stream, _) = authenticate(&connection, &token(directory.path())).await;
    let resume = Extension::new(Content::Resume(Resume { after: None })).with_request(8);
    let answer = stream.ask(extension::subscribe(&room(), &resume)).await;
    assert!(matches!(answer, Content::Accepted(Accepted { sequence: 1, .. })), "{answer:?}");
}

#[tokio::test]
async fn another_certificate_is_served_after_a_hangup() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Process::start(directory.path(), &[]);
    let data = directory.path().join("data");
    SelfSigned::generate().write(data.join("quic_cert.pem"), data.join("quic_key.pem"));
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
    let server = Process::start(directory.path(), &[]);
    let connection = connect(&server, certificate(directory.path()), "localhost").await.expect("connects");
    let (mut stream, _) = authenticate(&connection, "").await;
    for (message, id) in [
        (external_commit("g", 0, 0), 1),
        (private("g", 1, COMMIT, 0), 2),
        (private("g", 0, APPLICATION, 0), 3),
    ] {
        let answer = stream.ask(submit(message, id)).await;
        assert!(matches!(answer, Content::Accepted(_)), "{id}: {answer:?}");
    }
    let refused = stream.ask(submit(private("g", 2, PROPOSAL, 0), 4)).await;
    assert!(matches!(refused, Content::Refused(Refused { code, .. }) if code == Code::ProposalLimit as i32));
    let second = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(second.is_err(), "one stream at a time");
}
