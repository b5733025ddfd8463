//! Messages of the channel, applied strictly in the order of their numbers.

use std::collections::BTreeMap;

use skytale_core::mls::{ContentType, MlsHeader, SenderKind};

use super::history::{Difference, HistoryDigest};
use super::stored::Phase;
use super::{CommitState, Machine, id_of};
use crate::content::Content;
use crate::error::Result;
use crate::event::{Event, Message};
use crate::group::Member;
use crate::group::process::{Processed, Undecryptable};

impl Machine {
    /// Applies the record with a number; `message` is `None` for a place that the agent's own message has.
    pub(super) fn delivered(
        &mut self,
        sequence: u64,
        previous: u64,
        id: Option<[u8; 16]>,
        message: Option<&[u8]>,
    ) -> Result<()> {
        if sequence <= self.cursor || self.phase == Phase::Evicted {
            return Ok(());
        }
        self.next_part = 0;
        if previous > self.cursor {
            let event = Event::Gap { from: self.cursor + 1, to: previous };
            self.tell(previous, event)?;
            self.history.lose();
        }
        self.cursor = sequence;
        self.moved = true;
        // An agent gets its own messages as a place without bytes, whose id is made of them.
        self.history.read(sequence, message.map(id_of).or(id).unwrap_or_default());
        let own = self.pending.as_ref().map(|in_flight| in_flight.pending.id);
        if id.is_some() && id == own {
            return self.commit_won(sequence);
        }
        if id.is_some_and(|id| self.returning.is(id)) {
            return self.returned(sequence);
        }
        match message {
            Some(message) => self.apply(sequence, id.unwrap_or_default(), message),
            None => Ok(()),
        }
    }

    fn apply(&mut self, sequence: u64, id: [u8; 16], message: &[u8]) -> Result<()> {
        let Some(MlsHeader::Framed { group, epoch, content, sender: kind }) = MlsHeader::read(message) else {
            return Ok(());
        };
        if group != self.group.id() || matches!(self.phase, Phase::Forked(_)) {
            return Ok(());
        }
        if epoch.0 > self.group.epoch() {
            return self.forked(sequence);
        }
        let before = (content == ContentType::Commit).then(|| self.group.members());
        match self.group.process(message)? {
            Ok(Processed::Application { sender, content }) => {
                self.tell_message(sequence, id, epoch.0, sender, content)
            }
            Ok(Processed::Commit) => self.followed(sequence, &before.unwrap_or_default()),
            Ok(Processed::Leaving { leaf }) => self.wants_to_leave(leaf),
            // The relay accepted a commit of this agent that it does not know: its state is an older one.
            Ok(Processed::Own) if content == ContentType::Commit => self.forked(sequence),
            Ok(Processed::Own | Processed::Ignored) => Ok(()),
            Err(_) if content == ContentType::Commit && epoch.0 == self.group.epoch() => {
                if kind == SenderKind::NewMemberCommit {
                    self.uninvited = self.uninvited.or(Some(sequence));
                }
                self.forked(sequence)
            }
            Err(Undecryptable(reason)) => self.tell(sequence, Event::Undecryptable { sequence, reason }),
        }
    }

    fn tell_message(
        &mut self,
        sequence: u64,
        id: [u8; 16],
        epoch: u64,
        sender: String,
        content: Vec<u8>,
    ) -> Result<()> {
        let Some((content, mark)) = Content::decode(content) else {
            let reason = "its content is of a version that this one does not know".to_owned();
            return self.tell(sequence, Event::Undecryptable { sequence, reason });
        };
        self.compare(sequence, epoch, &sender, &mark)?;
        let Content::Message(body) = content else { return Ok(()) };
        let channel = self.channel.to_string();
        self.tell(sequence, Event::Message(Message { channel, sender, sequence, id, epoch, body }))
    }

    /// Compares what the sender of a message had read with what this agent has.
    fn compare(&mut self, sequence: u64, epoch: u64, sender: &str, mark: &HistoryDigest) -> Result<()> {
        let Some(Difference { through, own, theirs }) =
            self.history.compare(mark, epoch == self.group.epoch())
        else {
            return Ok(());
        };
        let sender = sender.to_owned();
        self.tell(sequence, Event::HistoryDiffers { sender, sequence, through, own, theirs })
    }

    /// Another member's commit is applied: whatever commit of the agent's was pending has lost.
    fn followed(&mut self, sequence: u64, before: &[Member]) -> Result<()> {
        if self.pending.is_some() {
            self.commit_lost(sequence)?;
        }
        self.epoch_began(sequence, before)
    }

    /// Tells what the commit with a number has changed.
    pub(super) fn epoch_began(&mut self, sequence: u64, before: &[Member]) -> Result<()> {
        (self.sent_in_epoch, self.epoch_since) = (0, self.now);
        if !self.group.is_active() {
            return self.evicted(sequence);
        }
        self.history.begin(sequence, self.group.epoch_authenticator());
        self.tell_difference(sequence, before, &self.group.members())?;
        let epoch = self.group.epoch();
        self.tell(sequence, Event::Epoch { epoch, sequence })
    }

    /// Tells who is no member any more, and who is one since.
    pub(super) fn tell_difference(
        &mut self,
        sequence: u64,
        before: &[Member],
        after: &[Member],
    ) -> Result<()> {
        let (left, joined) = difference(before, after);
        for agent in left {
            self.tell(sequence, Event::Left { agent, sequence })?;
        }
        for agent in joined {
            self.tell(sequence, Event::Joined { agent, sequence })?;
        }
        Ok(())
    }

    fn evicted(&mut self, sequence: u64) -> Result<()> {
        self.phase = Phase::Evicted;
        self.leave_asked(sequence);
        self.drop_all()?;
        self.tell(sequence, Event::Evicted { sequence })
    }

    /// The group has gone on where this agent cannot follow.
    pub(super) fn forked(&mut self, sequence: u64) -> Result<()> {
        self.phase = Phase::Forked(sequence);
        if let Some(in_flight) = &mut self.pending {
            in_flight.state = CommitState::Lost;
        }
        if !self.may_come_back() {
            self.drop_all()?;
        }
        let epoch = self.group.epoch();
        self.tell(sequence, Event::Forked { sequence, epoch })
    }
}

/// Returns the agents that are gone and those that are new; an agent with several leaves counts by its leaves' keys.
fn difference(before: &[Member], after: &[Member]) -> (Vec<String>, Vec<String>) {
    let index = |members: &[Member]| -> BTreeMap<(u32, Vec<u8>), String> {
        let entry = |member: &Member| ((member.leaf, member.signature_key.clone()), member.agent.clone());
        members.iter().map(entry).collect()
    };
    let (before, after) = (index(before), index(after));
    let missing_in = |of: &BTreeMap<_, String>, other: &BTreeMap<_, String>| {
        of.iter().filter(|(key, _)| !other.contains_key(*key)).map(|(_, agent)| agent.clone()).collect()
    };
    (missing_in(&before, &after), missing_in(&after, &before))
}
