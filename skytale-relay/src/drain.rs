//! Shutting down without losing anything.

use std::time::Duration;

use tokio::sync::watch;

/// Tells sessions that the relay is going away. Clones share one state.
#[derive(Clone, Debug)]
pub struct Drain {
    state: watch::Sender<Option<Duration>>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { state: watch::Sender::new(None) }
    }
}

impl Drain {
    /// Ends every session after what it has sent is archived, and admits no more.
    ///
    /// `retry_after` is what peers are told.
    pub fn start(&self, retry_after: Duration) {
        self.state.send_replace(Some(retry_after));
    }

    /// Tells whether draining has started.
    pub fn has_started(&self) -> bool {
        self.state.borrow().is_some()
    }

    /// Waits until draining starts, and returns what peers are told.
    pub async fn started(&self) -> Duration {
        let mut receiver = self.state.subscribe();
        let started = receiver.wait_for(Option::is_some).await.map(|state| *state);
        started.ok().flatten().unwrap_or_default()
    }
}
