//! Messages of the other members.

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::*;

use super::{Group, Member, name, of};
use crate::error::{Error, Result};

/// What a message of the group was.
#[derive(Debug)]
pub(crate) enum Processed {
    /// An application message, and the name of the agent that sent it.
    Application { sender: String, content: Vec<u8> },
    /// A commit; it is applied.
    Commit,
    /// A member asks to be removed.
    Leaving { leaf: u32 },
    /// The agent's own message.
    Own,
    /// A proposal that this crate does not know; it is ignored.
    Ignored,
}

/// Why a message cannot be read, or must not be applied.
#[derive(Debug)]
pub(crate) struct Undecryptable(pub String);

impl Group {
    /// Processes a message of this group; a commit is applied at once, and takes a pending one's place.
    pub fn process(&mut self, message: &[u8]) -> Result<Result<Processed, Undecryptable>> {
        let undecryptable = |error: &dyn std::error::Error| Ok(Err(Undecryptable(error.to_string())));
        let message = match MlsMessageIn::tls_deserialize_exact(message) {
            Ok(message) => message,
            Err(error) => return undecryptable(&error),
        };
        let message = match message.try_into_protocol_message() {
            Ok(message) => message,
            Err(error) => return undecryptable(&error),
        };
        let processed = match self.mls.process_message(self.records.provider(), message) {
            Ok(processed) => processed,
            Err(ProcessMessageError::StorageError(error)) => return Err(Error::mls(error)),
            Err(error) => return undecryptable(&error),
        };
        let sender = self.sender(processed.sender());
        // By the tree of the message's own epoch: its leaf may be another agent's by now.
        let agent = matches!(processed.sender(), Sender::Member(_)).then(|| name(processed.credential()));
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => Ok(match agent {
                Some(sender) => Ok(Processed::Application { sender, content: message.into_bytes() }),
                None => Err(Undecryptable("its sender is no member".to_owned())),
            }),
            ProcessedMessageContent::StagedCommitMessage(commit) => self.apply(*commit, sender),
            ProcessedMessageContent::ProposalMessage(proposal) => Ok(Ok(leaving(&proposal))),
            ProcessedMessageContent::OwnPendingCommit | ProcessedMessageContent::OwnPrivateMessage => {
                Ok(Ok(Processed::Own))
            }
            _ => Ok(Ok(Processed::Ignored)),
        }
    }

    fn apply(
        &mut self,
        commit: StagedCommit,
        sender: Option<Member>,
    ) -> Result<Result<Processed, Undecryptable>> {
        if sender.is_none() && !self.is_return(&commit) {
            return Ok(Err(Undecryptable("an external commit by nobody who was a member".to_owned())));
        }
        self.mls.merge_staged_commit(self.records.provider(), commit).map_err(Error::mls)?;
        Ok(Ok(Processed::Commit))
    }

    /// Tells whether an external commit brings a member back: it has to take the place of a leaf with the same name and
    /// the same key.
    fn is_return(&self, commit: &StagedCommit) -> bool {
        let Some(leaf) = commit.update_path_leaf_node() else { return false };
        commit.remove_proposals().any(|remove| {
            let replaced = self.mls.member_at(remove.remove_proposal().removed());
            replaced.is_some_and(|member| {
                member.credential == *leaf.credential()
                    && member.signature_key == leaf.signature_key().as_slice()
            })
        })
    }

    fn sender(&self, sender: &Sender) -> Option<Member> {
        match sender {
            Sender::Member(leaf) => self.mls.member_at(*leaf).map(|member| of(&member)),
            _ => None,
        }
    }
}

fn leaving(proposal: &QueuedProposal) -> Processed {
    match (proposal.proposal(), proposal.sender()) {
        (Proposal::Remove(remove), Sender::Member(leaf)) if remove.removed() == *leaf => {
            Processed::Leaving { leaf: leaf.u32() }
        }
        _ => Processed::Ignored,
    }
}
