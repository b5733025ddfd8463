//! The condition of an append, read from the MLS bytes of a group command.

use sha2::{Digest, Sha256};
use skytale_core::mls::{ContentType, MlsHeader};
use skytale_core::{Envelope, MlsContent};
use skytale_store::{GroupEpoch, GroupId, MessageId, Precondition};

use crate::close_reason::CloseReason;

/// What must hold for a group command, and by what its repetition is recognised.
#[derive(Debug)]
pub(crate) struct AppendCondition {
    pub precondition: Precondition,
    pub message_id: Option<MessageId>,
}

impl AppendCondition {
    /// Returns the epoch that the message was made in, where one is demanded.
    pub fn epoch(&self) -> Option<u64> {
        self.precondition.at().map(|at| at.epoch.0)
    }

    /// Reads a group command.
    ///
    /// A commit advances its group. SLIM's moderators keep commits of pairs to themselves, so that epochs have holes: a
    /// commit is accepted from any epoch that is not past. A proposal, and a command of a group without MLS, is archived
    /// in order and advances nothing. Moderators send a command again while confirmations are missing; the hash of the
    /// MLS bytes tells a repetition from a rival.
    pub fn read(envelope: &Envelope) -> Result<Self, CloseReason> {
        let MlsContent::Present(message) = envelope.mls_content() else {
            return Ok(Self { precondition: Precondition::Any, message_id: None });
        };
        let message_id = Some(hash(message));
        match MlsHeader::read(message) {
            Some(MlsHeader::Framed { group, epoch, content: ContentType::Commit, .. }) => {
                let group = GroupId::new(group.to_vec()).map_err(|_| CloseReason::NotMls)?;
                let precondition = Precondition::AdvanceFrom(GroupEpoch { group, epoch });
                Ok(Self { precondition, message_id })
            }
            Some(MlsHeader::Framed { content: ContentType::Proposal, .. }) => {
                Ok(Self { precondition: Precondition::Any, message_id })
            }
            _ => Err(CloseReason::NotMls),
        }
    }
}

fn hash(message: &[u8]) -> MessageId {
    let digest = Sha256::digest(message);
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    MessageId(id)
}
