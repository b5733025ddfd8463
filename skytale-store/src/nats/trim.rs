//! Trims a channel, and expires old records.

use std::sync::Arc;
use std::time::SystemTime;

use skytale_core::SequenceNumber;

use super::NatsStore;
use super::stream::{Log, Placed};
use crate::contract::precondition::Precondition;
use crate::contract::store::Head;
use crate::error::{Result, StoreError};
use crate::nats::append::batch::AppendRequest;
use crate::nats::cache::channels::Channel;
use crate::nats::stream::block::millis;

impl NatsStore {
    /// Drops a channel's records up to a number, which its next block tells from then on.
    ///
    /// Whole blocks go first, so that a full stream has room for the block that tells it.
    pub(super) async fn trim_channel(&self, channel: &Arc<Channel>, through: SequenceNumber) -> Result<()> {
        let Some(tail) = self.log.tail(&channel.subject).await? else { return Ok(()) };
        let (last, floor) = (tail.block.state.last, tail.block.state.floor);
        let through = through.min(last);
        self.purge(&channel.subject, tail, through).await?;
        if through > floor {
            let (records, precondition, text) = (Vec::new(), Precondition::Any, None);
            let request = AppendRequest { records, precondition, text, trim: Some(through) };
            self.writer.append(channel, request).await?;
        }
        if through < last {
            return Ok(());
        }
        // Now that another block tells where the channel stands, the last one with records can go, too.
        let Some(tail) = self.log.tail(&channel.subject).await? else { return Ok(()) };
        self.purge(&channel.subject, tail, through).await
    }

    /// Drops the blocks before the first one that is still needed; the last block always is.
    async fn purge(&self, subject: &str, tail: Placed, through: SequenceNumber) -> Result<()> {
        let has_more = |tail: &Placed| tail.block.state.last > through;
        let keep = match has_more(&tail) {
            true => self.log.search(subject, tail, |block| block.state.last > through).await?.at,
            false => tail.at,
        };
        let ask = || async {
            self.log.stream.purge().filter(subject).sequence(keep).await.map(|_| ()).map_err(Into::into)
        };
        self.log.persist(ask).await
    }

    /// Trims what is older than a time in one channel, and returns how many records that were.
    pub(super) async fn expire_channel(&self, components: [u64; 3], before: SystemTime) -> Result<u64> {
        // A channel that is only looked at does not count as used.
        let (subject, before) = (self.log.subjects.log(components), millis_from(before));
        let Some(tail) = self.log.tail(&subject).await? else { return Ok(0) };
        let Some(first) = self.log.next_at_leader(&subject, 1).await? else { return Ok(0) };
        let floor = floor(&first, &tail);
        let is_young = |placed: &Placed| placed.block.state.time >= before;
        if is_young(&first) && first.block.count > 0 {
            return Ok(0);
        }
        let through = match is_young(&tail) {
            true => {
                let found = self.log.search(&subject, tail, |block| block.state.time >= before).await?;
                SequenceNumber(found.block.first().0 - 1)
            }
            false => tail.block.state.last,
        };
        if through > floor {
            self.trim_channel(&self.channel(components), through).await?;
        }
        Ok(through.0.saturating_sub(floor.0))
    }
}

impl Log {
    /// Returns where a channel stands.
    pub async fn head(&self, subject: &str) -> Result<Option<Placed>> {
        let Some(mut tail) = self.tail(subject).await? else { return Ok(None) };
        if tail.block.previous > 0 {
            let first =
                self.next_at_leader(subject, 1).await?.ok_or(StoreError::Corrupt { what: "a lost block" })?;
            tail.block.state.floor = floor(&first, &tail);
        }
        Ok(Some(tail))
    }
}

impl Placed {
    pub fn head(&self) -> Head {
        Head { last: self.block.state.last, floor: self.block.state.floor }
    }
}

/// Returns the floor: what the last block says, or what is missing before the first one where a trim was interrupted.
fn floor(first: &Placed, tail: &Placed) -> SequenceNumber {
    tail.block.state.floor.max(SequenceNumber(first.block.first().0 - 1))
}

/// Returns the first millisecond that is not before a time.
fn millis_from(time: SystemTime) -> u64 {
    let down = millis(time);
    let is_whole =
        time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.subsec_nanos() % 1_000_000 == 0);
    if is_whole { down } else { down + 1 }
}
