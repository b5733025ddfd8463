//! Coming back into a group that has gone on, by an external commit (RFC 9420 §12.4.3.2).

use skytale_core::extension::{self, Code, Content, FetchGroupInfo, GroupInfo, Submit};

use super::responses::Asked;
use super::stored::Phase;
use super::{CommitState, Machine, Now, RejoinPolicy, id_of};
use crate::error::Result;
use crate::event::Event;
use crate::group::{Group, Member};

/// How far the agent is on its way back.
#[derive(Debug, Default)]
pub(super) struct Returning {
    is_asking: bool,
    not_before: Now,
    /// How often in a row it was soon tried again.
    tries: u32,
    /// Whether the relay lets this agent in by no external commit. It may, later.
    is_forbidden: bool,
    /// The group as it is if the commit with this id wins. Nothing of it is stored before: an agent that dies here starts
    /// again, and its next commit takes the place of its last leaf, whichever that is.
    candidate: Option<([u8; 16], Box<Group>)>,
}

/// How long to wait before the next try, in milliseconds: relays take one such commit a minute. Where another was faster it
/// is less at first; where no try can succeed, since nobody can follow the group's last commit, it grows to as much.
const PATIENCE: u64 = 60_000;
const SOON: u64 = 500;

impl Returning {
    pub fn again(&mut self) {
        self.is_asking = false;
        self.candidate = None;
    }

    pub fn is(&self, id: [u8; 16]) -> bool {
        self.candidate.as_ref().is_some_and(|(candidate, _)| *candidate == id)
    }

    pub fn retry_at(&self) -> Option<Now> {
        (!self.is_asking && self.not_before > 0).then_some(self.not_before)
    }
}

impl Machine {
    /// Asks the relay for the group's newest GroupInfo.
    pub(super) fn ask_to_come_back(&mut self) {
        if self.options.rejoin_policy == RejoinPolicy::Wait
            || self.returning.is_asking
            || self.now < self.returning.not_before
        {
            return;
        }
        self.returning.is_asking = true;
        let fetch = Content::FetchGroupInfo(FetchGroupInfo { channel: self.channel.to_string() });
        let frame = self.ask(fetch, Asked::GroupInfo).into_frame();
        self.effects.frames.push(frame);
    }

    /// Builds the external commit from the newest GroupInfo that is genuine, and sends it. Where somebody came in whom this
    /// agent has refused, its group is not the agent's.
    pub(super) fn come_back(&mut self, found: &GroupInfo) -> Result<()> {
        let uninvited = self.uninvited.unwrap_or(u64::MAX);
        let newest_first = std::iter::once(found).chain(&found.older);
        let ours = newest_first.filter(|found| found.sequence < uninvited);
        let built = ours.filter_map(|found| self.group.return_by(&found.group_info).ok()).next();
        let Some((candidate, built)) = built else {
            tracing::warn!("no GroupInfo at the relay is of use");
            self.return_refused(Code::NotFound, 0)?;
            return Ok(());
        };
        let id = id_of(&built.commit);
        self.returning.candidate = Some((id, Box::new(candidate)));
        let group_info = built.group_info.into();
        let submit = Submit { applied: self.cursor, group_info, ..Default::default() };
        let extension = self.ask(Content::Submit(submit), Asked::Return(id)).with_message_id(id);
        self.effects.frames.push(extension::message(&self.channel, built.commit.into(), &extension));
        Ok(())
    }

    /// Tells whether the agent, forked as it is, comes back by itself, as far as it knows.
    pub(super) fn may_come_back(&self) -> bool {
        self.options.rejoin_policy == RejoinPolicy::ExternalCommit && !self.returning.is_forbidden
    }

    pub(super) fn return_refused(&mut self, code: Code, retry_after: u64) -> Result<()> {
        self.returning.again();
        let patience = match code {
            Code::StaleEpoch | Code::FutureEpoch | Code::NotYourTurn | Code::Unavailable => {
                (SOON << self.returning.tries.min(7)).min(PATIENCE)
            }
            _ => PATIENCE,
        };
        self.returning.tries += 1;
        self.returning.not_before = self.now + patience.max(retry_after);
        // Only another member can let the agent in: nobody is to wait for that unknowingly.
        if matches!(code, Code::NotPrivate | Code::NotAuthorized) && matches!(self.phase, Phase::Forked(_)) {
            self.returning.is_forbidden = true;
            return self.drop_all();
        }
        Ok(())
    }

    /// Returns the members but for this agent, whose leaf is another when it comes back.
    fn others(&self) -> Vec<Member> {
        let mut members = self.group.members();
        let own = self.group.own_leaf();
        members.retain(|member| member.leaf != own);
        members
    }

    /// The external commit has got its place: the agent is a member again from there on.
    pub(super) fn returned(&mut self, sequence: u64) -> Result<()> {
        let Some((_, group)) = self.returning.candidate.take() else { return Ok(()) };
        self.returning = Returning::default();
        let before = self.others();
        self.group.replace(*group);
        self.history.lose();
        self.history.begin(sequence, self.group.epoch_authenticator());
        self.tell_difference(sequence, &before, &self.others())?;
        self.has_new_keys();
        self.phase = Phase::Member;
        if let Some(in_flight) = &mut self.pending {
            in_flight.state = CommitState::Lost;
            self.commit_lost(sequence)?;
        }
        self.outbox.values_mut().for_each(super::outbox::Sending::again);
        let epoch = self.group.epoch();
        self.tell(sequence, Event::Rejoined { epoch, sequence })
    }
}
