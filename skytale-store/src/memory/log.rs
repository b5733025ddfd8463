//! One channel's log in memory.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skytale_core::{Epoch, SequenceNumber};

use super::capacity::MemoryCapacity;
use crate::contract::precondition::{GroupId, Precondition, PreconditionFailed};
use crate::contract::record::{AppendOutcome, Appended, MessageId, NewRecord, Record};
use crate::contract::store::Head;
use crate::error::{Result, StoreError};

/// Records, epochs and message ids of one channel.
#[derive(Debug, Default)]
pub(super) struct Log {
    records: VecDeque<Record>,
    bytes: usize,
    last: SequenceNumber,
    groups: HashMap<GroupId, (Epoch, SequenceNumber)>,
    ids: HashMap<MessageId, SequenceNumber>,
}

impl Log {
    pub fn append(
        &mut self,
        records: Vec<NewRecord>,
        precondition: &Precondition,
        capacity: MemoryCapacity,
    ) -> Result<Appended> {
        let repeated = |record: &NewRecord| record.message_id.is_some_and(|id| self.ids.contains_key(&id));
        if !records.is_empty() && records.iter().all(repeated) {
            return Ok(records.iter().filter_map(|record| self.repetition(record)).collect());
        }
        let advanced = self.decide(precondition)?;
        let now = self.now();
        let appended = records.into_iter().map(|record| self.push(record, now)).collect();
        if let (Some(epoch), Some(group)) = (advanced, precondition.group()) {
            self.groups.insert(group.clone(), (epoch, self.last));
        }
        self.make_room(capacity);
        Ok(appended)
    }

    pub fn find(&self, id: MessageId) -> Option<SequenceNumber> {
        self.ids.get(&id).copied()
    }

    pub fn head(&self) -> Head {
        Head { last: self.last, floor: self.floor() }
    }

    pub fn page(&self, after: SequenceNumber, most: usize) -> Result<Vec<Record>> {
        let floor = self.floor();
        if after < floor {
            return Err(StoreError::Gone { floor });
        }
        let skip = (after.0 - floor.0) as usize;
        Ok(self.records.iter().skip(skip).take(most).cloned().collect())
    }

    pub fn trim(&mut self, through: SequenceNumber) {
        while self.records.front().is_some_and(|record| record.sequence <= through) {
            self.drop_oldest();
        }
    }

    pub fn expire(&mut self, before: SystemTime) -> u64 {
        let count = self.records.len();
        while self.records.front().is_some_and(|record| record.appended_at < before) {
            self.drop_oldest();
        }
        (count - self.records.len()) as u64
    }

    fn decide(&self, precondition: &Precondition) -> Result<Option<Epoch>> {
        let Some(group) = precondition.group() else { return Ok(None) };
        let known = self.groups.get(group);
        let others = self.groups.len() > usize::from(known.is_some());
        precondition.decide(known.map(|(epoch, _)| *epoch), others).map_err(|unmet| match unmet {
            PreconditionFailed::OtherGroup => StoreError::OtherGroup,
            PreconditionFailed::Epoch(current) => {
                StoreError::Conflict { current, winner: known.map(|(_, winner)| *winner), last: self.last }
            }
        })
    }

    fn push(&mut self, record: NewRecord, appended_at: SystemTime) -> AppendOutcome {
        if let Some(repetition) = self.repetition(&record) {
            return repetition;
        }
        self.last = self.last.next();
        self.bytes += record.body.len();
        if let Some(id) = record.message_id {
            self.ids.insert(id, self.last);
        }
        let NewRecord { dialect, message_id, body, .. } = record;
        self.records.push_back(Record { sequence: self.last, appended_at, dialect, message_id, body });
        AppendOutcome::Appended(self.last)
    }

    fn repetition(&self, record: &NewRecord) -> Option<AppendOutcome> {
        Some(AppendOutcome::Duplicate(*self.ids.get(&record.message_id?)?))
    }

    fn floor(&self) -> SequenceNumber {
        SequenceNumber(self.last.0 - self.records.len() as u64)
    }

    fn make_room(&mut self, capacity: MemoryCapacity) {
        while self.records.len() > capacity.records || (self.bytes > capacity.bytes && self.records.len() > 1)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.body.len();
            if let Some(id) = record.message_id {
                self.ids.remove(&id);
            }
        }
    }

    /// Returns the time to the millisecond, no earlier than that of the last record.
    fn now(&self) -> SystemTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UNIX_EPOCH + Duration::from_millis(since.as_millis() as u64);
        self.records.back().map_or(now, |record| record.appended_at.max(now))
    }
}
