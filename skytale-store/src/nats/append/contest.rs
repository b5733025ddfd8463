//! Following the blocks of other writers of a channel, so as to append as fast as they do.

use std::time::Duration;

use tokio::time::Instant;

use crate::nats::read::tail::{Feed, Heard};

/// A feed of a channel's blocks, kept open while other writers append to it.
#[derive(Debug)]
pub(crate) struct Contest {
    feed: Feed,
    /// When a block was lost last.
    lost: Instant,
}

/// How long a channel is believed to have other writers.
pub(super) const CONTESTED: Duration = Duration::from_secs(5);

/// How long to wait for the next block of the writer that was faster; it comes when that begins another one.
const NEXT_TURN: Duration = Duration::from_millis(10);

impl Contest {
    /// Begins with a block that was lost at a time.
    pub fn new(feed: Feed, lost: Instant) -> Self {
        Self { feed, lost }
    }

    /// Waits for the next block after one was lost at a time; `None` where none comes soon.
    pub async fn lose(&mut self, lost: Instant) -> Option<Heard> {
        self.lost = lost;
        tokio::time::timeout(NEXT_TURN, self.feed.heard()).await.ok()
    }

    /// Returns the next block that has arrived.
    pub fn heard_already(&mut self) -> Option<Heard> {
        self.feed.heard_already()
    }

    /// Tells whether no block was lost for [`CONTESTED`].
    pub fn is_over(&self) -> bool {
        self.lost.elapsed() >= CONTESTED
    }
}
