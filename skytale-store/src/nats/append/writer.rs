//! The writer: it turns a channel's queue of append requests into blocks.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::batch::{AppendRequest, Draft};
use super::contest::{CONTESTED, Contest};
use super::publish::Published;
use crate::contract::record::Appended;
use crate::error::{Result, StoreError};
use crate::nats::cache::channels::{Channel, Memory, QueuedAppend};
use crate::nats::read::tail::{Feeds, Heard};
use crate::nats::stream::block::{BlockId, ChannelState};
use crate::nats::stream::{Log, Placed};

/// Makes blocks of what waits.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    log: Log,
    feeds: Feeds,
    ids: Arc<BlockIds>,
    block_bytes: usize,
}

impl Writer {
    pub fn new(log: Log, feeds: Feeds, block_bytes: usize) -> Self {
        Self { log, feeds, ids: Arc::default(), block_bytes }
    }

    /// Appends after all that was appended to the channel before this is first polled.
    pub async fn append(&self, channel: &Arc<Channel>, request: AppendRequest) -> Result<Appended> {
        let (answer, starts) = channel.push(request);
        if starts {
            tokio::spawn(self.clone().work(channel.clone()));
        }
        answer.await.map_err(|_| StoreError::unavailable("the task that appends has ended"))?
    }

    /// Works on a channel's queue until it is empty.
    async fn work(self, channel: Arc<Channel>) {
        while let Some(group) = channel.take(self.block_bytes) {
            let timeout = self.log.timeout;
            let group: Vec<_> =
                group.into_iter().filter_map(|waiting| waiting.unless_late(timeout)).collect();
            let mut memory = channel.memory.lock().await;
            let commit = self.commit(&channel, &mut memory, &group);
            let committed = tokio::time::timeout(timeout, commit).await;
            let committed = committed.unwrap_or_else(|_| Err(StoreError::unavailable(LATE)));
            channel.ids.store(memory.index.len(), Ordering::Relaxed);
            drop(memory);
            answer(group, committed);
        }
    }

    /// Has a block kept that follows the channel's last one, whoever appended that. Forgets the tail when interrupted.
    async fn commit(
        &self,
        channel: &Arc<Channel>,
        memory: &mut Memory,
        group: &[QueuedAppend],
    ) -> Result<Vec<Result<Appended>>> {
        let subject = &channel.subject;
        loop {
            let is_remembered = memory.tail.is_some();
            if !is_remembered {
                memory.tail = Some(self.ask_tail(subject, memory).await?);
            }
            memory.hear();
            let (place, base) = memory.tail.take().unwrap_or_default();
            if group.iter().any(|waiting| waiting.request.has_ids()) {
                memory.index.catch_up(&self.log, subject, place, base.floor).await?;
            }
            let mut draft = Draft::new(&base, &memory.index);
            group.iter().for_each(|waiting| draft.add(&waiting.request));
            if draft.is_empty() {
                if is_remembered && draft.depends_on_base {
                    continue;
                }
                let answers = draft.answers;
                memory.tail = Some((place, base));
                return Ok(answers);
            }
            let (block, answers) = draft.finish(self.ids.next(), place);
            match self.log.publish(subject, &block).await? {
                Published::Kept(at) => {
                    memory.remember(Placed { at, block });
                    return Ok(answers);
                }
                Published::Lost(other) => {
                    memory.remember(other);
                    self.await_turn(channel, memory).await;
                }
            }
        }
    }

    /// Waits until another writer has had its turn: whoever begins when it ends has as good a chance as that writer.
    async fn await_turn(&self, channel: &Arc<Channel>, memory: &mut Memory) {
        let lost = Instant::now();
        let Some(contest) = &mut memory.contest else {
            let feed = self.feeds.join(&self.log, &channel.subject);
            (memory.contest, memory.tail) = (Some(Contest::new(feed, lost)), None);
            tokio::spawn(end_contest(Arc::downgrade(channel)));
            return;
        };
        let heard = contest.lose(lost).await;
        if !heard.is_some_and(|heard| memory.take(heard)) {
            memory.tail = None;
        }
    }

    async fn ask_tail(&self, subject: &str, memory: &mut Memory) -> Result<(u64, ChannelState)> {
        let Some(tail) = self.log.tail(subject).await? else { return Ok(Default::default()) };
        memory.index.apply(&tail);
        Ok((tail.at, tail.block.state))
    }
}

/// Has a channel hear of other writers no longer than there are some, whether or not anything is appended to it.
async fn end_contest(channel: Weak<Channel>) {
    loop {
        tokio::time::sleep(CONTESTED).await;
        let Some(channel) = channel.upgrade() else { return };
        let mut memory = channel.memory.lock().await;
        if memory.contest.as_ref().is_none_or(|contest| contest.is_over()) {
            memory.contest = None;
            return;
        }
    }
}

impl Memory {
    fn remember(&mut self, placed: Placed) {
        self.index.apply(&placed);
        self.tail = Some((placed.at, placed.block.state));
    }

    /// Takes in what was heard of other writers' blocks.
    fn hear(&mut self) {
        while let Some(heard) = self.contest.as_mut().and_then(|contest| contest.heard_already()) {
            self.take(heard);
        }
    }

    /// Takes a block that follows the last one; `false` where blocks between are missing.
    fn take(&mut self, heard: Heard) -> bool {
        let Heard::Block(placed) = heard else { return false };
        match &self.tail {
            Some((at, _)) if *at >= placed.at => true,
            Some((at, _)) if *at == placed.block.previous => {
                self.remember(Placed::clone(&placed));
                true
            }
            _ => false,
        }
    }
}

fn answer(group: Vec<QueuedAppend>, committed: Result<Vec<Result<Appended>>>) {
    match committed {
        Ok(answers) => group.into_iter().zip(answers).for_each(|(waiting, answer)| waiting.answer(answer)),
        Err(error) => group.into_iter().for_each(|waiting| waiting.answer(Err(again(&error)))),
    }
}

/// Returns an error to another caller, too.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full { what } => StoreError::Full { what: what.clone() },
        StoreError::Invalid { what } => StoreError::Invalid { what },
        StoreError::Corrupt { what } => StoreError::Corrupt { what },
        StoreError::Unavailable { source } => StoreError::unavailable(source.to_string()),
        other => StoreError::unavailable(other.to_string()),
    }
}

const LATE: &str = "NATS did not acknowledge in time; whether the records were kept is not known";

/// Makes ids for blocks that no other process makes.
#[derive(Debug)]
struct BlockIds {
    process: [u8; 8],
    count: AtomicU64,
}

impl Default for BlockIds {
    fn default() -> Self {
        Self { process: RandomState::new().build_hasher().finish().to_be_bytes(), count: AtomicU64::new(0) }
    }
}

impl BlockIds {
    fn next(&self) -> BlockId {
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut id = BlockId::default();
        id[..8].copy_from_slice(&self.process);
        id[8..].copy_from_slice(&count);
        id
    }
}
