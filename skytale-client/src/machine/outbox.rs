//! Messages of the agent: encrypted, stored, sent, and sent again until the relay has numbered them.

use skytale_core::extension::{self, Content as Request, Submit};

use super::effects::{Change, Kind, Ticket};
use super::responses::Asked;
use super::stored::{Outgoing, Sealed, put};
use super::{Link, Machine, Now, id_of};
use crate::content::{self, Content};
use crate::error::{Error, Result};
use crate::event::{Event, Unsent};

/// A message on its way, and how far it is.
#[derive(Debug)]
pub(super) struct Sending {
    pub outgoing: Outgoing,
    pub ticket: Option<Ticket>,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is to be sent, or sent again as it is.
    Ready,
    Sent,
    /// The group has gone on: it has to be encrypted anew, once this agent has followed.
    Stale,
    /// The relay asked for patience.
    Until(Now),
}

impl Sending {
    pub fn restored(outgoing: Outgoing) -> Self {
        Self { outgoing, ticket: None, state: State::Ready }
    }

    /// Forgets that it was sent.
    pub fn again(&mut self) {
        if self.state != State::Stale {
            self.state = State::Ready;
        }
    }

    pub fn retry_at(&self) -> Option<Now> {
        match self.state {
            State::Until(at) => Some(at),
            _ => None,
        }
    }

    fn epoch(&self) -> Option<u64> {
        self.outgoing.sealed.as_ref().map(|sealed| sealed.epoch)
    }
}

impl Machine {
    pub(super) fn send(&mut self, ticket: Ticket, body: Vec<u8>) -> Result<()> {
        let checked = self.check_member().and_then(|()| self.check_keys());
        match checked.and_then(|()| Content::Message(body).encode(self.options.padding)) {
            Ok(content) => {
                self.said += 1;
                self.moved = true;
                self.queue(content, Some(ticket))
            }
            Err(error) => {
                self.done(Some(ticket), Err(error));
                Ok(())
            }
        }
    }

    /// Waiting is of no use where the agent needs new keys and was refused them.
    fn check_keys(&self) -> Result<()> {
        let reason = "this state is a copy, or lacks its last steps, and sends nothing before its keys are renewed, which \
                      was refused: let the agent commit, or have it removed and added again";
        match self.in_doubt && self.now < self.rotates_from {
            true => Err(Error::NotAuthorized { reason: reason.to_owned() }),
            false => Ok(()),
        }
    }

    /// Gives up what would have to be encrypted, where that may not be.
    pub(super) fn drop_unsealed(&mut self) -> Result<()> {
        let is_unsealed =
            |sending: &Sending| sending.outgoing.sealed.is_none() || sending.state == State::Stale;
        let unsealed = self.outbox.iter().filter(|(_, sending)| is_unsealed(sending));
        for key in unsealed.map(|(key, _)| *key).collect::<Vec<_>>() {
            let refused = self.check_keys().map(|()| 0);
            self.drop_outgoing(key, refused)?;
        }
        Ok(())
    }

    pub(super) fn cover(&mut self) -> Result<()> {
        // Cover that waits would only delay what is meant.
        if self.check_member().is_err() || self.link != Link::Up || !self.outbox.is_empty() {
            return Ok(());
        }
        let content = Content::Cover.encode(self.options.padding)?;
        self.queue(content, None)
    }

    fn queue(&mut self, content: Vec<u8>, ticket: Option<Ticket>) -> Result<()> {
        let key = self.next_key();
        let outgoing = Outgoing { content, sealed: None };
        self.changes.push(put(Kind::Outgoing, &key.to_be_bytes(), &outgoing)?);
        self.outbox.insert(key, Sending { outgoing, ticket, state: State::Ready });
        Ok(())
    }

    /// Sends what waits, in order: what was encrypted in a past epoch is answered before anything follows it.
    pub(super) fn flush_outbox(&mut self) -> Result<()> {
        if !matches!(self.phase, super::stored::Phase::Member) {
            return Ok(());
        }
        let epoch = self.group.epoch();
        let keys: Vec<u64> = self.outbox.keys().copied().collect();
        for key in keys {
            let Some(sending) = self.outbox.get(&key) else { continue };
            let past = sending.epoch().is_some_and(|sealed| sealed < epoch);
            match sending.state {
                State::Sent if past => return Ok(()),
                State::Sent => {}
                State::Stale if !past => return Ok(()),
                State::Until(at) if at > self.now => return Ok(()),
                State::Stale if self.in_doubt => return Ok(()),
                State::Stale => {
                    self.seal(key)?;
                    self.submit(key);
                }
                State::Ready | State::Until(_) => {
                    if sending.outgoing.sealed.is_none() {
                        if self.in_doubt {
                            return Ok(());
                        }
                        self.seal(key)?;
                    }
                    self.submit(key);
                    // What was encrypted before may come back as stale.
                    if past {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn seal(&mut self, key: u64) -> Result<()> {
        let Some(sending) = self.outbox.get_mut(&key) else { return Ok(()) };
        content::mark(&mut sending.outgoing.content, &self.history.mark());
        let message = self.group.encrypt(&sending.outgoing.content)?;
        let (id, epoch) = (id_of(&message), self.group.epoch());
        sending.outgoing.sealed = Some(Sealed { id, epoch, message });
        self.changes.push(put(Kind::Outgoing, &key.to_be_bytes(), &sending.outgoing)?);
        self.sent_in_epoch += 1;
        Ok(())
    }

    fn submit(&mut self, key: u64) {
        let extension = self.ask(Request::Submit(Submit::default()), Asked::Message(key));
        let Some(sending) = self.outbox.get_mut(&key) else { return };
        let Some(sealed) = &sending.outgoing.sealed else { return };
        let extension = extension.with_message_id(sealed.id);
        let frame = extension::message(&self.channel, sealed.message.clone().into(), &extension);
        sending.state = State::Sent;
        self.effects.frames.push(frame);
    }

    /// The relay has numbered a message.
    pub(super) fn sent(&mut self, key: u64, sequence: u64) -> Result<()> {
        self.drop_outgoing(key, Ok(sequence))
    }

    /// A message was made in an epoch that is past: nobody has got it.
    pub(super) fn stale(&mut self, key: u64) {
        if let Some(sending) = self.outbox.get_mut(&key) {
            sending.state = State::Stale;
        }
    }

    pub(super) fn send_later(&mut self, key: u64, at: Now) {
        if let Some(sending) = self.outbox.get_mut(&key) {
            sending.state = State::Until(at);
        }
    }

    /// Lets go of a message. What became of it is told to its caller; where that is gone, an event tells what is lost.
    pub(super) fn drop_outgoing(&mut self, key: u64, outcome: Result<u64>) -> Result<()> {
        let Some(sending) = self.outbox.remove(&key) else { return Ok(()) };
        self.changes.push(Change::Delete { kind: Kind::Outgoing, key: key.to_be_bytes().to_vec() });
        if let (None, Err(error)) = (sending.ticket, &outcome)
            && let Some((Content::Message(body), _)) = Content::decode(sending.outgoing.content)
        {
            return self.tell(self.cursor, Event::NotSent(Unsent { body, reason: error.to_string() }));
        }
        self.done(sending.ticket, outcome);
        Ok(())
    }

    /// Gives up everything that waits, because the agent is no member any more.
    pub(super) fn drop_outbox(&mut self) -> Result<()> {
        let keys: Vec<u64> = self.outbox.keys().copied().collect();
        for key in keys {
            let error = Error::not_a_member(&self.channel);
            self.drop_outgoing(key, Err(error))?;
        }
        Ok(())
    }
}
