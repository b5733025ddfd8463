//! A host's own identities: its sessions instead of Skytale's tokens, and a tower layer of its own in front.
//!
//! `cargo run -p custom-auth` lets two users talk, keeps a third one out, and ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context, Result, ensure};
use skytale_client::{Client, Credentials, Error, Event};
use skytale_core::claims::{Grant, Permissions, Principal};
use skytale_relay::grpc::{Listener, Server};
use skytale_relay::{AuthError, AuthenticateLayer, Authenticator, Connect, Credentials as Presented, Relay};
use skytale_store::MemoryStore;
use tokio::net::TcpListener;
use tower::{Layer, Service};

/// Who is logged in, by the secret of the session: the host's own table.
#[derive(Clone, Default)]
struct Sessions(Arc<HashMap<&'static str, User>>);

/// A user, and the team whose channels it may use.
struct User {
    name: &'static str,
    team: &'static str,
}

impl Authenticator for Sessions {
    async fn authenticate(&self, credentials: &Presented) -> Result<Principal, AuthError> {
        let secret = credentials.bearer.as_ref().ok_or(AuthError::Missing)?;
        let user = self.0.get(secret.expose()).ok_or(AuthError::Invalid("nobody is logged in with it"))?;
        let channels = format!("{}/**", user.team).parse().map_err(|_| AuthError::Unavailable)?;
        Ok(Principal::new(user.name, Permissions::Only([Grant::everything_on(channels)].into())))
    }
}

/// The host's own layer: it counts who knocks, before anybody looks at credentials.
#[derive(Clone)]
struct Counted<S> {
    inner: S,
    knocks: Arc<AtomicU64>,
}

impl<S: Service<Connect<Presented>>> Service<Connect<Presented>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, connect: Connect<Presented>) -> S::Future {
        self.knocks.fetch_add(1, Ordering::Relaxed);
        self.inner.call(connect)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    run().await
}

async fn run() -> Result<()> {
    let users = [
        ("cookie-of-alice", User { name: "alice", team: "acme" }),
        ("cookie-of-bob", User { name: "bob", team: "acme" }),
        ("cookie-of-eve", User { name: "eve", team: "evil" }),
    ];
    let (sessions, knocks) = (Sessions(Arc::new(users.into())), Arc::new(AtomicU64::new(0)));
    let store = Arc::new(MemoryStore::new());
    let relay = Relay::new(store.clone()).with_directory(store);
    let drain = relay.drain();
    let inner = AuthenticateLayer::new(sessions).layer(relay);
    let service = Counted { inner, knocks: knocks.clone() };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = Server::new(service, drain).serve(Listener::new(listener), std::future::pending());
    tokio::spawn(serving);
    talk(address).await?;
    println!("{} streams were asked for", knocks.load(Ordering::Relaxed));
    ensure!(knocks.load(Ordering::Relaxed) > 0);
    Ok(())
}

async fn talk(address: SocketAddr) -> Result<()> {
    let start = async |name: &str, cookie: &str| {
        let builder = Client::builder(name, format!("grpc://{address}"));
        builder.with_credentials(Credentials::token(cookie)).start().await
    };
    let alice = start("acme/agents/alice", "cookie-of-alice").await?;
    let bob = start("acme/agents/bob", "cookie-of-bob").await?;
    let eve = start("evil/agents/eve", "cookie-of-eve").await?;
    bob.wait_until_addable().await?;
    let room = alice.create_channel("acme/team/room").await?;
    room.add("acme/agents/bob").await?;
    let mut heard = bob.join_channel("acme/team/room").await?.events();
    room.send("only for acme").await?;
    loop {
        if let Event::Message(message) = heard.next().await.context("the channel was closed")?? {
            println!("bob hears {}: {}", message.sender, message.text());
            break;
        }
    }
    let refused = eve.create_channel("acme/team/other").await;
    println!("eve is told: {}", refused.as_ref().map_or_else(ToString::to_string, |_| "welcome".to_owned()));
    ensure!(matches!(refused, Err(Error::NotAuthorized { .. } | Error::ChannelExists { .. })), "{refused:?}");
    for client in [alice, bob, eve] {
        client.close().await;
    }
    Ok(())
}

#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_sessions_are_identities() {
    run().await.expect("they talk");
}
