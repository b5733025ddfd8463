//! Blocks: the records that one transaction appended to one channel, as one row.
//!
//! A row per record costs the database more than everything else a message needs; a row per block costs next to nothing
//! for each record of a busy channel.

use bytes::{Buf, BufMut, Bytes};
use sea_orm::{DbErr, QueryResult};
use skytale_core::{Dialect, SequenceNumber};

use crate::checksum::checksum;
use crate::contract::record::{MessageId, NewRecord, Record};
use crate::error::{Result, StoreError};
use crate::sql::statements::time;

/// The size at which a block is closed, in bytes; only a single record makes a larger one.
const FULL: usize = 512 * 1024;

/// Consecutive records of a channel.
#[derive(Debug)]
pub(crate) struct Block {
    pub first: SequenceNumber,
    pub last: SequenceNumber,
    pub bytes: Vec<u8>,
}

impl Block {
    pub fn starting_at(first: SequenceNumber) -> Self {
        Self { first, last: SequenceNumber(first.0 - 1), bytes: Vec::new() }
    }

    /// Tells whether a record should go into another block.
    pub fn is_full_for(&self, record: &NewRecord) -> bool {
        !self.bytes.is_empty() && self.bytes.len() + record.body.len() > FULL
    }

    /// Appends a record: dialect, whether there is a message id, the id, the body's length, the body.
    pub fn push(&mut self, record: &NewRecord) {
        self.last = self.last.next();
        self.bytes.put_u8(record.dialect.number());
        self.bytes.put_u8(record.message_id.is_some().into());
        if let Some(id) = record.message_id {
            self.bytes.put_slice(&id.0);
        }
        self.bytes.put_u32(record.body.len() as u32);
        self.bytes.put_slice(&record.body);
    }
}

/// A block as its table keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub first: i64,
    pub appended_at: i64,
    /// None in blocks that were written before blocks had one.
    pub checksum: Option<i64>,
    pub body: Vec<u8>,
}

impl Row {
    pub fn new(block: Block, appended_at: i64) -> Self {
        let mut row = Self { first: block.first.0 as i64, appended_at, checksum: None, body: block.bytes };
        row.checksum = Some(row.sum());
        row
    }

    pub fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            first: row.try_get("", "first")?,
            appended_at: row.try_get("", "appended_at")?,
            checksum: row.try_get("", "checksum")?,
            body: row.try_get("", "body")?,
        })
    }

    fn sum(&self) -> i64 {
        checksum(&[&self.first.to_be_bytes(), &self.appended_at.to_be_bytes(), &self.body]).into()
    }

    /// Returns the records that come after a number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] where anything was changed.
    pub fn records(self, after: SequenceNumber) -> Result<Vec<Record>> {
        if self.checksum.is_some_and(|checksum| checksum != self.sum()) {
            return Err(DAMAGED);
        }
        let (mut bytes, mut sequence) = (Bytes::from(self.body), SequenceNumber(self.first as u64));
        let (appended_at, mut records) = (time(self.appended_at), Vec::new());
        while bytes.has_remaining() {
            let (dialect, message_id, body) = read_one(&mut bytes).ok_or(DAMAGED)?;
            if sequence > after {
                records.push(Record { sequence, appended_at, dialect, message_id, body });
            }
            sequence = sequence.next();
        }
        Ok(records)
    }
}

const DAMAGED: StoreError = StoreError::Corrupt { what: "a block of records" };

fn read_one(bytes: &mut Bytes) -> Option<(Dialect, Option<MessageId>, Bytes)> {
    let dialect = Dialect::from_number(bytes.try_get_u8().ok()?)?;
    let message_id = match bytes.try_get_u8().ok()? {
        0 => None,
        _ => {
            let mut id = [0; 16];
            bytes.try_copy_to_slice(&mut id).ok()?;
            Some(MessageId(id))
        }
    };
    let length = bytes.try_get_u32().ok()? as usize;
    (length <= bytes.len()).then(|| (dialect, message_id, bytes.split_to(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut block = Block::starting_at(SequenceNumber(5));
        block.push(&NewRecord::new(Dialect::Slim1, "one".into()));
        block.push(&NewRecord::new(Dialect::Slim3, "two".into()).with_message_id(MessageId([7; 16])));
        block
    }

    #[test]
    fn records_read_back_from_a_position_on() {
        let (last, row) = (block().last, Row::new(block(), 9));
        let records = row.records(SequenceNumber(5)).expect("reads");
        assert_eq!((records.len(), records[0].sequence, last), (1, SequenceNumber(6), SequenceNumber(6)));
        assert_eq!((&records[0].body[..], records[0].message_id), (&b"two"[..], Some(MessageId([7; 16]))));
    }

    #[test]
    fn a_changed_block_is_damaged_wherever_it_was_changed() {
        let whole = Row::new(block(), 9);
        let is_damaged = |row: Row| {
            let read = row.records(SequenceNumber::START);
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
        };
        for bit in 0..whole.body.len() * 8 {
            let mut row = whole.clone();
            row.body[bit / 8] ^= 1 << (bit % 8);
            is_damaged(row);
        }
        for end in 0..whole.body.len() {
            is_damaged(Row { body: whole.body[..end].to_vec(), ..whole.clone() });
        }
        is_damaged(Row { first: 6, ..whole.clone() });
        is_damaged(Row { appended_at: 10, ..whole });
    }

    #[test]
    fn a_cut_block_without_a_checksum_is_damaged_but_between_records() {
        let whole = Row { checksum: None, ..Row::new(block(), 9) };
        let whole_records = [0, 2 + 4 + 3, whole.body.len()];
        for end in 0..whole.body.len() {
            let cut = Row { body: whole.body[..end].to_vec(), ..whole.clone() };
            assert_eq!(
                cut.records(SequenceNumber::START).is_ok(),
                whole_records.contains(&end),
                "cut at {end}"
            );
        }
    }
}
