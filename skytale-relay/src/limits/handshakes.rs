//! How many TLS handshakes begin in a second: after a cut all clients come back at once, and those who stayed are not to wait
//! for them.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Allows so many a second, and as many at once.
pub(crate) fn handshakes(a_second: u32) -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(NonZeroU32::new(a_second).unwrap_or(NonZeroU32::MIN)))
}
