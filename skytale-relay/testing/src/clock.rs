//! A clock that tests move.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use skytale_core::{Claims, Clock};
use tokio::sync::watch;

use crate::tokens;

/// A clock that goes as the system's does, and that tests set forward. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct TestClock {
    ahead: Arc<watch::Sender<Duration>>,
}

impl TestClock {
    /// Sets the clock forward; whoever sleeps by it until then wakes.
    pub fn advance(&self, time: Duration) {
        self.ahead.send_modify(|ahead| *ahead += time);
    }

    /// Returns it as a relay, an API and a client take it.
    pub fn shared(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    /// Returns the seconds since 1970.
    pub fn seconds(&self) -> u64 {
        skytale_core::clock::seconds(self.now())
    }

    /// Makes a token of an account that lives for so many seconds and permits everything.
    pub fn token(&self, account: &str, seconds: u64) -> String {
        tokens::signed(&self.claims(account, seconds))
    }

    /// Makes claims of an account that are issued now and live for so many seconds.
    pub fn claims(&self, account: &str, seconds: u64) -> Claims {
        tokens::claims(account, self.seconds(), seconds)
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + *self.ahead.borrow()
    }

    fn instant(&self) -> Instant {
        Instant::now() + *self.ahead.borrow()
    }

    fn moved(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut ahead = self.ahead.subscribe();
        Box::pin(async move {
            // The clock may be dropped, and is moved no more.
            if ahead.changed().await.is_err() {
                std::future::pending().await
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;
    use skytale_core::clock::sleep;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn whoever_sleeps_wakes_when_the_clock_is_set_forward() {
        let clock = TestClock::default();
        let mut sleeping = [HOUR, 2 * HOUR].map(|time| Box::pin(sleep(&clock, time, |_| pending::<()>())));
        assert!(sleeping.iter_mut().all(|sleep| sleep.now_or_never().is_none()));
        clock.clone().advance(HOUR);
        assert_eq!(sleeping.each_mut().map(|sleep| sleep.now_or_never().is_some()), [true, false]);
        clock.advance(HOUR);
        assert!(sleeping[1].as_mut().now_or_never().is_some());
    }

    #[test]
    fn both_times_are_set_forward() {
        let clock = TestClock::default();
        let (now, instant) = (clock.now(), clock.instant());
        clock.advance(HOUR);
        assert!(clock.now().duration_since(now).expect("later") >= HOUR);
        assert!(clock.instant() - instant >= HOUR);
    }
}
