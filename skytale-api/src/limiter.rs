//! Limits the rate of calls, by caller.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::error::{Problem, Result};

/// A rate: so many at once, and then so many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How long it takes until there is room for another one.
    pub each: Duration,
}

impl Rate {
    /// Allows `burst` at once, and then `count` in each `period`.
    pub const fn new(burst: u32, count: u32, period: Duration) -> Self {
        let count = if count == 0 { 1 } else { count };
        Self { burst, each: Duration::from_nanos((period.as_nanos() / count as u128) as u64) }
    }
}

/// Counts for each key how often it asks.
#[derive(Debug)]
pub(crate) struct Limiter<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    rate: Rate,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub limit: u32,
    pub remaining: u32,
    /// How long until all is there again.
    pub resets_in: Duration,
}

/// The number of keys at which those are forgotten that have all their rate.
const FORGET_AT: usize = 50_000;

impl<K: Hash + Eq + Clone> Limiter<K> {
    pub fn new(rate: Rate) -> Self {
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(rate.each).unwrap_or(Quota::per_second(NonZeroU32::MAX));
        let limiter = RateLimiter::dashmap(quota.allow_burst(burst));
        Self { limiter: limiter.with_middleware(), rate }
    }

    /// Counts one request.
    pub fn check(&self, key: &K) -> Result<Left> {
        if self.limiter.len() > FORGET_AT {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key(key) {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                let resets_in = self.rate.each * (self.rate.burst.saturating_sub(remaining));
                Ok(Left { limit: self.rate.burst, remaining, resets_in })
            }
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let burst = self.rate.burst;
                let each = self.rate.each;
                let text = format!(
                    "too many requests: {burst} are allowed at once, and one more every {each:?}; wait as long as \
                     Retry-After says"
                );
                Err(Problem::too_many_requests(wait, text))
            }
        }
    }
}
