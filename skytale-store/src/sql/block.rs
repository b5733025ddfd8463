//! Blocks: the records that one transaction appended to one channel, as one row.
//!
//! A row per record costs the database more than everything else a message needs; a row per block costs next to nothing
//! for each record of a busy channel.

use bytes::{Buf, BufMut, Bytes};
use skytale_core::{Dialect, SequenceNumber};

use super::statement::time;
use crate::error::{Result, StoreError};
use crate::store::{MessageId, NewRecord, Record};

/// The size at which a block is closed, in bytes; only a single record makes a larger one.
const FULL: usize = 512 * 1024;

/// Consecutive records of a channel.
#[derive(Debug)]
pub(super) struct Block {
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

/// Reads the records of a block that come after a number.
pub(super) fn read(
    first: SequenceNumber,
    appended_at: i64,
    mut bytes: Bytes,
    after: SequenceNumber,
) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut sequence = first;
    while bytes.has_remaining() {
        let (dialect, message_id, body) = read_one(&mut bytes).ok_or(DAMAGED)?;
        if sequence > after {
            records.push(Record { sequence, appended_at: time(appended_at), dialect, message_id, body });
        }
        sequence = sequence.next();
    }
    Ok(records)
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
        let block = block();
        let records = read(block.first, 9, block.bytes.into(), SequenceNumber(5)).expect("reads");
        assert_eq!(
            (records.len(), records[0].sequence, block.last),
            (1, SequenceNumber(6), SequenceNumber(6))
        );
        assert_eq!((&records[0].body[..], records[0].message_id), (&b"two"[..], Some(MessageId([7; 16]))));
    }

    #[test]
    fn a_cut_block_is_damaged_wherever_it_is_cut() {
        let bytes = Bytes::from(block().bytes);
        let whole_records = [0, 2 + 4 + 3, bytes.len()];
        for end in 0..bytes.len() {
            let cut = read(SequenceNumber(5), 9, bytes.slice(..end), SequenceNumber::START);
            assert_eq!(cut.is_ok(), whole_records.contains(&end), "cut at {end}");
        }
    }
}
