//! The limit of key package claims: each package is given once, so an account that claims many takes them from others.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use skytale_core::ChannelName;

use super::Limits;

/// Counts what was claimed, by the agents whose they are and the accounts that claimed them.
#[derive(Debug)]
pub(crate) struct KeyPackageClaims {
    of_account: DefaultKeyedRateLimiter<(Arc<str>, ChannelName)>,
    of_agent: DefaultKeyedRateLimiter<ChannelName>,
    swept: Mutex<Instant>,
}

/// One claim too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// Whether by one account, in a minute, or by all, in an hour.
    pub by_one_account: bool,
    pub retry_after: Duration,
}

/// How often agents are forgotten of which all may be claimed again.
const SWEEP: Duration = Duration::from_secs(30);

impl KeyPackageClaims {
    pub fn new(limits: &Limits) -> Self {
        let quota =
            |count: u32, of: fn(NonZeroU32) -> Quota| of(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        Self {
            of_account: RateLimiter::keyed(quota(limits.claims_per_minute, Quota::per_minute)),
            of_agent: RateLimiter::keyed(quota(limits.claims_per_hour, Quota::per_hour)),
            swept: Mutex::new(Instant::now()),
        }
    }

    /// Counts a claim of an agent's key package.
    pub fn take(&self, account: &Arc<str>, agent: &ChannelName) -> Result<(), TooMany> {
        self.sweep();
        let now = DefaultClock::default().now();
        let refused = |by_one_account| {
            move |until: governor::NotUntil<_>| TooMany {
                by_one_account,
                retry_after: until.wait_time_from(now),
            }
        };
        self.of_account.check_key(&(account.clone(), agent.clone())).map_err(refused(true))?;
        self.of_agent.check_key(agent).map_err(refused(false))
    }

    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.of_account.retain_recent();
            self.of_agent.retain_recent();
        }
    }
}
