//! Finding a channel's block in the stream.

use crate::error::Result;
use crate::nats::stream::block::Block;
use crate::nats::stream::{Log, Placed};

impl Log {
    /// Returns the first of a channel's blocks that is past something, which all after it are, too. `tail` has to be past
    /// it. Asks about twice the logarithm of the distance from the tail.
    pub async fn search(&self, subject: &str, tail: Placed, past: impl Fn(&Block) -> bool) -> Result<Placed> {
        let (mut low, mut high, mut found) = (1, tail.at, tail);
        let mut step = 1;
        // Back from the tail in larger and larger steps, then by halves.
        while low < high && step < high {
            match self.probe(subject, high - step).await? {
                Some(probed) if past(&probed.block) => {
                    high -= step;
                    found = probed;
                    step *= 2;
                }
                probed => {
                    low = probed.map_or(high, |probed| probed.at + 1);
                    break;
                }
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.probe(subject, middle).await? {
                Some(probed) if past(&probed.block) => (high, found) = (middle, probed),
                probed => low = probed.map_or(high, |probed| probed.at + 1),
            }
        }
        Ok(found)
    }

    async fn probe(&self, subject: &str, from: u64) -> Result<Option<Placed>> {
        match self.next(subject, from).await? {
            Some(placed) => Ok(Some(placed)),
            // The server that was asked lags.
            None => self.next_at_leader(subject, from).await,
        }
    }
}
