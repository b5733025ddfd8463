//! What an agent shows the relay: a token, which it gets for its API key and renews in time.

pub(crate) mod http_api;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::RngExt;
use serde::Deserialize;
use skytale_core::{ChannelName, Clock, clock};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::crash;
use crate::error::{Error, Result};
use http_api::Api;

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

    /// Shows a token. When it expires, the agent is told ([`Event::TokenRefused`](crate::event::Event::TokenRefused)).
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
    clock: Arc<dyn Clock>,
}

/// A token, and when it is to be renewed.
#[derive(Clone)]
pub(crate) struct Token {
    pub text: Zeroizing<String>,
    /// Some time before it expires; `None` for one that does not, or that cannot be renewed.
    pub renew_at: Option<Instant>,
    /// Until when it may serve where no other can be got.
    expires: Option<Instant>,
    /// Whether it was just got, and was shown to nobody.
    pub is_new: bool,
}

/// The part of a token's life after which it is renewed: anything between the two, so that agents don't come together.
const RENEW_AFTER: std::ops::Range<f64> = 0.70..0.80;

/// How long a token is waited for, and how long until it is asked for again.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(5);

impl Token {
    /// Returns the last token where it serves although no other could be got: all who share it ask again later.
    fn that_serves(last: &mut Option<Self>, now: Instant, error: Error) -> Result<Self> {
        match last.as_mut().filter(|token| token.expires.is_some_and(|at| now < at)) {
            Some(token) if !matches!(error, Error::NotAuthorized { .. }) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no fresh token: the last one serves on"
                );
                token.renew_at = Some(now + RETRY);
                Ok(Self { is_new: false, ..token.clone() })
            }
            _ => Err(error),
        }
    }
}

impl Tokens {
    pub fn new(credentials: Credentials, agent: &ChannelName, clock: Arc<dyn Clock>) -> Result<Self> {
        let api = match &credentials.0 {
            Kind::ApiKey { api, key } => Some(Api::new(api, key.clone())?),
            _ => None,
        };
        let (agent, registered) = (agent.clone(), Arc::default());
        Ok(Self { credentials, agent, api, registered, last: Arc::default(), clock })
    }

    /// Returns the API server.
    pub fn api(&self) -> Result<Api> {
        self.api.clone().ok_or_else(Error::needs_api_key)
    }

    /// Returns a fresh token once the last one is to be renewed.
    pub fn renewal(&self, at: Option<Instant>) -> BoxFuture<'static, Result<Option<Token>>> {
        let tokens = self.clone();
        let renewal = async move {
            match at {
                Some(at) => {
                    let left = at.saturating_duration_since(tokens.clock.instant());
                    clock::sleep(&*tokens.clock, left, tokio::time::sleep).await;
                }
                None => std::future::pending().await,
            }
            tokens.fresh().await
        };
        renewal.boxed()
    }

    /// Returns a token that is fresh; the last one, as long as it serves, where none can be got.
    pub async fn fresh(&self) -> Result<Option<Token>> {
        let mut last = self.last.lock().await;
        if let Some(token) = last.as_ref()
            && token.renew_at.is_none_or(|at| self.clock.instant() < at)
        {
            return Ok(Some(Token { is_new: false, ..token.clone() }));
        }
        let got = tokio::time::timeout(PATIENCE, self.get()).await;
        let text = match got.unwrap_or_else(|_| Err(Error::no_token("no answer"))) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(error) => return Token::that_serves(&mut last, self.clock.instant(), error).map(Some),
        };
        crash::point("after-exchange");
        let renewable = !matches!(self.credentials.0, Kind::Token(_));
        let left = Life::of(&text).filter(|_| renewable).map(|life| life.left(self.clock.now()));
        let now = self.clock.instant();
        let renew_at = left.map(|left| now + left.mul_f64(rand::rng().random_range(RENEW_AFTER)));
        let token = Token { text, renew_at, expires: left.map(|left| now + left), is_new: true };
        *last = Some(token.clone());
        Ok(Some(token))
    }

    /// Returns the clock of the agent.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns when a token is asked for again that could not be got.
    pub fn retry_at(&self) -> Instant {
        self.clock.instant() + RETRY
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

/// When a JWT was issued and when it expires, in seconds since 1970; it is the relay that checks it.
#[derive(Debug, Deserialize)]
struct Life {
    iat: Option<u64>,
    exp: u64,
}

/// How much of a token is left at least: a part of its life, and a time. And at most.
const SHORTEST_PART: u64 = 10;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Life {
    fn of(token: &str) -> Option<Self> {
        let claims = token.split('.').nth(1)?;
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).ok()?;
        serde_json::from_slice(&claims).ok()
    }

    /// Returns how much of it is left. This clock may be wrong: a token whose time is not now is taken for a new one, and
    /// one that seems to end at once is not renewed all the time.
    fn left(&self, now: SystemTime) -> Duration {
        let now = clock::seconds(now);
        let whole = self.iat.map_or(0, |issued| self.exp.saturating_sub(issued));
        let left = match self.exp.checked_sub(now.max(self.iat.unwrap_or(0))) {
            Some(left) => left.max(whole / SHORTEST_PART),
            None => whole,
        };
        Duration::from_secs(left).clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::UNIX_EPOCH;

    use skytale_testing::TestClock;

    use super::*;

    /// A token that lasts a thousand seconds.
    fn token(clock: &TestClock) -> String {
        let now = clock.seconds();
        let claims = format!(r#"{{"iat":{now},"exp":{}}}"#, now + 1_000);
        format!("e30.{}.s", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_serves_until_it_expires_where_no_other_can_be_got() {
        let (asked, clock) = (Arc::new(AtomicU32::new(0)), TestClock::default());
        let provide = {
            let (asked, clock) = (asked.clone(), clock.clone());
            move || {
                let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
                let token = token(&clock);
                async move { if first { Ok(token) } else { std::future::pending().await } }
            }
        };
        let agent = ChannelName::from_strings(["acme", "agents", "alice"]);
        let tokens = Tokens::new(Credentials::provider(provide), &agent, clock.shared()).expect("made");
        let first = tokens.fresh().await.expect("got").expect("a token");
        let renewal = tokens.renewal(first.renew_at);
        clock.advance(Duration::from_secs(800));
        let again = renewal.await.expect("it serves").expect("a token");
        assert_eq!((again.text.as_str(), again.is_new), (first.text.as_str(), false));
        assert!(again.renew_at.is_some_and(|at| at <= clock.instant() + RETRY));
        tokens.fresh().await.expect("nobody waits for the same again").expect("a token");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        clock.advance(Duration::from_secs(1_000));
        assert!(matches!(tokens.fresh().await, Err(Error::Unreachable { .. })), "it has expired");
    }

    #[test]
    fn a_wrong_clock_neither_hurries_nor_forgets_a_token() {
        let life = Life { iat: Some(1_000_000), exp: 1_000_900 };
        let left = |now| life.left(UNIX_EPOCH + Duration::from_secs(now)).as_secs();
        assert_eq!((left(1_000_000), left(1_000_600)), (900, 300));
        assert_eq!(left(1_000_000 - 86_400), 900, "a clock that is behind");
        assert_eq!(left(1_000_000 + 86_400), 900, "a clock that is ahead");
        assert_eq!(left(1_000_899), 90, "a clock that is ahead, or a token that was kept");
    }

    #[test]
    fn a_token_that_says_little_is_renewed_no_more_than_once_a_second() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(Life { iat: None, exp: 1_000_900 }.left(now), Duration::from_secs(900));
        assert_eq!(Life { iat: None, exp: 999_000 }.left(now), SHORTEST);
        assert_eq!(Life { iat: Some(u64::MAX), exp: 0 }.left(now), SHORTEST);
        assert_eq!(Life { iat: Some(0), exp: u64::MAX }.left(now), LONGEST);
        assert!(Life::of("no.token.atall").is_none());
    }
}
