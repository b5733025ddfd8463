//! The program with its API, and accounts that use it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A server on free ports.
pub struct Service {
    child: Child,
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
        let mut child = Command::new(env!("CARGO_BIN_EXE_skytale-server"))
            .current_dir(directory)
            // It refuses settings that it does not know.
            .env_remove("SKYTALE_KILLS")
            .args(["--grpc-listen-addr", "127.0.0.1:0", "--health-listen-addr", "127.0.0.1:0"])
            .args(["--quic-listen-addr", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut address = |what: &str| {
            let line = lines.find(|line| line.contains(what)).expect("it listens");
            line.split_whitespace().nth(3).expect("an address").parse().expect("an address")
        };
        let (grpc, http) = (address("grpc listening on"), address("http listening on"));
        Self { child, grpc, http }
    }

    /// Ends it as a power failure would.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
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

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
