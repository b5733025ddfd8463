//! An index of a channel's message ids.

use std::collections::HashMap;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures::StreamExt;
use skytale_core::SequenceNumber;

use crate::contract::record::MessageId;
use crate::error::{Result, StoreError};
use crate::nats::read::pages::Pages;
use crate::nats::stream::block::ids_of;
use crate::nats::stream::retry::PAUSE;
use crate::nats::stream::{Log, Placed};

/// The message ids of a channel's records, up to a place in the stream. It is filled when it is first asked.
#[derive(Debug, Default)]
pub(crate) struct Index {
    ids: HashMap<MessageId, SequenceNumber>,
    through: u64,
    floor: SequenceNumber,
}

impl Index {
    pub fn find(&self, id: MessageId) -> Option<SequenceNumber> {
        self.ids.get(&id).copied()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Reads what is missing up to the channel's last block, which is at this place and tells this floor. What was read stays
    /// when this is interrupted.
    pub async fn catch_up(
        &mut self,
        log: &Log,
        subject: &str,
        tail: u64,
        floor: SequenceNumber,
    ) -> Result<()> {
        if self.through < tail {
            self.read_page(log, subject).await?;
        }
        if self.through < tail {
            self.read_headers(log, subject, tail).await?;
            // Headers do not tell it.
            self.forget(floor);
        }
        Ok(())
    }

    /// Adds the block that follows what is known; `false` where it does not.
    pub fn apply(&mut self, placed: &Placed) -> bool {
        if placed.at <= self.through {
            return true;
        }
        if placed.block.previous > self.through {
            return false;
        }
        self.add(placed);
        true
    }

    fn add(&mut self, placed: &Placed) {
        self.ids.extend(placed.block.numbered_ids());
        self.through = placed.at;
        self.forget(placed.block.state.floor);
    }

    /// Reads whole blocks, which is the fastest for a few.
    async fn read_page(&mut self, log: &Log, subject: &str) -> Result<()> {
        let mut pages = Pages::new(log.clone(), subject.to_owned(), self.through + 1);
        for placed in pages.next().await? {
            if !self.apply(&placed) && !self.apply_first(log, subject, placed).await? {
                break;
            }
        }
        Ok(())
    }

    /// Adds a block before which others were dropped; `false` where there are some that have not arrived.
    async fn apply_first(&mut self, log: &Log, subject: &str, placed: Placed) -> Result<bool> {
        let next = log.next_at_leader(subject, self.through + 1).await?;
        let is_first = next.is_some_and(|next| next.at == placed.at);
        if is_first {
            self.add(&placed);
        }
        Ok(is_first)
    }

    /// Reads the headers of many blocks.
    async fn read_headers(&mut self, log: &Log, subject: &str, last: u64) -> Result<()> {
        while self.through < last {
            let start = self.through + 1;
            let config = OrderedConfig {
                filter_subject: subject.to_owned(),
                headers_only: true,
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start },
                ..Default::default()
            };
            let create = || async { log.stream.create_consumer(config.clone()).await.map_err(Into::into) };
            let consumer = log.persist(create).await?;
            let mut messages = consumer.messages().await.map_err(StoreError::unavailable)?;
            while self.through < last {
                let Some(message) = messages.next().await else { break };
                let message = message.map_err(StoreError::unavailable)?;
                let at = message.info().map_err(StoreError::unavailable)?.stream_sequence;
                self.ids.extend(ids_of(message.headers.as_ref())?);
                self.through = at;
            }
            if self.through < last {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Forgets the ids of records that were trimmed.
    fn forget(&mut self, floor: SequenceNumber) {
        if floor > self.floor {
            self.floor = floor;
            self.ids.retain(|_, number| *number > floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nats::stream::block::{Block, ChannelState};

    /// Makes a block of one record, whose id is its number.
    fn placed(at: u64, previous: u64, number: u8) -> Placed {
        let state = ChannelState { last: SequenceNumber(number.into()), ..ChannelState::default() };
        let ids = vec![(0, MessageId([number; 16]))];
        Placed {
            at,
            block: Block { id: [0; 16], previous, count: 1, state, ids, records: Default::default() },
        }
    }

    #[test]
    fn a_block_is_added_only_where_it_follows() {
        let mut index = Index::default();
        assert!(index.apply(&placed(4, 0, 1)));
        assert!(!index.apply(&placed(9, 6, 3)), "the block at 6 is missing");
        assert_eq!(index.find(MessageId([3; 16])), None);
        assert!(index.apply(&placed(6, 4, 2)) && index.apply(&placed(9, 6, 3)));
        assert_eq!(index.find(MessageId([3; 16])), Some(SequenceNumber(3)));
    }
}
