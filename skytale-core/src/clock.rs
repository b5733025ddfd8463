//! Time, which tests can move.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock. Both of its times go on as the system's do; an implementation may set them forward.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time of day.
    fn now(&self) -> SystemTime;

    /// Returns a time that never goes back, whatever the time of day is set to.
    fn instant(&self) -> Instant;

    /// Returns a future that ends when the clock is set forward after this call. Default: never.
    fn moved(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(pending())
    }
}

/// The clock of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Returns the seconds since 1970; 0 before.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Waits for a time of a clock, less where the clock is set forward meanwhile. `timer` is the sleep of the runtime.
pub async fn sleep<T: Future>(clock: &dyn Clock, time: Duration, timer: impl Fn(Duration) -> T) {
    let Some(until) = clock.instant().checked_add(time) else { return pending().await };
    let mut left = time;
    loop {
        // Asked for before the time is read, so that no move falls between the two.
        let mut moved = clock.moved();
        left = left.min(until.saturating_duration_since(clock.instant()));
        if left.is_zero() {
            return;
        }
        let mut over = pin!(timer(left));
        let is_over = poll_fn(|context| match over.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => moved.as_mut().poll(context).map(|()| false),
        });
        if is_over.await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;
    use std::task::{Context, Waker};

    use super::*;

    /// A clock that stands still, and is moved each time that somebody waits for that.
    #[derive(Debug)]
    struct Jumping {
        start: Instant,
        at: Mutex<Duration>,
        step: Duration,
    }

    impl Jumping {
        fn by(step: u64) -> Self {
            Self { start: Instant::now(), at: Mutex::default(), step: Duration::from_secs(step) }
        }
    }

    impl Clock for Jumping {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + *self.at.lock().expect("unpoisoned")
        }

        fn instant(&self) -> Instant {
            self.start + *self.at.lock().expect("unpoisoned")
        }

        fn moved(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            *self.at.lock().expect("unpoisoned") += self.step;
            Box::pin(ready(()))
        }
    }

    fn poll(future: impl Future<Output = ()>) -> Poll<()> {
        pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_timer_ends_a_sleep() {
        let hour = Duration::from_secs(3_600);
        assert!(poll(sleep(&SystemClock, hour, ready)).is_ready());
        assert!(poll(sleep(&SystemClock, hour, |_| pending::<()>())).is_pending());
    }

    #[test]
    fn a_clock_that_is_set_forward_ends_a_sleep_or_shortens_it() {
        let asked = Mutex::new(Vec::new());
        let timer = |left: Duration| {
            asked.lock().expect("unpoisoned").push(left.as_secs());
            pending::<()>()
        };
        assert!(poll(sleep(&Jumping::by(4), Duration::from_secs(10), timer)).is_ready());
        assert_eq!(*asked.lock().expect("unpoisoned"), [6, 2]);
    }

    #[test]
    fn no_time_needs_no_timer_and_more_than_a_clock_has_never_ends() {
        let never = |_| -> std::future::Ready<()> { panic!("no timer is needed") };
        assert!(poll(sleep(&SystemClock, Duration::ZERO, never)).is_ready());
        assert!(poll(sleep(&SystemClock, Duration::MAX, never)).is_pending());
    }

    #[test]
    fn a_time_before_1970_is_0() {
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(5)), 0);
        assert_eq!(seconds(UNIX_EPOCH + Duration::from_millis(5_900)), 5);
    }
}
