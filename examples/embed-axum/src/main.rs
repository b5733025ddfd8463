//! Relay and API inside a service that exists already: its axum app, its port, its middleware.
//!
//! `cargo run -p embed-axum` serves it, lets two agents of two accounts talk through it, and ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use serde_json::{Value, json};
use skytale_api::{Api, TokenIssuer};
use skytale_client::{Client, Credentials, Event};
use skytale_core::{ChannelName, FrameLimits};
use skytale_relay::{
    AccountAuthorizer, AuthenticateLayer, JwtAuthenticator, PlanLimits, Relay, Revocations, grpc,
};
use skytale_store::{SqlOptions, SqlStore};
use tokio::net::TcpListener;
use tower::Layer;

/// A real host reads these from where it keeps its secrets.
const TOKEN_SECRET: &[u8] = b"what relay and API sign and check tokens with";
const KEY_PEPPER: &[u8] = b"what the API keeps digests of its keys under";

#[tokio::main]
async fn main() -> Result<()> {
    run().await
}

async fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = SqlStore::open_sqlite(directory.path().join("host.db"), SqlOptions::default()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = app(Arc::new(store)).await?.into_make_service_with_connect_info::<SocketAddr>();
    // Small messages go out at once.
    let listener = listener.tap_io(|tcp| drop(tcp.set_nodelay(true)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    println!("the host serves its page, the API and the relay on {address}");
    talk(address).await
}

/// The host's app, with Skytale in it.
async fn app(store: Arc<SqlStore>) -> Result<Router> {
    let api = Api::new(store.clone(), TokenIssuer::hs256(TOKEN_SECRET)?, KEY_PEPPER)?;
    let (revocations, mut plans) = (Revocations::new(), PlanLimits::new(store.clone()));
    for (plan, messages) in api.plans() {
        if let Some(messages) = messages {
            plans = plans.with_plan(plan, messages);
        }
    }
    // What the API revokes ends sessions here.
    tokio::spawn(revocations.clone().follow(store.clone(), Duration::from_secs(1)));
    let relay = Relay::new(store.clone())
        .with_directory(store.clone())
        .with_key_package_validator(|key_package: &[u8], agent: &ChannelName| {
            skytale_api::check_key_package(key_package, &agent.to_string()).map_err(|why| why.to_string())
        })
        .with_authorizer(AccountAuthorizer::new(store))
        .with_revocations(revocations)
        .with_plan_limits(plans);
    let service = AuthenticateLayer::new(JwtAuthenticator::new(TOKEN_SECRET)?).layer(relay);
    let (grpc, _health) = grpc::routes(service, FrameLimits::default().frame_bytes).await;
    Ok(Router::new()
        .route("/", get(async || "the host's own page"))
        .nest("/skytale", api.into_router())
        .merge(grpc.into_axum_router())
        .layer(middleware::from_fn(sign)))
}

/// The host's own middleware, around all of it.
async fn sign(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-served-by", HeaderValue::from_static("the host"));
    response
}

/// Two accounts, an invite, a message.
async fn talk(address: SocketAddr) -> Result<()> {
    let alice = agent(address, "acme/agents/alice").await?;
    let bob = agent(address, "globex/agents/bob").await?;
    let room = alice.create_channel("acme/team/room").await?;
    let invite = room.invite(1, Duration::from_secs(60)).await?;
    let mut heard = bob.join("acme/team/room", &invite).await?.events();
    let sequence = room.send("hello from alice").await?;
    let message = loop {
        match heard.next().await.context("the channel was closed")?? {
            Event::Message(message) => break message,
            event => println!("bob learns: {event:?}"),
        }
    };
    println!("bob hears {} as number {}: {}", message.sender, message.sequence, message.text());
    ensure!(message.sequence == sequence && message.text() == "hello from alice");
    let page = reqwest::get(format!("http://{address}/")).await?;
    ensure!(page.headers()["x-served-by"] == "the host" && page.text().await? == "the host's own page");
    alice.close().await;
    bob.close().await;
    Ok(())
}

/// Makes an account, and an agent that uses its key.
async fn agent(address: SocketAddr, name: &str) -> Result<Client> {
    let api = format!("http://{address}/skytale");
    let account = json!({ "email": format!("{}@example.org", name.replace('/', ".")) });
    let created = reqwest::Client::new().post(format!("{api}/v1/accounts")).json(&account).send().await?;
    ensure!(created.headers()["x-served-by"] == "the host", "the host's middleware is around the API");
    let created: Value = created.error_for_status()?.json().await?;
    let key = created["api_key"].as_str().context("a key")?;
    let builder = Client::builder(name, format!("grpc://{address}"));
    Ok(builder.with_credentials(Credentials::api_key(api, key)).start().await?)
}

#[cfg(test)]
#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_talk_through_the_host() {
    run().await.expect("they talk");
}
