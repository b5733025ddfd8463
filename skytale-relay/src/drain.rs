//! Shutting down without losing anything.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::sync::watch;

/// Tells sessions that the relay is going away. Clones share one state.
#[derive(Clone, Debug)]
pub struct Drain {
    state: watch::Sender<Option<Draining>>,
}

/// How sessions are to end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Draining {
    pub retry_after: Duration,
    within: Duration,
}

/// How many sessions end in a second, where there is time.
const A_SECOND: u32 = 500;

impl Default for Drain {
    fn default() -> Self {
        Self { state: watch::Sender::new(None) }
    }
}

impl Drain {
    /// Ends every session at once, after what it has sent is archived, and admits no more.
    ///
    /// `retry_after` is what peers are told.
    pub fn start(&self, retry_after: Duration) {
        self.start_within(Duration::ZERO, retry_after);
    }

    /// Ends sessions as [`start`](Self::start) does, but not more than about 500 a second, so that not all of them connect
    /// elsewhere at once; and all of them within a time. Those of one connection end together.
    pub fn start_within(&self, within: Duration, retry_after: Duration) {
        self.state.send_replace(Some(Draining { retry_after, within }));
    }

    /// Tells whether draining has started.
    pub fn has_started(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Waits until draining starts.
    pub async fn started(&self) {
        self.draining().await;
    }

    /// Waits until it is the turn of one of so many sessions to end, which its peer decides.
    pub(crate) async fn turn_of(&self, peer: impl Hash, sessions: impl Fn() -> usize) -> Draining {
        let draining = self.draining().await;
        let sessions = u32::try_from(sessions()).unwrap_or(u32::MAX);
        let spread = (Duration::from_secs(1) / A_SECOND).saturating_mul(sessions).min(draining.within);
        let turn = spread.mul_f64(place(peer));
        if !turn.is_zero() {
            tokio::time::sleep(turn).await;
        }
        draining
    }

    async fn draining(&self) -> Draining {
        let mut receiver = self.state.subscribe();
        let started = receiver.wait_for(Option::is_some).await.map(|state| *state);
        started.ok().flatten().unwrap_or_default()
    }
}

/// Returns where a peer's turn is, from 0 to 1.
fn place(peer: impl Hash) -> f64 {
    let mut hasher = DefaultHasher::new();
    peer.hash(&mut hasher);
    hasher.finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use futures::future::join_all;
    use tokio::time::Instant;

    use super::*;

    /// Returns when each of so many sessions ends; another of the same connection ends with it.
    async fn ends(sessions: u16, within: Duration) -> Vec<Duration> {
        let (drain, start) = (Drain::default(), Instant::now());
        drain.start_within(within, Duration::ZERO);
        let end = async |port: u16| {
            drain.turn_of(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), || sessions.into()).await;
            start.elapsed()
        };
        let connection = async |port: u16| {
            let (one, other) = tokio::join!(end(port), end(port));
            assert_eq!(one, other);
            one
        };
        join_all((0..sessions).map(connection)).await
    }

    #[tokio::test(start_paused = true)]
    async fn many_sessions_end_one_after_another_and_few_at_once() {
        let ends_of = async |sessions, within| ends(sessions, within).await.into_iter().max().expect("some");
        let within = Duration::from_secs(5);
        assert!(ends_of(1, within).await < Duration::from_millis(10));
        let thousand = ends(1_000, within).await;
        let in_first_second = thousand.iter().filter(|end| **end < Duration::from_secs(1)).count();
        assert!((400..600).contains(&in_first_second), "{in_first_second}");
        assert!(ends_of(60_000, within).await <= within + Duration::from_millis(10), "all of them in time");
        assert!(ends_of(1_000, Duration::ZERO).await < Duration::from_millis(10), "at once if it has to be");
    }
}
