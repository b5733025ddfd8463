//! The limit of messages that a session publishes in a second.

use std::time::{Duration, Instant};

use crate::close_reason::CloseReason;

/// Limits the messages that one session publishes in a second.
#[derive(Debug)]
pub(crate) struct PublishRate {
    allowed: u32,
    since: Instant,
    count: u32,
}

impl PublishRate {
    /// Allows so many messages in a second.
    pub fn new(allowed: u32) -> Self {
        Self { allowed, since: Instant::now(), count: 0 }
    }

    /// Counts one message more.
    ///
    /// # Errors
    ///
    /// [`CloseReason::PublishRate`] beyond the allowed messages of a second.
    pub fn count(&mut self) -> Result<(), CloseReason> {
        self.count += 1;
        if self.count <= self.allowed {
            return Ok(());
        }
        if self.since.elapsed() < Duration::from_secs(1) {
            return Err(CloseReason::PublishRate { allowed: self.allowed });
        }
        (self.since, self.count) = (Instant::now(), 1);
        Ok(())
    }
}
