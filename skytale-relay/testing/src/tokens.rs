//! Tokens that a relay checks, and an API server that gives them for a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use jsonwebtoken::{EncodingKey, Header, encode};
use skytale_core::Claims;
use skytale_relay::JwtAuthenticator;

use crate::edge::Edge;

/// The secret that signs tokens.
pub const SECRET: &[u8] = b"a secret of at least 32 bytes, for tests";
/// The API key that the API server takes.
pub const KEY: &str = "sk_live_right";

/// Makes a token of a lifetime in seconds.
pub fn token(seconds: u64) -> String {
    signed(claims(now(), seconds))
}

/// Makes claims that were issued at a time, in seconds since 1970.
pub fn claims(issued: u64, seconds: u64) -> Claims {
    Claims::new("acme", issued, issued + seconds)
}

/// Signs claims.
pub fn signed(claims: Claims) -> String {
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("encodes")
}

/// Returns the seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Starts a relay that takes tokens, without leeway.
pub async fn relay() -> Edge {
    let authenticator = JwtAuthenticator::new(SECRET).expect("long enough");
    Edge::with(authenticator.with_leeway(Duration::ZERO)).await
}

/// Starts an API server that keeps the published contract, `POST /v1/tokens` with an empty body; returns its address and how
/// often it was asked.
pub async fn api(seconds: u64) -> (String, Arc<AtomicU32>) {
    let exchanges = Arc::new(AtomicU32::new(0));
    let exchange = move |State(count): State<Arc<AtomicU32>>, headers: HeaderMap, body: String| async move {
        let problem = |text: &str| Json(serde_json::json!({ "error": text, "code": "unauthorized" }));
        let key = headers.get("authorization").and_then(|value| value.to_str().ok());
        if key.and_then(|key| key.strip_prefix("Bearer ")) != Some(KEY) || !body.is_empty() {
            return (StatusCode::UNAUTHORIZED, problem("unknown key"));
        }
        count.fetch_add(1, Ordering::SeqCst);
        (StatusCode::OK, Json(serde_json::json!({ "token": token(seconds) })))
    };
    let router = Router::new().route("/v1/tokens", post(exchange)).with_state(exchanges.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, exchanges)
}
