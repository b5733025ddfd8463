//! The limit of TLS handshakes that begin in a second, so that clients that come back after a cut do not hold up those that
//! stayed.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Allows so many a second, and as many at once.
pub(crate) fn handshakes(a_second: u32) -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(NonZeroU32::new(a_second).unwrap_or(NonZeroU32::MIN)))
}
