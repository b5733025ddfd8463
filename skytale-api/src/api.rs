//! The API as a value: its settings until it becomes a router.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use skytale_core::{Clock, SystemClock};
use skytale_store::{Accounts, AgentRegistry, ChannelRegistry, KeyPackageDirectory, Store, Usage};
use thiserror::Error;
use tokio::sync::Notify;
use tower_http::cors::CorsLayer;
use zeroize::Zeroizing;

use crate::rate_limits::{Limiters, RateLimits};
use crate::router;
use crate::state::{Inner, State};
use crate::token_issuer::TokenIssuer;

/// The HTTP API over a store: made with [`new`](Api::new), set with `with_*`, and nested as a router.
pub struct Api {
    state: State,
    cors: Option<CorsLayer>,
    body_bytes: usize,
    rates: RateLimits,
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
        router::make(self.state, self.cors, self.body_bytes)
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
