//! Preconditions of an append: the epochs of MLS groups.

use bytes::Bytes;
use skytale_core::Epoch;

use crate::error::{Result, StoreError};

/// The id of an MLS group, at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(Bytes);

impl GroupId {
    /// The longest id, in bytes.
    pub const MAX: usize = 255;

    /// Makes a group id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for an id of more than [`GroupId::MAX`] bytes.
    pub fn new(id: impl Into<Bytes>) -> Result<Self> {
        let id = id.into();
        if id.len() > Self::MAX {
            return Err(StoreError::Invalid { what: "a group id has at most 255 bytes" });
        }
        Ok(Self(id))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A group at an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupEpoch {
    /// The group.
    pub group: GroupId,
    /// The epoch that a message was made in.
    pub epoch: Epoch,
}

/// A condition that an append requires. Each channel keeps one current epoch per group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    Any,
    /// The group, if the channel knows it, is at this epoch.
    At(GroupEpoch),
    /// The group, if the channel knows it, is at this epoch; it advances to the next. The first commit of an epoch
    /// wins: this is the one compare-and-append that decides it.
    Advance(GroupEpoch),
    /// The group, if the channel knows it, is at this epoch or an earlier one; it advances to the one after this. For
    /// groups whose relay does not see every commit.
    AdvanceFrom(GroupEpoch),
    /// As [`At`](Self::At), and the channel knows no other group.
    AtSole(GroupEpoch),
    /// As [`AtSole`](Self::AtSole), but the group may have advanced since, by at most so many epochs.
    RecentSole(GroupEpoch, u64),
    /// As [`Advance`](Self::Advance), and the channel knows no other group: the first commit binds the channel to its
    /// group.
    AdvanceSole(GroupEpoch),
}

/// The reason why a precondition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreconditionFailed {
    /// The group is at another epoch, this one.
    Epoch(Epoch),
    /// The channel belongs to another group.
    OtherGroup,
}

impl Precondition {
    /// Decides against the group's current epoch and whether the channel knows other groups, and returns the epoch to
    /// store.
    ///
    /// # Errors
    ///
    /// [`PreconditionFailed`] where the precondition does not hold.
    pub fn decide(
        &self,
        current: Option<Epoch>,
        others: bool,
    ) -> std::result::Result<Option<Epoch>, PreconditionFailed> {
        let (wanted, advances) = match self {
            Self::Any => return Ok(None),
            Self::At(wanted) | Self::AtSole(wanted) | Self::RecentSole(wanted, _) => (wanted, false),
            Self::Advance(wanted) | Self::AdvanceFrom(wanted) | Self::AdvanceSole(wanted) => (wanted, true),
        };
        if others && self.is_sole() {
            return Err(PreconditionFailed::OtherGroup);
        }
        let (earlier, later) = self.leeway();
        let fits = |current: Epoch| {
            let allowed = if wanted.epoch <= current { earlier } else { later };
            wanted.epoch.0.abs_diff(current.0) <= allowed
        };
        match current {
            Some(current) if !fits(current) => Err(PreconditionFailed::Epoch(current)),
            _ if advances && wanted.epoch.0 >= i64::MAX as u64 => {
                Err(PreconditionFailed::Epoch(current.unwrap_or_default()))
            }
            _ => Ok(advances.then(|| wanted.epoch.next())),
        }
    }

    /// Returns how many epochs a message may be behind its group, and ahead of it.
    const fn leeway(&self) -> (u64, u64) {
        match self {
            Self::RecentSole(_, past) => (*past, 0),
            Self::AdvanceFrom(_) => (0, u64::MAX),
            _ => (0, 0),
        }
    }

    /// Tells whether the group has to be the channel's only one.
    pub const fn is_sole(&self) -> bool {
        matches!(self, Self::AtSole(_) | Self::RecentSole(..) | Self::AdvanceSole(_))
    }

    /// Tells whether the append begins an epoch.
    pub const fn advances(&self) -> bool {
        matches!(self, Self::Advance(_) | Self::AdvanceFrom(_) | Self::AdvanceSole(_))
    }

    /// Returns the group that the precondition is about.
    pub fn group(&self) -> Option<&GroupId> {
        self.at().map(|at| &at.group)
    }

    /// Returns the group, and the epoch that the message was made in.
    pub fn at(&self) -> Option<&GroupEpoch> {
        match self {
            Self::Any => None,
            Self::At(at) | Self::AtSole(at) | Self::RecentSole(at, _) => Some(at),
            Self::Advance(at) | Self::AdvanceFrom(at) | Self::AdvanceSole(at) => Some(at),
        }
    }
}
