//! Rate limits of the API's callers.

use std::net::IpAddr;
use std::time::Duration;

use crate::limiter::{Limiter, Rate};

/// Limits how often callers may ask. A rejected caller learns when to ask again.
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

/// The limiters of all callers.
pub(crate) struct Limiters {
    pub per_key: Limiter<String>,
    pub per_stranger: Limiter<Option<IpAddr>>,
    pub sign_ups: Limiter<Option<IpAddr>>,
    pub claims_per_account: Limiter<(String, [u64; 3])>,
    pub claims_per_agent: Limiter<[u64; 3]>,
}

impl Limiters {
    pub fn new(rates: RateLimits) -> Self {
        Self {
            per_key: Limiter::new(rates.per_key),
            per_stranger: Limiter::new(rates.per_stranger),
            sign_ups: Limiter::new(rates.sign_ups),
            claims_per_account: Limiter::new(rates.claims_per_account),
            claims_per_agent: Limiter::new(rates.claims_per_agent),
        }
    }
}
