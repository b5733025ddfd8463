//! The API, before it is a router.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use skytale_core::{Clock, SystemClock};
use skytale_store::{Accounts, AgentRegistry, ChannelRegistry, KeyPackageDirectory, Store, Usage};
use thiserror::Error;
use tokio::sync::Notify;
use tower_http::cors::CorsLayer;
use zeroize::Zeroizing;

use crate::limiter::{Limiter, Rate};
use crate::router;
use crate::token_issuer::TokenIssuer;

/// The HTTP API over a store: made with [`new`](Api::new), set with `with_*`, and nested as a router.
pub struct Api {
    pub(crate) state: State,
    pub(crate) cors: Option<CorsLayer>,
    pub(crate) body_bytes: usize,
    rates: RateLimits,
}

/// What all requests share.
#[derive(Clone)]
pub(crate) struct State(pub Arc<Inner>);

pub(crate) struct Inner {
    pub accounts: Arc<dyn Accounts>,
    pub agents: Arc<dyn AgentRegistry>,
    pub channels: Arc<dyn ChannelRegistry>,
    pub directory: Arc<dyn KeyPackageDirectory>,
    pub usage: Arc<dyn Usage>,
    pub issuer: TokenIssuer,
    pub pepper: Zeroizing<Vec<u8>>,
    pub plans: BTreeMap<String, Option<u64>>,
    pub limits: Limiters,
    pub clock: Arc<dyn Clock>,
    /// Told when somebody asks to join, or is answered.
    pub joins: Notify,
}

/// How often callers may ask. A caller that asks too often is told when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Requests with one API key, or its tokens. Default: 200 at once, 100 a second.
    pub per_key: Rate,
    /// Requests with credentials that are not valid, from one address. Default: 50 at once, 10 a second.
    pub per_stranger: Rate,
    /// New accounts from one address. Default: 20 at once, 10 a minute.
    pub sign_ups: Rate,
    /// Key packages of one agent that are given to one account. Default: 10 at once, 10 a minute.
    pub claims_per_account: Rate,
    /// Key packages of one agent that are given to anybody. Default: 100 at once, 100 an hour.
    pub claims_per_agent: Rate,
}

impl Default for RateLimits {
    fn default() -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            per_key: Rate::new(200, 100, SECOND),
            per_stranger: Rate::new(50, 10, SECOND),
            sign_ups: Rate::new(20, 10, MINUTE),
            claims_per_account: Rate::new(10, 10, MINUTE),
            claims_per_agent: Rate::new(100, 100, 60 * MINUTE),
        }
    }
}

impl RateLimits {
    /// Sets how often new accounts may be made from one address.
    pub fn with_sign_ups(mut self, rate: Rate) -> Self {
        self.sign_ups = rate;
        self
    }

    /// Sets how often one key may be used.
    pub fn with_per_key(mut self, rate: Rate) -> Self {
        self.per_key = rate;
        self
    }

    /// Sets how often credentials that are not valid may come from one address.
    pub fn with_per_stranger(mut self, rate: Rate) -> Self {
        self.per_stranger = rate;
        self
    }
}

/// Who has asked how often.
pub(crate) struct Limiters {
    pub per_key: Limiter<String>,
    pub per_stranger: Limiter<Option<IpAddr>>,
    pub sign_ups: Limiter<Option<IpAddr>>,
    pub claims_per_account: Limiter<(String, [u64; 3])>,
    pub claims_per_agent: Limiter<[u64; 3]>,
}

impl Limiters {
    fn new(rates: RateLimits) -> Self {
        Self {
            per_key: Limiter::new(rates.per_key),
            per_stranger: Limiter::new(rates.per_stranger),
            sign_ups: Limiter::new(rates.sign_ups),
            claims_per_account: Limiter::new(rates.claims_per_account),
            claims_per_agent: Limiter::new(rates.claims_per_agent),
        }
    }
}

/// The shortest pepper, in bytes.
const MIN_PEPPER: usize = 32;

/// The longest body of a request, in bytes. Default: 2 MiB, which a Welcome to a large group takes.
const BODY_BYTES: usize = 2 * 1024 * 1024;

/// Why an API cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The pepper is too short to withstand guessing.
    #[error("the pepper of API keys has {bytes} bytes; at least {MIN_PEPPER} random bytes are needed")]
    ShortPepper {
        /// The length found, in bytes.
        bytes: usize,
    },
}

impl Api {
    /// Makes an API over a store. Tokens are signed by `issuer`; keys are kept as digests under `pepper`, a secret of the
    /// servers over this store that never changes.
    ///
    /// # Errors
    ///
    /// [`ApiError::ShortPepper`] for a pepper of less than 32 bytes.
    pub fn new<S>(store: Arc<S>, issuer: TokenIssuer, pepper: &[u8]) -> Result<Self, ApiError>
    where
        S: Store + Accounts + AgentRegistry + ChannelRegistry + KeyPackageDirectory + Usage,
    {
        if pepper.len() < MIN_PEPPER {
            return Err(ApiError::ShortPepper { bytes: pepper.len() });
        }
        let rates = RateLimits::default();
        let inner = Inner {
            accounts: store.clone(),
            agents: store.clone(),
            channels: store.clone(),
            directory: store.clone(),
            usage: store,
            issuer,
            pepper: Zeroizing::new(pepper.to_vec()),
            plans: [("free", Some(100_000)), ("pro", Some(1_000_000)), ("enterprise", None)]
                .map(|(plan, limit)| (plan.to_owned(), limit))
                .into(),
            limits: Limiters::new(rates),
            clock: Arc::new(SystemClock),
            joins: Notify::new(),
        };
        Ok(Self { state: State(Arc::new(inner)), cors: None, body_bytes: BODY_BYTES, rates })
    }

    /// Sets what a plan allows in a month, in messages; `None` is whatever one likes. Default: `free` 100,000, `pro`
    /// 1,000,000, `enterprise` whatever. It is the relay that enforces it.
    pub fn with_plan(mut self, plan: impl Into<String>, messages: Option<u64>) -> Self {
        self.inner().plans.insert(plan.into(), messages);
        self
    }

    /// Sets how often callers may ask. Default: [`RateLimits::default`].
    pub fn with_rate_limits(mut self, rates: RateLimits) -> Self {
        self.rates = rates;
        self.inner().limits = Limiters::new(rates);
        self
    }

    /// Sets the clock by which tokens, keys and invites expire and use is counted. Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.inner().clock = clock;
        self
    }

    /// Answers web pages of other origins, as a layer says. Default: none.
    pub fn with_cors(mut self, cors: CorsLayer) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Sets the longest body of a request, in bytes. Default: 2 MiB.
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Returns what each plan allows in a month, in messages, for the relay's [`PlanLimits`].
    ///
    /// [`PlanLimits`]: https://docs.rs/skytale-relay/latest/skytale_relay/struct.PlanLimits.html
    pub fn plans(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.state.0.plans.iter().map(|(plan, limit)| (plan.as_str(), *limit))
    }

    /// Returns the API as a router with paths like `/v1/tokens`, to be served, merged or nested.
    ///
    /// Addresses are limited by [`ConnectInfo`](axum::extract::ConnectInfo) of a `SocketAddr`, where the host has it set;
    /// else all callers share one address.
    pub fn into_router(self) -> Router {
        router::make(self)
    }

    fn inner(&mut self) -> &mut Inner {
        Arc::get_mut(&mut self.state.0).expect("shared only once it is a router")
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("issuer", &self.state.0.issuer)
            .field("rates", &self.rates)
            .finish_non_exhaustive()
    }
}
