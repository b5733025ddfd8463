//! The HTTP API, as far as an agent needs it: names, invites, requests to join.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use skytale_core::ChannelName;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// An API server, asked with an API key. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Api {
    address: String,
    key: Zeroizing<String>,
    http: reqwest::Client,
}

/// Somebody who asks to join a channel.
#[derive(Debug)]
pub(crate) struct Request {
    pub id: String,
    pub agent: String,
    pub key_package: Vec<u8>,
}

/// How long an answer may take, beside what is waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many seconds the server waits for somebody who asks to join.
const WAIT: u64 = 30;

impl Api {
    pub fn new(address: &str, key: Zeroizing<String>) -> Result<Self> {
        let http = reqwest::Client::builder().build();
        let http = http.map_err(|error| Error::configuration(error.to_string()))?;
        Ok(Self { address: address.trim_end_matches('/').to_owned(), key, http })
    }

    /// Exchanges the key for a token.
    pub async fn token(&self) -> Result<Zeroizing<String>> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
        }
        // The body is empty, and has no content type.
        let request = self.request(Method::POST, "/v1/tokens");
        Ok(Zeroizing::new(self.answer::<Answer>(request).await?.token))
    }

    /// Registers a name for the account, which may have it already.
    ///
    /// An API server that has no directory does not keep names to accounts.
    pub async fn register(&self, name: &ChannelName) -> Result<()> {
        let request = self.request(Method::POST, "/v1/channels").json(&json!({ "name": name.to_string() }));
        match self.answer::<Value>(request).await {
            Ok(_) | Err(Error::ApiRefused { status: 404 | 405, .. }) => Ok(()),
            Err(Error::ApiRefused { reason, .. }) => Err(Error::NotAuthorized { reason }),
            Err(error) => Err(error),
        }
    }

    /// Makes an invite, and returns its token.
    pub async fn invite(&self, channel: &ChannelName, uses: u32, life: Duration) -> Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
        }
        let body =
            json!({ "channel": channel.to_string(), "max_uses": uses, "ttl_seconds": life.as_secs().max(1) });
        let request = self.request(Method::POST, "/v1/channels/invites").json(&body);
        Ok(self.answer::<Answer>(request).await?.token)
    }

    /// Asks to join a channel.
    pub async fn join(
        &self,
        channel: &ChannelName,
        token: &str,
        agent: &str,
        key_package: &[u8],
    ) -> Result<()> {
        let key_package = STANDARD.encode(key_package);
        let body = json!({
            "channel": channel.to_string(), "token": token, "identity": agent, "key_package": key_package,
        });
        let request = self.request(Method::POST, "/v1/channels/join").json(&body);
        self.answer::<Value>(request).await.map(drop)
    }

    /// Waits until somebody asks to join, or some time has passed; each request is told to one member at a time.
    pub async fn pending(&self, channel: &ChannelName, wait: Wait) -> Result<Vec<Request>> {
        #[derive(Deserialize)]
        struct Answer {
            requests: Vec<Asking>,
        }
        #[derive(Deserialize)]
        struct Asking {
            id: String,
            identity: String,
            key_package: String,
        }
        let seconds = if wait == Wait::ForSome { WAIT } else { 0 };
        let query = [("channel", channel.to_string()), ("wait", seconds.to_string())];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = self
            .request(Method::GET, &format!("/v1/channels/pending?{query}"))
            .timeout(PATIENCE + Duration::from_secs(seconds));
        let answer: Answer = self.answer(request).await?;
        let read = |asking: Asking| {
            let key_package = STANDARD.decode(asking.key_package).unwrap_or_default();
            Request { id: asking.id, agent: asking.identity, key_package }
        };
        Ok(answer.requests.into_iter().map(read).collect())
    }

    /// Says that the Welcome was left at the relay.
    pub async fn answered(&self, request: &str) -> Result<()> {
        let request =
            self.request(Method::POST, "/v1/channels/welcome").json(&json!({ "request_id": request }));
        self.answer::<Value>(request).await.map(drop)
    }

    /// Refuses a request.
    pub async fn refuse(&self, request: &str) -> Result<()> {
        let request = self.request(Method::DELETE, &format!("/v1/channels/requests/{request}"));
        self.sent(request).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address));
        request.bearer_auth(&*self.key).timeout(PATIENCE)
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        self.sent(request).await?.json().await.map_err(|error| self.unreachable(error))
    }

    async fn sent(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        #[derive(Deserialize)]
        struct Problem {
            error: Option<String>,
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Option<Problem> = answer.json().await.ok();
        let said = problem.and_then(|problem| problem.error).unwrap_or_default();
        let reason = format!("the API server at {} answered {status}: {said}", self.address);
        Err(match status {
            StatusCode::UNAUTHORIZED => {
                Error::NotAuthorized { reason: format!("{reason}; check the API key") }
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => self.down(reason),
            status if status.is_server_error() => self.down(reason),
            status => Error::ApiRefused { status: status.as_u16(), reason },
        })
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        Error::Unreachable { relay: self.address.clone(), source: error.without_url().into() }
    }

    fn down(&self, reason: String) -> Error {
        Error::Unreachable { relay: self.address.clone(), source: reason.into() }
    }
}

/// How long to wait for somebody who asks to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Not,
    ForSome,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("address", &self.address).finish_non_exhaustive()
    }
}
