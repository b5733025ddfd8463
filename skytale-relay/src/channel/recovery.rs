//! Recovery of records that were archived although their append failed, as when a database breaks off in the middle of
//! a commit.
//!
//! Where other relays share a channel, the log brings them. Where this relay alone appends, a number that is missing, or a
//! repetition of what nobody was given, tells of them.

use skytale_core::SequenceNumber;
use skytale_store::{Store, StoreError};

use super::Channel;

impl Channel {
    /// Learns, before the first one is subscribed, where the archive ends; returns how far fan-out has got.
    pub(super) async fn begin(&self, store: &dyn Store) -> Result<SequenceNumber, StoreError> {
        let begin = async || {
            self.reach(store.head(&self.name).await?.last);
            Ok(())
        };
        self.begun.get_or_try_init(begin).await?;
        Ok(self.delivered())
    }

    /// Tells whether nobody was given the record with a number.
    pub(super) fn has_overlooked(&self, number: SequenceNumber) -> bool {
        self.log_follower.is_none() && number > self.delivered()
    }

    /// Lets everybody who is subscribed read in the archive what comes before a number and nobody was given.
    pub(super) fn recover_before(&self, number: SequenceNumber) {
        let missed = self.delivered().next();
        if self.log_follower.is_none() && missed < number {
            self.reach(SequenceNumber(number.0 - 1));
            self.let_lag(missed);
        }
    }
}
