//! The program with its API, and accounts that use it.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::Process;

/// A server on free ports.
pub struct Service {
    process: Process,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// An account, by its first key.
#[derive(Clone)]
pub struct Account {
    pub key: String,
}

impl Service {
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let process = Process::start(directory, arguments);
        Self { grpc: process.grpc, http: process.http, process }
    }

    /// Ends it as a power failure would.
    pub fn kill(mut self) {
        self.process.kill();
    }

    pub async fn ask(&self, method: &str, path: &str, credential: &str, body: Option<Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = reqwest::Client::new().request(method, format!("http://{}{path}", self.http));
        let request = request.bearer_auth(credential);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    pub async fn post(&self, path: &str, credential: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", path, credential, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    pub async fn sign_up(&self, name: &str) -> Account {
        let email = json!({ "email": format!("{name}@example.org") });
        let created = self.post("/v1/accounts", "", email).await;
        Account { key: text(&created["api_key"]) }
    }

    pub async fn token(&self, credential: &str) -> String {
        let (status, answer) = self.ask("POST", "/v1/tokens", credential, None).await;
        assert_eq!(status, 200, "{answer}");
        text(&answer["token"])
    }

    pub async fn messages_of(&self, account: &Account) -> u64 {
        let (_, usage) = self.ask("GET", "/v1/usage", &account.key, None).await;
        usage["messages_relayed"].as_u64().expect("a number")
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
