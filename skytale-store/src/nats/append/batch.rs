//! A batch of append requests, applied to the last known state of their channel.

use std::collections::HashMap;
use std::time::SystemTime;

use skytale_core::SequenceNumber;

use crate::contract::precondition::Precondition;
use crate::contract::record::{AppendOutcome, Appended, MessageId, NewRecord};
use crate::error::Result;
use crate::nats::cache::message_ids::Index;
use crate::nats::stream::block::{Block, BlockId, ChannelState, millis, put_record};

/// The records that one caller appends to one channel.
#[derive(Debug)]
pub(crate) struct AppendRequest {
    pub records: Vec<NewRecord>,
    pub precondition: Precondition,
    /// The text of the channel's name, where the caller knows it.
    pub text: Option<std::sync::Arc<str>>,
    /// Up to where records are to be dropped.
    pub trim: Option<SequenceNumber>,
}

impl AppendRequest {
    pub fn has_ids(&self) -> bool {
        self.records.iter().any(|record| record.message_id.is_some())
    }
}

/// A block that is not published yet, and what its callers are told once it is.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    index: &'a Index,
    base: &'a ChannelState,
    state: ChannelState,
    records: Vec<u8>,
    ids: Vec<(u32, MessageId)>,
    fresh: HashMap<MessageId, SequenceNumber>,
    pub answers: Vec<Result<Appended>>,
    /// Whether an answer depends on where the channel stands. What it holds it will always hold.
    pub depends_on_base: bool,
}

/// The longest text of a channel's name that is kept, in bytes.
const LONGEST_TEXT: usize = 4_096;

impl<'a> Draft<'a> {
    pub fn new(base: &'a ChannelState, index: &'a Index) -> Self {
        let state = base.clone();
        let (records, ids, fresh, answers, depends_on_base) = Default::default();
        Self { index, base, state, records, ids, fresh, answers, depends_on_base }
    }

    pub fn add(&mut self, request: &AppendRequest) {
        let answer = self.decide(request);
        self.depends_on_base |= answer.is_err() || request.records.is_empty();
        self.answers.push(answer);
    }

    /// Tells whether there is nothing to publish.
    pub fn is_empty(&self) -> bool {
        self.state.last == self.base.last
            && self.state.floor == self.base.floor
            && self.state.groups == self.base.groups
    }

    /// Returns the block that follows the one at a place in the stream, and the answers that are true once it is kept.
    pub fn finish(self, id: BlockId, previous: u64) -> (Block, Vec<Result<Appended>>) {
        let count = (self.state.last.0 - self.base.last.0) as u32;
        let (state, ids, records) = (self.state, self.ids, self.records.into());
        (Block { id, previous, count, state, ids, records }, self.answers)
    }

    fn decide(&mut self, request: &AppendRequest) -> Result<Appended> {
        if !request.records.is_empty()
            && request.records.iter().all(|record| self.repetition(record).is_some())
        {
            return Ok(request.records.iter().filter_map(|record| self.repetition(record)).collect());
        }
        let advanced = self.state.groups.decide(&request.precondition, self.state.last)?;
        let appended: Appended = request.records.iter().map(|record| self.push(record)).collect();
        if let (Some(epoch), Some(group)) = (advanced, request.precondition.group()) {
            self.state.groups.set(group, epoch, self.state.last);
        }
        if let Some(through) = request.trim {
            self.state.floor = self.state.floor.max(through.min(self.state.last));
        }
        let text = request.text.as_ref().filter(|text| text.len() <= LONGEST_TEXT);
        self.state.text = self.state.text.take().or_else(|| text.cloned());
        Ok(appended)
    }

    fn push(&mut self, record: &NewRecord) -> AppendOutcome {
        if let Some(repetition) = self.repetition(record) {
            return repetition;
        }
        let place = (self.state.last.0 - self.base.last.0) as u32;
        self.state.last = self.state.last.next();
        self.state.time = self.base.time.max(millis(SystemTime::now()));
        if let Some(id) = record.message_id {
            self.ids.push((place, id));
            self.fresh.insert(id, self.state.last);
        }
        put_record(&mut self.records, record.dialect, &record.body);
        AppendOutcome::Appended(self.state.last)
    }

    fn repetition(&self, record: &NewRecord) -> Option<AppendOutcome> {
        let id = record.message_id?;
        let number = self.fresh.get(&id).copied().or_else(|| self.index.find(id))?;
        Some(AppendOutcome::Duplicate(number))
    }
}
