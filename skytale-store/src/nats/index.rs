//! Which message ids a channel holds.

use std::collections::HashMap;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures::StreamExt;
use skytale_core::SequenceNumber;

use super::block::ids_of;
use super::log::{Log, PAUSE, Placed};
use super::pages::Pages;
use crate::error::{Result, StoreError};
use crate::store::MessageId;

/// The message ids of a channel's records, up to a place in the stream. It is filled when it is first asked.
#[derive(Debug, Default)]
pub(super) struct Index {
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

    /// Reads what is missing up to the channel's last block, which is at this place. What was read stays when this is
    /// interrupted.
    pub async fn catch_up(&mut self, log: &Log, subject: &str, tail: u64) -> Result<()> {
        if self.through < tail {
            self.read_page(log, subject).await?;
        }
        if self.through < tail {
            self.read_headers(log, subject, tail).await?;
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
        self.ids.extend(placed.block.numbered_ids());
        self.through = placed.at;
        self.forget(placed.block.state.floor);
        true
    }

    /// Reads whole blocks, which is the fastest for a few.
    async fn read_page(&mut self, log: &Log, subject: &str) -> Result<()> {
        let mut pages = Pages::new(log.clone(), subject.to_owned(), self.through + 1);
        for placed in pages.next().await? {
            self.ids.extend(placed.block.numbered_ids());
            self.through = placed.at;
            self.forget(placed.block.state.floor);
        }
        Ok(())
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
            let consumer = log.stream.create_consumer(config).await.map_err(StoreError::unavailable)?;
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
