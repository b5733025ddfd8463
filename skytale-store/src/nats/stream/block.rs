//! Blocks: the content of one message of the stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes};
use skytale_core::{Dialect, SequenceNumber};

use super::codec::{DAMAGED, take_u64};
use super::group_epochs::Groups;
use crate::checksum::checksum;
use crate::contract::record::{MessageId, Record};
use crate::error::{Result, StoreError};

/// Consecutive records of a channel, and where the channel stands after them. A block without records moves the floor or
/// an epoch.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Random, so that its writer knows it again.
    pub id: BlockId,
    /// The channel's block before, as its sequence in the stream; 0 for none.
    pub previous: u64,
    pub count: u32,
    pub state: ChannelState,
    /// The message ids, each with its record's place in the block, ascending.
    pub ids: Vec<(u32, MessageId)>,
    /// As [`put_record`] writes them.
    pub records: Bytes,
}

/// Where a channel stands; each block says it, so that the last one tells all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelState {
    pub last: SequenceNumber,
    pub floor: SequenceNumber,
    /// Milliseconds since 1970; those of the last record.
    pub time: u64,
    pub text: Option<Arc<str>>,
    pub groups: Groups,
}

pub(crate) type BlockId = [u8; 16];

/// The header that has the message ids: a consumer can read it without the records.
const IDS: &str = "Skytale-Ids";

const VERSION: u8 = 2;

/// The most message ids of one block: a server takes 64 KiB of headers.
pub(crate) const MOST_IDS: usize = 2_048;

const CHECKSUM_SIZE: usize = 4;

/// The bytes of a place and a message id.
const ID_SIZE: usize = 4 + 16;

impl Block {
    /// Returns the number of its first record, or of the next one where it has none.
    pub fn first(&self) -> SequenceNumber {
        SequenceNumber((self.state.last.0 - u64::from(self.count)) + 1)
    }

    pub fn encode(&self) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        if !self.ids.is_empty() {
            headers.insert(IDS, STANDARD_NO_PAD.encode(self.encode_ids()));
        }
        let mut bytes = Vec::with_capacity(self.records.len() + 256);
        bytes.put_u8(VERSION);
        bytes.put_slice(&[0; CHECKSUM_SIZE]);
        bytes.put_slice(&self.id);
        bytes.put_u64(self.previous);
        bytes.put_u32(self.count);
        self.state.encode(&mut bytes);
        bytes.put_slice(&self.records);
        let (head, rest) = bytes.split_at_mut(1 + CHECKSUM_SIZE);
        head[1..].copy_from_slice(&checksum(&[rest]).to_be_bytes());
        (headers, bytes.into())
    }

    /// Writes the first number, of each message id the place and the id, and a checksum.
    fn encode_ids(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.ids.len() * ID_SIZE);
        bytes.put_u64(self.first().0);
        for (place, id) in &self.ids {
            bytes.put_u32(*place);
            bytes.put_slice(&id.0);
        }
        bytes.put_u32(checksum(&[&bytes]));
        bytes
    }

    /// Reads a block.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`]. The records are only looked at by [`records`](Self::records).
    pub fn decode(headers: Option<&HeaderMap>, mut bytes: Bytes) -> Result<Self> {
        if bytes.try_get_u8() != Ok(VERSION) {
            return Err(StoreError::Corrupt { what: "a block of another version" });
        }
        let sum = bytes.try_get_u32().map_err(|_| DAMAGED)?;
        if sum != checksum(&[&bytes]) {
            return Err(DAMAGED);
        }
        let mut id = BlockId::default();
        bytes.try_copy_to_slice(&mut id).map_err(|_| DAMAGED)?;
        let previous = take_u64(&mut bytes)?;
        let count = bytes.try_get_u32().map_err(|_| DAMAGED)?;
        let state = ChannelState::decode(&mut bytes)?;
        let (_, ids) = decode_ids(headers)?;
        let is_sound = u64::from(count) <= state.last.0
            && ids.is_sorted_by(|(one, _), (other, _)| one < other)
            && ids.last().is_none_or(|(place, _)| *place < count);
        if is_sound { Ok(Self { id, previous, count, state, ids, records: bytes }) } else { Err(DAMAGED) }
    }

    /// Reads the records that come after a number.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`].
    pub fn records(&self, after: SequenceNumber) -> Result<Vec<Record>> {
        let (mut bytes, mut ids) = (self.records.clone(), self.ids.iter().peekable());
        let appended_at = UNIX_EPOCH + Duration::from_millis(self.state.time);
        let mut records = Vec::new();
        for place in 0..self.count {
            let sequence = SequenceNumber(self.first().0 + u64::from(place));
            let (dialect, body) = take_record(&mut bytes).ok_or(DAMAGED)?;
            let message_id = ids.next_if(|(with_id, _)| *with_id == place).map(|(_, id)| *id);
            if sequence > after {
                records.push(Record { sequence, appended_at, dialect, message_id, body });
            }
        }
        Ok(records)
    }

    /// Yields the message ids and the numbers of their records.
    pub fn numbered_ids(&self) -> impl Iterator<Item = (MessageId, SequenceNumber)> {
        numbered(self.first(), &self.ids)
    }
}

/// Reads the message ids and the numbers of their records from a block's headers alone.
///
/// # Errors
///
/// [`StoreError::Corrupt`].
pub(crate) fn ids_of(headers: Option<&HeaderMap>) -> Result<Vec<(MessageId, SequenceNumber)>> {
    let (first, ids) = decode_ids(headers)?;
    Ok(numbered(first, &ids).collect())
}

fn numbered(
    first: SequenceNumber,
    ids: &[(u32, MessageId)],
) -> impl Iterator<Item = (MessageId, SequenceNumber)> {
    ids.iter().map(move |(place, id)| (*id, SequenceNumber(first.0.saturating_add(u64::from(*place)))))
}

impl ChannelState {
    fn encode(&self, bytes: &mut Vec<u8>) {
        for number in [self.last.0, self.floor.0, self.time] {
            bytes.put_u64(number);
        }
        let text = self.text.as_deref().unwrap_or_default();
        bytes.put_u16(text.len() as u16);
        bytes.put_slice(text.as_bytes());
        self.groups.encode(bytes);
    }

    fn decode(bytes: &mut Bytes) -> Result<Self> {
        let last = SequenceNumber(take_u64(bytes)?);
        let floor = SequenceNumber(take_u64(bytes)?);
        let time = take_u64(bytes)?;
        let length = usize::from(bytes.try_get_u16().map_err(|_| DAMAGED)?);
        let text = if length <= bytes.len() { bytes.split_to(length) } else { return Err(DAMAGED) };
        let text = std::str::from_utf8(&text).map_err(|_| DAMAGED)?;
        let text = (!text.is_empty()).then(|| text.into());
        let is_sound = floor <= last && last.0 < u64::MAX && time < LAST_TIME;
        if is_sound {
            Ok(Self { last, floor, time, text, groups: Groups::decode(bytes)? })
        } else {
            Err(DAMAGED)
        }
    }
}

/// Writes a record: dialect, the body's length, the body.
pub(crate) fn put_record(bytes: &mut Vec<u8>, dialect: Dialect, body: &[u8]) {
    bytes.put_u8(dialect.number());
    bytes.put_u32(body.len() as u32);
    bytes.put_slice(body);
}

fn take_record(bytes: &mut Bytes) -> Option<(Dialect, Bytes)> {
    let dialect = Dialect::from_number(bytes.try_get_u8().ok()?)?;
    let length = bytes.try_get_u32().ok()? as usize;
    (length <= bytes.len()).then(|| (dialect, bytes.split_to(length)))
}

fn decode_ids(headers: Option<&HeaderMap>) -> Result<(SequenceNumber, Vec<(u32, MessageId)>)> {
    let Some(text) = headers.and_then(|headers| headers.get(IDS)) else { return Ok(Default::default()) };
    let mut bytes = Bytes::from(STANDARD_NO_PAD.decode(text.as_str()).map_err(|_| DAMAGED)?);
    let sum = bytes.split_off(bytes.len().saturating_sub(CHECKSUM_SIZE));
    if sum[..] != checksum(&[&bytes]).to_be_bytes() {
        return Err(DAMAGED);
    }
    let first = SequenceNumber(take_u64(&mut bytes)?);
    if bytes.len() % ID_SIZE != 0 {
        return Err(DAMAGED);
    }
    let mut ids = Vec::with_capacity(bytes.len() / ID_SIZE);
    while bytes.has_remaining() {
        let (place, mut id) = (bytes.get_u32(), [0; 16]);
        bytes.copy_to_slice(&mut id);
        ids.push((place, MessageId(id)));
    }
    Ok((first, ids))
}

/// Returns a time as milliseconds since 1970.
pub(crate) fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Beyond this, in milliseconds, a time cannot be counted on every platform: the year 10000.
const LAST_TIME: u64 = 253_402_300_800_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::precondition::{GroupEpoch, GroupId, Precondition};
    use skytale_core::Epoch;

    fn block() -> Block {
        let mut records = Vec::new();
        put_record(&mut records, Dialect::Slim1, b"one");
        put_record(&mut records, Dialect::Slim3, b"two");
        let mut groups = Groups::default();
        groups.set(&GroupId::new(&b"group"[..]).expect("short"), Epoch(7), SequenceNumber(5));
        let state = ChannelState {
            last: SequenceNumber(6),
            floor: SequenceNumber(2),
            time: 9,
            text: Some("a/b/c".into()),
            groups,
        };
        let ids = vec![(1, MessageId([7; 16]))];
        Block { id: [1; 16], previous: 4, count: 2, state, ids, records: records.into() }
    }

    #[test]
    fn a_block_reads_back() {
        let (headers, bytes) = block().encode();
        let read = Block::decode(Some(&headers), bytes).expect("reads");
        assert_eq!((read.id, read.previous, read.first()), ([1; 16], 4, SequenceNumber(5)));
        assert_eq!(read.state, block().state);
        let records = read.records(SequenceNumber(5)).expect("reads");
        assert_eq!((records.len(), &records[0].body[..]), (1, &b"two"[..]));
        assert_eq!(records[0].message_id, Some(MessageId([7; 16])));
        let ids = [(MessageId([7; 16]), SequenceNumber(6))];
        assert_eq!(read.numbered_ids().collect::<Vec<_>>(), ids);
        assert_eq!(ids_of(Some(&headers)).expect("reads"), ids);
        let at = GroupEpoch { group: GroupId::new(&b"group"[..]).expect("short"), epoch: Epoch(6) };
        let refused = read.state.groups.decide(&Precondition::At(at), SequenceNumber(6));
        assert!(matches!(refused, Err(StoreError::Conflict { current: Epoch(7), .. })), "{refused:?}");
    }

    #[test]
    fn a_cut_block_is_damaged_wherever_it_is_cut() {
        let (headers, bytes) = block().encode();
        for end in 0..bytes.len() {
            let read = Block::decode(Some(&headers), bytes.slice(..end));
            assert!(read.and_then(|block| block.records(SequenceNumber::START)).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_changed_block_is_damaged_wherever_it_was_changed() {
        let (headers, bytes) = block().encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let read = Block::decode(Some(&headers), changed.into());
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "{read:?}");
        }
        let ids = STANDARD_NO_PAD.decode(headers.get(IDS).expect("has ids").as_str()).expect("reads");
        for bit in 0..ids.len() * 8 {
            let mut changed = ids.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut headers = HeaderMap::new();
            headers.insert(IDS, STANDARD_NO_PAD.encode(changed));
            assert!(matches!(ids_of(Some(&headers)), Err(StoreError::Corrupt { .. })));
        }
    }

    /// What a checksum says yes to is not trusted either: anybody may know how to make one.
    #[test]
    fn bytes_with_a_true_checksum_do_not_panic() {
        let (headers, bytes) = block().encode();
        for place in 1 + CHECKSUM_SIZE..bytes.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF] {
                let mut changed = bytes.to_vec();
                changed[place] = value;
                let sum = checksum(&[&changed[1 + CHECKSUM_SIZE..]]);
                changed[1..1 + CHECKSUM_SIZE].copy_from_slice(&sum.to_be_bytes());
                let _ = Block::decode(Some(&headers), changed.into())
                    .and_then(|block| block.records(SequenceNumber::START));
            }
        }
    }
}
