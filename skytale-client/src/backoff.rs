//! How long to wait before the next try.

use std::time::Duration;

use rand::RngExt;

/// Full jitter: anything up to a bound that doubles with each failure, so that those who failed together do not come back
/// together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

impl Backoff {
    pub fn next(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(7)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(rand::rng().random_range(0.0..1.0))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
