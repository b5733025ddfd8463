//! What an agent shows the relay: a token, which it gets for its API key and renews in time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use futures::future::BoxFuture;
use rand::RngExt;
use serde::Deserialize;
use skytale_core::ChannelName;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::api::Api;
use crate::error::{Error, Result};

/// What an agent shows the relay.
#[derive(Clone)]
pub struct Credentials(Kind);

#[derive(Clone)]
enum Kind {
    None,
    Token(Zeroizing<String>),
    ApiKey { api: String, key: Zeroizing<String> },
    Provider(Provider),
}

type Provider = Arc<dyn Fn() -> BoxFuture<'static, Result<String>> + Send + Sync>;

impl Credentials {
    /// Shows nothing, to a relay that lets everybody in.
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// Shows a token. When it expires, the agent is told ([`Event::Unauthorized`](crate::Event::Unauthorized)).
    pub fn token(token: impl Into<String>) -> Self {
        Self(Kind::Token(Zeroizing::new(token.into())))
    }

    /// Exchanges an API key (`sk_live_...`) for tokens at an API server like `https://api.example.org`, each before the
    /// last one expires.
    pub fn api_key(api: impl Into<String>, key: impl Into<String>) -> Self {
        Self(Kind::ApiKey { api: api.into(), key: Zeroizing::new(key.into()) })
    }

    /// Asks the host for tokens.
    pub fn provider<F>(provide: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String>> + Send + 'static,
    {
        Self(Kind::Provider(Arc::new(move || Box::pin(provide()))))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::None => "Credentials::None",
            Kind::Token(_) => "Credentials::Token(..)",
            Kind::ApiKey { .. } => "Credentials::ApiKey(..)",
            Kind::Provider(_) => "Credentials::Provider(..)",
        })
    }
}

/// Gets tokens, and keeps the last one while it is fresh. Clones share it.
#[derive(Clone)]
pub(crate) struct Tokens {
    credentials: Credentials,
    agent: ChannelName,
    api: Option<Api>,
    registered: Arc<AtomicBool>,
    last: Arc<Mutex<Option<Token>>>,
}

/// A token, and when it is to be renewed.
#[derive(Clone)]
pub(crate) struct Token {
    pub text: Zeroizing<String>,
    /// Some time before it expires; `None` for one that does not, or that cannot be renewed.
    pub renew_at: Option<SystemTime>,
}

/// The part of a token's life after which it is renewed: anything between the two, so that agents don't come together.
const RENEW_AFTER: std::ops::Range<f64> = 0.70..0.80;

impl Tokens {
    pub fn new(credentials: Credentials, agent: &ChannelName) -> Result<Self> {
        let api = match &credentials.0 {
            Kind::ApiKey { api, key } => Some(Api::new(api, key.clone())?),
            _ => None,
        };
        let (agent, registered) = (agent.clone(), Arc::default());
        Ok(Self { credentials, agent, api, registered, last: Arc::default() })
    }

    /// Returns the API server.
    pub fn api(&self) -> Result<Api> {
        self.api.clone().ok_or_else(Error::needs_api_key)
    }

    /// Returns a token that is fresh.
    pub async fn fresh(&self) -> Result<Option<Token>> {
        let mut last = self.last.lock().await;
        let now = SystemTime::now();
        if let Some(token) = last.as_ref()
            && token.renew_at.is_none_or(|at| now < at)
        {
            return Ok(Some(token.clone()));
        }
        let Some(text) = self.get().await? else { return Ok(None) };
        let renewable = !matches!(self.credentials.0, Kind::Token(_));
        let renew_at = expiry(&text).filter(|_| renewable).map(|expiry| {
            let left = expiry.duration_since(now).unwrap_or_default();
            now + left.mul_f64(rand::rng().random_range(RENEW_AFTER))
        });
        let token = Token { text, renew_at };
        *last = Some(token.clone());
        Ok(Some(token))
    }

    /// Forgets a token that was refused.
    pub async fn forget(&self) {
        *self.last.lock().await = None;
    }

    async fn get(&self) -> Result<Option<Zeroizing<String>>> {
        match &self.credentials.0 {
            Kind::None => Ok(None),
            Kind::Token(token) => Ok(Some(token.clone())),
            Kind::Provider(provide) => Ok(Some(Zeroizing::new(provide().await?))),
            Kind::ApiKey { .. } => self.exchange(&self.api()?).await.map(Some),
        }
    }

    /// Exchanges the API key, and the first time registers the agent's name, which the relay keeps to the account.
    async fn exchange(&self, api: &Api) -> Result<Zeroizing<String>> {
        let token = api.token().await?;
        if !self.registered.load(Ordering::Relaxed) {
            api.register(&self.agent).await?;
            self.registered.store(true, Ordering::Relaxed);
        }
        Ok(token)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokens").field(&self.credentials).finish()
    }
}

/// Reads when a JWT expires; it is the relay that checks it.
fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Expiry {
        exp: u64,
    }
    let claims = token.split('.').nth(1)?;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
    let Expiry { exp } = serde_json::from_slice(&claims).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(exp))
}
