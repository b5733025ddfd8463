//! The detection of transports that take nothing of what waits for them.

use super::queue::Outbox;
use crate::close_reason::CloseReason;

/// How often it is looked whether a transport is stuck, while it may be.
const LOOKS: u32 = 4;

impl Outbox {
    /// Waits until the transport of a native agent has not asked for more in too long a time, although something waits; then
    /// gives up what does. The agent resumes where it was, which others cannot.
    pub async fn stalled(&self) -> CloseReason {
        let allowed = self.allowed.stalled;
        let (mut polls, mut looks) = (0, 0);
        while looks < LOOKS {
            tokio::time::sleep(allowed / LOOKS).await;
            let state = self.lock();
            let is_stuck = state.waker.is_none() && state.polls == polls && self.native.get().is_some();
            (polls, looks) = (state.polls, if is_stuck { looks + 1 } else { 0 });
        }
        let close = CloseReason::Stalled { allowed };
        self.give_up(self.lock(), close.clone());
        close
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::limits::Limits;

    fn outbox() -> Outbox {
        let outbox = Outbox::new(&Limits { stalled: Duration::from_secs(30), ..Limits::default() });
        outbox.native.set(()).expect("unset");
        outbox
    }

    #[tokio::test(start_paused = true)]
    async fn a_transport_that_asks_for_no_more_is_noticed_and_an_idle_one_is_not() {
        let outbox = outbox();
        let long = Duration::from_secs(3_600);
        let mut stalled = std::pin::pin!(outbox.stalled());
        assert!(outbox.lock().poll(Waker::noop()).is_none());
        assert!(tokio::time::timeout(long, &mut stalled).await.is_err(), "nothing waits for it");
        for _ in 0..10 {
            outbox.send(Bytes::from_static(b"answer"));
            assert!(outbox.lock().poll(Waker::noop()).is_some());
            let slow = tokio::time::timeout(Duration::from_secs(20), &mut stalled).await;
            assert!(slow.is_err(), "it sends, slowly");
        }
        let close = tokio::time::timeout(long, &mut stalled).await.expect("noticed");
        assert_eq!(close, CloseReason::Stalled { allowed: Duration::from_secs(30) });
        assert!(outbox.lock().poll(Waker::noop()).is_none(), "what waited is given up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_transport_that_is_woken_and_never_asks_is_noticed() {
        let outbox = outbox();
        assert!(outbox.lock().poll(Waker::noop()).is_none());
        outbox.send(Bytes::from_static(b"answer"));
        let stalled = tokio::time::timeout(Duration::from_secs(60), outbox.stalled()).await;
        assert_eq!(stalled, Ok(CloseReason::Stalled { allowed: Duration::from_secs(30) }));
    }
}
