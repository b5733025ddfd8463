//! What the relay says: answers, messages of the channel, and where the agent's own have their place.

use bytes::Bytes;
use skytale_core::extension::{Accepted, Code, Content, Durability, Extension, Refused};
use skytale_core::{Dialect, Envelope, FrameLimits};

use super::stored::Phase;
use super::{CommitState, Link, Machine};
use crate::error::{Error, Result};

/// What a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Resume,
    Message(u64),
    Commit([u8; 16]),
    Leave,
    GroupInfo,
    Return([u8; 16]),
}

/// How long to wait where the relay asks for patience and does not say how long, in milliseconds.
const PATIENCE: u64 = 250;

impl Machine {
    /// Takes in a frame. What is none, or of something else, is passed over: a relay may learn new words.
    pub(super) fn frame(&mut self, frame: Bytes) -> Result<()> {
        let Ok(envelope) = Envelope::parse(frame, Dialect::Slim3, &limits()) else { return Ok(()) };
        let Some(Ok(extension)) = envelope.extension().map(Extension::read) else { return Ok(()) };
        if extension.sequence > 0 {
            let id = extension.id();
            let message = envelope.app_payload().map(|payload| payload.blob.to_vec());
            return self.delivered(extension.sequence, extension.previous, id, message.as_deref());
        }
        if let (0, Some(Content::Refused(refused))) = (extension.request, &extension.content) {
            // The last word of a stream. One whose token is over ends by itself, and the next one has another.
            if refused.code != i32::from(Code::NotAuthorized) {
                self.hang_up(Error::refused(refused.clone()));
            }
            return Ok(());
        }
        if let Some(Content::Drain(drain)) = extension.content {
            let (code, text) = (Code::Unavailable.into(), "the relay drains".to_owned());
            let refused = Refused { code, text, retry_after_ms: drain.retry_after_ms, ..Default::default() };
            self.hang_up(Error::refused(refused));
            return Ok(());
        }
        let Some(asked) = self.asked.remove(&extension.request) else { return Ok(()) };
        match (asked, extension.content) {
            (_, Some(Content::Accepted(accepted))) => self.accepted(asked, accepted),
            (_, Some(Content::Refused(refused))) => self.refused(asked, refused),
            (Asked::GroupInfo, Some(Content::GroupInfo(found))) => self.come_back(&found),
            _ => Ok(()),
        }
    }

    fn accepted(&mut self, asked: Asked, accepted: Accepted) -> Result<()> {
        if !matches!(accepted.durability(), Durability::Unspecified) {
            self.durability = Some(accepted.durability());
        }
        match asked {
            Asked::Resume => self.link = Link::Up,
            Asked::Message(key) => return self.sent(key, accepted.sequence),
            Asked::Leave => self.leave_asked(accepted.sequence),
            // It is applied at its place among the others.
            Asked::Commit(_) | Asked::Return(_) | Asked::GroupInfo => {}
        }
        Ok(())
    }

    fn refused(&mut self, asked: Asked, refused: Refused) -> Result<()> {
        let code = Code::try_from(refused.code).unwrap_or(Code::Unspecified);
        let patience = if refused.retry_after_ms > 0 { refused.retry_after_ms } else { PATIENCE };
        let later = self.now + patience;
        let wait = matches!(code, Code::Rate | Code::Unavailable | Code::NotYourTurn);
        match asked {
            Asked::Message(key) if code == Code::StaleEpoch => {
                self.stale(key);
                return self.catch_up_or_fork(&refused);
            }
            Asked::Message(key) if wait => self.send_later(key, later),
            Asked::Message(key) => return self.drop_outgoing(key, Err(Error::refused(refused))),
            Asked::Commit(id) => return self.commit_refused(id, code, later, refused),
            Asked::Leave if code == Code::StaleEpoch => {
                self.leave_again();
                return self.catch_up_or_fork(&refused);
            }
            Asked::Leave if wait => self.leave_later(later),
            Asked::Leave => self.leave_refused(&refused),
            Asked::GroupInfo | Asked::Return(_) => return self.return_refused(code, refused.retry_after_ms),
            Asked::Resume if wait => self.hang_up(Error::refused(refused)),
            // A channel that may not be made is nothing to wait for.
            Asked::Resume if self.phase == Phase::Founding => return self.give_up_founding(&refused),
            Asked::Resume => self.hang_up(Error::NotAuthorized { reason: refused.text }),
        }
        Ok(())
    }

    fn commit_refused(&mut self, id: [u8; 16], code: Code, later: u64, mut refused: Refused) -> Result<()> {
        let Some(in_flight) = self.pending.as_mut().filter(|in_flight| in_flight.pending.id == id) else {
            return Ok(());
        };
        match code {
            Code::StaleEpoch | Code::FutureEpoch if self.phase != Phase::Founding => {
                in_flight.state = CommitState::Lost;
                for missed in std::mem::take(&mut refused.missed) {
                    self.missed(missed)?;
                }
                self.catch_up_or_fork(&refused)
            }
            Code::NotYourTurn | Code::Rate | Code::Unavailable => {
                in_flight.state = CommitState::Until(later);
                Ok(())
            }
            _ => self.give_up_commit(refused),
        }
    }

    /// Waits for the commits that this agent lacks, unless it has read to the end: then the archive has dropped them.
    fn catch_up_or_fork(&mut self, refused: &Refused) -> Result<()> {
        let is_behind = self.phase == Phase::Member && refused.epoch > self.group.epoch();
        if is_behind && self.cursor >= refused.last {
            return self.forked(self.cursor);
        }
        Ok(())
    }

    /// Applies what a refusal brings, so that the next attempt needs no round trip.
    fn missed(&mut self, missed: skytale_core::extension::Missed) -> Result<()> {
        let Ok(envelope) = Envelope::parse(missed.frame, Dialect::Slim3, &limits()) else { return Ok(()) };
        let message = envelope.app_payload().map(|payload| payload.blob.to_vec());
        let id = missed.message_id.as_ref().try_into().ok();
        if missed.sequence == self.cursor + 1 {
            return self.delivered(missed.sequence, self.cursor, id, message.as_deref());
        }
        Ok(())
    }

    /// Nothing comes by a stream whose subscription was refused. A removed agent has nothing to wait for.
    fn hang_up(&mut self, why: Error) {
        self.link = Link::Down;
        if self.phase != Phase::Evicted {
            self.effects.hang_up = Some(why);
        }
    }
}

/// What is read of a relay's frame: the relay itself has checked the senders'.
fn limits() -> FrameLimits {
    FrameLimits::default().with_frame_bytes(16 * 1024 * 1024)
}
