//! The agent's wish to be removed, until the relay has numbered the proposal that asks for it.

use skytale_core::extension::{self, Content, Refused, Submit};

use super::effects::Ticket;
use super::responses::Asked;
use super::stored::Phase;
use super::{Link, Machine, Now, id_of};
use crate::error::{Error, Result};

/// Who waits to be told, and how far it is. It is in memory alone: an agent that starts again has to be told again.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    tickets: Vec<Ticket>,
    /// The epoch in which it is proposed, while there is no answer.
    proposed: Option<u64>,
    not_before: Now,
    /// The last epoch that a proposal came too late for.
    stale: Option<u64>,
}

impl Leaving {
    /// Forgets that it was proposed.
    pub fn again(&mut self) {
        self.proposed = None;
    }

    pub fn retry_at(&self) -> Option<Now> {
        (!self.tickets.is_empty() && self.proposed.is_none()).then_some(self.not_before)
    }
}

impl Machine {
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let disconnected =
            || Error::Unreachable { relay: "the relay".to_owned(), source: "not connected".into() };
        match self.check_member() {
            Err(error) => self.done(Some(ticket), Err(error)),
            Ok(()) if self.link == Link::Down => self.done(Some(ticket), Err(disconnected())),
            Ok(()) => self.leaving.tickets.push(ticket),
        }
    }

    /// Asks the other members to remove this agent. What a pending commit comes to is waited for: MLS lets nothing be
    /// proposed meanwhile.
    pub(super) fn flush_leaving(&mut self) -> Result<()> {
        let (leaving, epoch) = (&self.leaving, self.group.epoch());
        let is_due = leaving.retry_at().is_some_and(|at| at <= self.now);
        let has_followed = leaving.stale.is_none_or(|stale| epoch > stale) && !self.in_doubt;
        if !is_due || !has_followed || self.phase != Phase::Member || self.pending.is_some() {
            return Ok(());
        }
        let proposal = self.group.propose_leaving()?;
        self.leaving.proposed = Some(epoch);
        let extension = self.ask(Content::Submit(Submit::default()), Asked::Leave);
        let extension = extension.with_message_id(id_of(&proposal));
        self.effects.frames.push(extension::message(&self.channel, proposal.into(), &extension));
        Ok(())
    }

    /// The proposal was made in an epoch that is past: it is made again in the next one.
    pub(super) fn leave_again(&mut self) {
        self.leaving.stale = self.leaving.proposed.take();
    }

    pub(super) fn leave_later(&mut self, at: Now) {
        self.leaving.again();
        self.leaving.not_before = at;
    }

    /// The relay has numbered the proposal, or the agent is removed already.
    pub(super) fn leave_asked(&mut self, sequence: u64) {
        for ticket in std::mem::take(&mut self.leaving).tickets {
            self.done(Some(ticket), Ok(sequence));
        }
    }

    pub(super) fn leave_refused(&mut self, refused: &Refused) {
        for ticket in std::mem::take(&mut self.leaving).tickets {
            self.done(Some(ticket), Err(Error::refused(refused.clone())));
        }
    }

    pub(super) fn drop_leaving(&mut self) {
        for ticket in std::mem::take(&mut self.leaving).tickets {
            let error = Error::not_a_member(&self.channel);
            self.done(Some(ticket), Err(error));
        }
    }
}
