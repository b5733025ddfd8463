//! TLS: a certificate from PEM files that changes while the relay runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use skytale_relay::AllowAnyone;
use skytale_relay::grpc::{ConnectionLimits, Listener, TlsCertificate};
use skytale_store::MemoryStore;
use skytale_testing::RunningRelay;
use skytale_testing::certificate::{self, SelfSigned};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Writes a fresh certificate and its key.
fn write(directory: &Path) -> CertificateDer<'static> {
    let made = SelfSigned::generate();
    made.write(directory.join("cert.pem"), directory.join("key.pem"));
    made.certificate()
}

/// Connects, trusting one certificate alone, and returns whether the handshake succeeded with HTTP/2.
async fn connects(relay: &RunningRelay, trusted: &CertificateDer<'static>) -> bool {
    let config = certificate::client(trusted, b"h2", None);
    let tcp = TcpStream::connect(relay.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("a name");
    match TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
        Ok(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        Err(_) => false,
    }
}

#[tokio::test]
async fn certificates_reload_without_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = write(directory.path());
    let paths = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let certificate = TlsCertificate::from_pem(&paths.0, &paths.1).expect("readable");
    let listen = |listener: Listener| listener.with_tls(certificate.clone());
    let relay =
        RunningRelay::assembled(Arc::new(MemoryStore::new()), AllowAnyone, |relay| relay, listen).await;
    assert!(connects(&relay, &first).await);
    let second = write(directory.path());
    assert!(!connects(&relay, &second).await, "not read yet");
    certificate.reload().expect("readable");
    assert!(connects(&relay, &second).await);
    assert!(!connects(&relay, &first).await);
    fs::write(&paths.0, "no certificate").expect("written");
    let error = certificate.reload().expect_err("unreadable").to_string();
    assert!(error.contains("cert.pem"), "{error}");
    assert!(connects(&relay, &second).await, "the old one stays in use");
}

#[tokio::test]
async fn more_connections_than_handshakes_a_second_wait_and_come_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let trusted = write(directory.path());
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let certificate = TlsCertificate::from_pem(&cert, &key).expect("readable");
    let mut limits = ConnectionLimits::default();
    limits.handshakes = 2;
    let listen = |listener: Listener| listener.with_tls(certificate.clone()).with_limits(limits.clone());
    let relay =
        RunningRelay::assembled(Arc::new(MemoryStore::new()), AllowAnyone, |relay| relay, listen).await;
    let start = Instant::now();
    for _ in 0..6 {
        assert!(connects(&relay, &trusted).await);
    }
    assert!(start.elapsed() >= Duration::from_millis(1_500), "two at once, then two a second");
}
