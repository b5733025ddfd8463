//! The MLS groups that a channel knows, as each of its blocks carries them.

use bytes::{Buf, BufMut, Bytes};
use skytale_core::{Epoch, SequenceNumber};

use super::codec::DAMAGED;
use crate::contract::precondition::{GroupId, Precondition, PreconditionFailed};
use crate::error::{Result, StoreError};

/// The groups of one channel with their epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups(Vec<Group>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    id: GroupId,
    epoch: Epoch,
    /// The commit that began the epoch.
    winner: SequenceNumber,
}

/// The most bytes that a channel's groups may take, because each block repeats them.
const LARGEST: usize = 24 * 1024;

/// The bytes of a group beside its id.
const FIXED: usize = 1 + 8 + 8;

impl Groups {
    /// Decides a precondition, and returns the epoch to [`set`](Self::set).
    pub fn decide(&self, precondition: &Precondition, last: SequenceNumber) -> Result<Option<Epoch>> {
        let Some(group) = precondition.group() else { return Ok(None) };
        let known = self.0.iter().find(|known| known.id == *group);
        let others = self.0.len() > usize::from(known.is_some());
        let decided = precondition.decide(known.map(|known| known.epoch), others);
        if known.is_none() && matches!(decided, Ok(Some(_))) && self.size() + size_of(group) > LARGEST {
            return Err(StoreError::Invalid { what: "the groups of one channel may take at most 24 KiB" });
        }
        decided.map_err(|unmet| match unmet {
            PreconditionFailed::OtherGroup => StoreError::OtherGroup,
            PreconditionFailed::Epoch(current) => {
                StoreError::Conflict { current, winner: known.map(|known| known.winner), last }
            }
        })
    }

    /// Moves a group to an epoch.
    pub fn set(&mut self, group: &GroupId, epoch: Epoch, winner: SequenceNumber) {
        match self.0.iter_mut().find(|known| known.id == *group) {
            Some(known) => (known.epoch, known.winner) = (epoch, winner),
            None => self.0.push(Group { id: group.clone(), epoch, winner }),
        }
    }

    /// Writes their number, and of each the id's length, the id, the epoch and the winner.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.put_u16(self.0.len() as u16);
        for group in &self.0 {
            bytes.put_u8(group.id.as_bytes().len() as u8);
            bytes.put_slice(group.id.as_bytes());
            bytes.put_u64(group.epoch.0);
            bytes.put_u64(group.winner.0);
        }
    }

    pub fn decode(bytes: &mut Bytes) -> Result<Self> {
        let count = bytes.try_get_u16().map_err(|_| DAMAGED)?;
        (0..count).map(|_| decode_one(bytes).ok_or(DAMAGED)).collect::<Result<_>>().map(Self)
    }

    fn size(&self) -> usize {
        self.0.iter().map(|group| size_of(&group.id)).sum()
    }
}

fn size_of(group: &GroupId) -> usize {
    FIXED + group.as_bytes().len()
}

fn decode_one(bytes: &mut Bytes) -> Option<Group> {
    let length = usize::from(bytes.try_get_u8().ok()?);
    let id = (length <= bytes.len()).then(|| bytes.split_to(length))?;
    let id = GroupId::new(id).ok()?;
    Some(Group {
        id,
        epoch: Epoch(bytes.try_get_u64().ok()?),
        winner: SequenceNumber(bytes.try_get_u64().ok()?),
    })
}
