//! The relay on a host's own QUIC endpoint: its socket, its certificate, its shutdown.
//!
//! `cargo run -p embed-quic` serves it, lets two agents talk through it, and ends.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use quinn::Endpoint;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use skytale_client::{Client, Event};
use skytale_relay::quic::{QuicLimits, serve, server_config};
use skytale_relay::{AllowAnyone, AuthenticateLayer, Relay};
use skytale_store::MemoryStore;
use tokio::sync::oneshot;
use tower::Layer;

#[tokio::main]
async fn main() -> Result<()> {
    run().await
}

async fn run() -> Result<()> {
    let identity = generate_simple_self_signed(["localhost".to_owned()])?;
    let pem = identity.cert.pem();
    let limits = QuicLimits::default();
    // The endpoint is the host's: it may share its socket, pin it to an interface, or set what quinn allows.
    let endpoint = Endpoint::server(server_config(tls(identity)?, &limits)?, "127.0.0.1:0".parse()?)?;
    let address = endpoint.local_addr()?;
    let store = Arc::new(MemoryStore::new());
    let relay = Relay::new(store.clone()).with_directory(store);
    let service = AuthenticateLayer::new(AllowAnyone).layer(relay);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(endpoint, service, limits, async {
        let _ = stopped.await;
    }));
    println!("the host serves the relay on {address} (UDP)");
    talk(address, pem.as_bytes()).await?;
    let _ = stop.send(());
    serving.await.context("the edge ends when it is told to")
}

/// The host's TLS: its certificate, its provider, TLS 1.3 alone.
fn tls(identity: CertifiedKey<rcgen::KeyPair>) -> Result<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(identity.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_no_client_auth().with_single_cert(vec![identity.cert.der().clone()], key)?)
}

async fn talk(address: SocketAddr, trusted: &[u8]) -> Result<()> {
    let start = async |name: &str| {
        let builder = Client::builder(name, format!("quic://localhost:{}", address.port()));
        builder.with_trusted_certificates(trusted).start().await
    };
    let (alice, bob) = (start("acme/agents/alice").await?, start("acme/agents/bob").await?);
    bob.wait_until_addable().await?;
    let room = alice.create_channel("acme/team/room").await?;
    room.add("acme/agents/bob").await?;
    let mut heard = bob.join_channel("acme/team/room").await?.events();
    room.send("hello over QUIC").await?;
    loop {
        if let Event::Message(message) = heard.next().await.context("the channel was closed")?? {
            println!("bob hears {}: {}", message.sender, message.text());
            ensure!(message.text() == "hello over QUIC");
            break;
        }
    }
    alice.close().await;
    bob.close().await;
    Ok(())
}

#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn two_agents_talk_on_the_hosts_endpoint() {
    run().await.expect("they talk");
}
