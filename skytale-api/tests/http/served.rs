//! An API on a real socket, and accounts that use it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use skytale_api::{Api, Rate, RateLimits, TokenIssuer};
use skytale_store::MemoryStore;
use skytale_testing::tokens::SECRET;

pub const PEPPER: &[u8] = b"another secret of 32 bytes and more";

/// How long tokens are valid by default.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// An API that is served.
#[derive(Clone)]
pub struct Served {
    pub address: SocketAddr,
    pub store: Arc<MemoryStore>,
    http: reqwest::Client,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

/// An account, by its first key.
#[derive(Clone)]
pub struct Account {
    pub id: String,
    pub key: String,
}

/// Rates at which tests do not wait.
pub fn generous() -> RateLimits {
    let plenty = Rate::new(1_000_000, 1_000_000, Duration::from_secs(1));
    RateLimits::default().with_per_key(plenty).with_per_stranger(plenty).with_sign_ups(plenty)
}

impl Served {
    pub async fn start() -> Self {
        Self::with(|api| api.with_rate_limits(generous())).await
    }

    pub async fn with(configure: impl FnOnce(Api) -> Api) -> Self {
        Self::signed_by(TokenIssuer::hs256(SECRET).expect("long enough"), configure).await
    }

    pub async fn signed_by(issuer: TokenIssuer, configure: impl FnOnce(Api) -> Api) -> Self {
        let store = Arc::new(MemoryStore::new());
        let api = configure(Api::new(store.clone(), issuer, PEPPER).expect("long enough"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("an address");
        let service = api.into_router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { address, store, http: reqwest::Client::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.expect("a body");
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    pub async fn ask(&self, method: Method, path: &str, credential: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path).bearer_auth(credential);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.send(request).await
    }

    pub async fn get(&self, path: &str, credential: &str) -> Answer {
        self.ask(Method::GET, path, credential, None).await
    }

    pub async fn post(&self, path: &str, credential: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, credential, Some(body)).await
    }

    pub async fn delete(&self, path: &str, credential: &str) -> Answer {
        self.ask(Method::DELETE, path, credential, None).await
    }

    pub async fn sign_up(&self, email: &str) -> Account {
        let created =
            self.send(self.request(Method::POST, "/v1/accounts").json(&json!({ "email": email }))).await;
        assert_eq!(created.status, 200, "{created:?}");
        Account { id: created.text("/account/id"), key: created.text("/api_key") }
    }

    pub async fn token(&self, credential: &str) -> String {
        self.ask(Method::POST, "/v1/tokens", credential, None).await.text("/token")
    }

    /// Registers a channel and lets others in.
    pub async fn room(&self, name: &str, owner: &Account, members: &[&Account]) {
        let registered = self.post("/v1/channels", &owner.key, json!({ "name": name })).await;
        assert_eq!(registered.status, 200, "{registered:?}");
        for member in members {
            self.asks_to_join(name, owner, member, &format!("x/agents/{}", member.id)).await;
        }
    }

    /// Asks to join by a fresh invite; returns the request's id.
    pub async fn asks_to_join(&self, room: &str, owner: &Account, member: &Account, agent: &str) -> String {
        let invite = self.post("/v1/channels/invites", &owner.key, json!({ "channel": room })).await;
        let body = json!({
            "channel": room, "token": invite.text("/token"), "identity": agent, "key_package": key_package(agent),
        });
        let asked = self.post("/v1/channels/join", &member.key, body).await;
        assert_eq!(asked.status, 200, "{asked:?}");
        asked.text("/request_id")
    }
}

impl Answer {
    /// Returns a text of the body, by its JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no {pointer} in {self:?}")).to_owned()
    }

    /// Checks that it is a problem with a code.
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!((self.text("/code"), self.text("/error")), (code.to_owned(), self.text("/detail")));
        assert_eq!(self.body["status"], status);
        assert!(!self.text("/title").is_empty() && !self.text("/type").is_empty());
    }
}

/// Makes a key package of an agent, in base64.
pub fn key_package(agent: &str) -> String {
    STANDARD.encode(skytale_testing::key_package(agent))
}
