//! An API server that gives tokens for a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};

use crate::TestClock;

/// The API key that the server takes.
pub const KEY: &str = "sk_live_right";

/// An API server that keeps the published contract of `POST /v1/tokens`, with an empty body.
pub struct TokenApi {
    /// Its address, as agents are given it.
    pub address: String,
    exchanges: Arc<AtomicU32>,
}

impl TokenApi {
    /// Starts a server whose tokens live for so many seconds of a clock.
    pub async fn start(clock: &TestClock, seconds: u64) -> Self {
        let clock = clock.clone();
        let exchanges = Arc::new(AtomicU32::new(0));
        let exchange = async move |State(count): State<Arc<AtomicU32>>, headers: HeaderMap, body: String| {
            let key = headers.get("authorization").and_then(|value| value.to_str().ok());
            if key.and_then(|key| key.strip_prefix("Bearer ")) != Some(KEY) || !body.is_empty() {
                let problem = serde_json::json!({ "error": "unknown key", "code": "unauthorized" });
                return (StatusCode::UNAUTHORIZED, Json(problem));
            }
            count.fetch_add(1, Ordering::SeqCst);
            (StatusCode::OK, Json(serde_json::json!({ "token": clock.token("acme", seconds) })))
        };
        let router = Router::new().route("/v1/tokens", post(exchange)).with_state(exchanges.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, exchanges }
    }

    /// Returns how many tokens it has given.
    pub fn exchanges(&self) -> u32 {
        self.exchanges.load(Ordering::SeqCst)
    }
}
