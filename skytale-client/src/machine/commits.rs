//! Changes of the group: wanted, planned as a commit on the current epoch, and planned again when another commit wins.

use skytale_core::extension::{self, AddressedWelcome, Code, Content, Refused, Submit};

use super::effects::{Change, Kind, Ticket};
use super::responses::Asked;
use super::stored::{Intent, ONLY, Pending, Phase, put};
use super::{CommitState, InFlight, Machine, Now, id_of};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::commit::{Built, Plan};

/// An intent, and what became of it so far.
#[derive(Debug)]
pub(super) struct PendingIntent {
    pub intent: Intent,
    pub ticket: Option<Ticket>,
    pub attempts: u32,
    pub not_before: Now,
    /// Whether it gets a commit of its own: one that was for others, too, could not be built.
    pub alone: bool,
}

/// How many agents one commit adds at most: each of them gets the whole Welcome.
pub(super) const ADDS: usize = 8;

/// How long until an agent tries again to give itself new keys, in milliseconds: ten minutes.
const ROTATE_AGAIN: Now = 10 * 60 * 1_000;

/// How long an agent that speaks keeps its keys, in milliseconds: a day.
const KEYS_LIFE: Now = 24 * 60 * 60 * 1_000;

/// How long the members of lower leaves are given to remove one that wants to leave, for each, in milliseconds.
const STAGGER: u64 = 50;
const LONGEST_STAGGER: u64 = 1_000;

impl PendingIntent {
    pub fn restored(intent: Intent) -> Self {
        Self { intent, ticket: None, attempts: 0, not_before: 0, alone: false }
    }
}

/// What an intent comes to on the group as it is now.
enum Step {
    Done,
    Add(String, Vec<u8>),
    Remove(Vec<u32>),
    Update,
}

impl Machine {
    pub(super) fn change(&mut self, ticket: Ticket, intent: Intent) -> Result<()> {
        match self.check_member().and_then(|()| self.check_removal(&intent)) {
            Ok(()) => self.want(intent, Some(ticket)),
            Err(error) => {
                self.done(Some(ticket), Err(error));
                Ok(())
            }
        }
    }

    /// A member cannot commit its own removal (RFC 9420, section 12.2).
    fn check_removal(&self, intent: &Intent) -> Result<()> {
        let Intent::Remove { agent } = intent else { return Ok(()) };
        let members = self.group.members();
        let mut leaves = members.iter().filter(|member| member.agent == *agent).map(|member| member.leaf);
        match leaves.next() == Some(self.group.own_leaf()) && leaves.next().is_none() {
            true => {
                Err(Error::configuration(format!("{agent} is this agent itself: let it leave the channel")))
            }
            false => Ok(()),
        }
    }

    pub(super) fn want(&mut self, intent: Intent, ticket: Option<Ticket>) -> Result<()> {
        let key = self.next_key();
        self.changes.push(put(Kind::Intent, &key.to_be_bytes(), &intent)?);
        self.intents.insert(key, PendingIntent { ticket, ..PendingIntent::restored(intent) });
        Ok(())
    }

    /// Another member asks to be removed. Each member would do it; the ones with lower leaves do it sooner.
    pub(super) fn wants_to_leave(&mut self, leaf: u32) -> Result<()> {
        let members = self.group.members();
        let Some(leaving) = members.iter().find(|member| member.leaf == leaf) else { return Ok(()) };
        let intent = Intent::RemoveLeaf { leaf, signature_key: leaving.signature_key.clone() };
        if leaf == self.group.own_leaf() || self.intents.values().any(|wanted| wanted.intent == intent) {
            return Ok(());
        }
        let rank = members.iter().filter(|member| member.leaf < self.group.own_leaf() && member.leaf != leaf);
        let patience = (rank.count() as u64 * STAGGER).min(LONGEST_STAGGER);
        self.want(intent, None)?;
        if let Some(wanted) = self.intents.get_mut(&self.last_key) {
            wanted.not_before = self.now + patience;
        }
        Ok(())
    }

    /// Gives the agent's leaf new keys when it has sent enough with the old ones, or anything for long enough, or may have
    /// used them without knowing.
    fn rotate_when_due(&mut self) -> Result<()> {
        let wanted = self.intents.values().any(|wanted| wanted.intent == Intent::Rotate);
        let old = self.sent_in_epoch > 0 && self.now - self.epoch_since >= KEYS_LIFE;
        let due = old || self.in_doubt || self.sent_in_epoch >= self.options.rotate_after;
        if due && !wanted && self.phase == Phase::Member && self.now >= self.rotates_from {
            self.want(Intent::Rotate, None)?;
        }
        Ok(())
    }

    /// The agent has new keys: nothing was encrypted with them before.
    pub(super) fn has_new_keys(&mut self) {
        if std::mem::take(&mut self.in_doubt) {
            self.changes.push(Change::Delete { kind: Kind::Doubt, key: ONLY.to_vec() });
        }
    }

    /// New keys that the agent wanted by itself cannot be had: it tries again, but not at once.
    fn note_failed_rotation(&mut self, intents: &[u64]) -> Result<()> {
        let is_own = |wanted: &PendingIntent| wanted.intent == Intent::Rotate && wanted.ticket.is_none();
        if intents.iter().filter_map(|key| self.intents.get(key)).any(is_own) {
            self.rotates_from = self.now + ROTATE_AGAIN;
            if self.in_doubt {
                return self.drop_unsealed();
            }
        }
        Ok(())
    }

    /// Sends the pending commit, or plans one for what is wanted.
    pub(super) fn flush_commit(&mut self) -> Result<()> {
        if let Phase::Forked(_) = self.phase {
            self.ask_to_come_back();
            return Ok(());
        }
        self.rotate_when_due()?;
        if matches!(self.phase, Phase::Member | Phase::Founding) {
            while self.pending.is_none() && self.plan()? {}
        }
        let Some(in_flight) = &mut self.pending else { return Ok(()) };
        let due = match in_flight.state {
            CommitState::Ready => true,
            CommitState::Until(at) => at <= self.now,
            CommitState::Sent | CommitState::Lost => false,
        };
        if due {
            in_flight.state = CommitState::Sent;
            let pending = in_flight.pending.clone();
            self.submit_commit(pending);
        }
        Ok(())
    }

    fn submit_commit(&mut self, pending: Pending) {
        let welcome = |agent: &String| AddressedWelcome {
            agent: agent.clone(),
            welcome: pending.welcome.clone().unwrap_or_default().into(),
        };
        let submit = Submit {
            applied: self.cursor,
            welcomes: pending.agents.iter().map(welcome).collect(),
            group_info: pending.group_info.into(),
        };
        let extension = self.ask(Content::Submit(submit), Asked::Commit(pending.id));
        let extension = extension.with_message_id(pending.id);
        self.effects.frames.push(extension::message(&self.channel, pending.commit.into(), &extension));
    }

    /// Builds one commit for everything that is wanted and due, and is not the case already. Returns whether it has to be
    /// tried again, because that commit could not be.
    fn plan(&mut self) -> Result<bool> {
        let (mut plan, mut intents) = (Plan::default(), Vec::new());
        let due: Vec<u64> = self
            .intents
            .iter()
            .filter(|(_, wanted)| wanted.not_before <= self.now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(wanted) = self.intents.get(&key) else { continue };
            let alone = wanted.alone;
            if alone && !intents.is_empty() {
                continue;
            }
            match self.step(&wanted.intent, &plan) {
                Step::Done => {
                    self.drop_intent(key, Ok(self.cursor))?;
                    continue;
                }
                Step::Add(..) if plan.adds.len() == self.adds => continue,
                Step::Add(agent, key_package) => plan.adds.push((agent, key_package)),
                Step::Remove(leaves) => {
                    plan.removes.extend(leaves);
                    plan.removes.sort_unstable();
                    plan.removes.dedup();
                }
                Step::Update => {}
            }
            intents.push(key);
            if alone {
                break;
            }
        }
        if intents.is_empty() {
            return Ok(false);
        }
        match self.group.commit(&plan) {
            Ok(built) if built.bytes(plan.adds.len()) > self.options.commit_bytes => {
                let (found, allowed) = (built.bytes(plan.adds.len()), self.options.commit_bytes);
                self.group.clear_pending()?;
                match plan.adds.len() {
                    0 | 1 => self.cannot_plan(Error::TooLarge { found, allowed }, &intents)?,
                    several => self.adds = several / 2,
                }
                Ok(true)
            }
            Ok(built) => self.keep_pending(built, plan, intents).map(|()| false),
            Err(error) => self.cannot_plan(error, &intents).map(|()| true),
        }
    }

    fn step(&self, intent: &Intent, plan: &Plan) -> Step {
        let members = self.group.members();
        match intent {
            Intent::Found | Intent::Rotate => Step::Update,
            Intent::Add { agent, .. }
                if members.iter().any(|member| member.agent == *agent)
                    || plan.adds.iter().any(|(added, _)| added == agent) =>
            {
                Step::Done
            }
            Intent::Add { agent, key_package } => Step::Add(agent.clone(), key_package.clone()),
            Intent::Remove { agent } => {
                let own = self.group.own_leaf();
                let of_agent = members.iter().filter(|member| member.agent == *agent && member.leaf != own);
                let leaves: Vec<u32> = of_agent.map(|member| member.leaf).collect();
                if leaves.is_empty() { Step::Done } else { Step::Remove(leaves) }
            }
            Intent::RemoveLeaf { leaf, signature_key } => {
                let is_it = |member: &crate::group::Member| {
                    member.leaf == *leaf && member.signature_key == *signature_key
                };
                if members.iter().any(is_it) { Step::Remove(vec![*leaf]) } else { Step::Done }
            }
        }
    }

    fn keep_pending(&mut self, built: Built, plan: Plan, intents: Vec<u64>) -> Result<()> {
        let Built { commit, welcome, group_info } = built;
        let agents = plan.adds.into_iter().map(|(agent, _)| agent).collect();
        let pending = Pending { id: id_of(&commit), commit, welcome, agents, group_info, intents };
        self.changes.push(put(Kind::Pending, ONLY, &pending)?);
        self.pending = Some(InFlight { pending, state: CommitState::Ready, is_new: true });
        Ok(())
    }

    /// A commit cannot be built: the intent that it was for is told. Of several, each is tried alone.
    fn cannot_plan(&mut self, error: Error, intents: &[u64]) -> Result<()> {
        if let [intent] = intents {
            self.note_failed_rotation(intents)?;
            self.drop_intent(*intent, Err(error))?;
        } else {
            let tried = self.intents.iter_mut().filter(|(key, _)| intents.contains(key));
            tried.for_each(|(_, wanted)| wanted.alone = true);
        }
        if self.group.has_pending() { self.group.clear_pending() } else { Ok(()) }
    }

    /// The pending commit has got its place: it is applied there.
    pub(super) fn commit_won(&mut self, sequence: u64) -> Result<()> {
        let Some(in_flight) = self.take_pending() else { return Ok(()) };
        let before = self.group.members();
        self.group.merge_pending()?;
        if in_flight.is_new {
            self.has_new_keys();
        }
        if self.phase == Phase::Founding {
            self.phase = Phase::Member;
        }
        for key in in_flight.pending.intents {
            self.drop_intent(key, Ok(sequence))?;
        }
        self.epoch_began(sequence, &before)
    }

    /// Another commit has won, and is applied: what this one was for is planned again.
    pub(super) fn commit_lost(&mut self, winner: u64) -> Result<()> {
        let Some(in_flight) = self.take_pending() else { return Ok(()) };
        // Where it was not its turn, or not yet decided, it has not lost.
        let lost = in_flight.state == CommitState::Lost;
        for key in in_flight.pending.intents {
            let Some(wanted) = self.intents.get_mut(&key) else { continue };
            wanted.attempts += u32::from(lost);
            if wanted.attempts >= self.options.attempts && wanted.ticket.is_some() {
                let attempts = wanted.attempts;
                self.drop_intent(key, Err(Error::Conflict { attempts, winner }))?;
            }
        }
        Ok(())
    }

    /// The relay will never take the pending commit.
    pub(super) fn give_up_commit(&mut self, refused: Refused) -> Result<()> {
        if self.phase == Phase::Founding {
            return self.give_up_founding(&refused);
        }
        let Some(in_flight) = self.take_pending() else { return Ok(()) };
        self.group.clear_pending()?;
        self.note_failed_rotation(&in_flight.pending.intents)?;
        for key in in_flight.pending.intents {
            self.drop_intent(key, Err(Error::refused(refused.clone())))?;
        }
        Ok(())
    }

    /// The relay will not have the channel made.
    pub(super) fn give_up_founding(&mut self, refused: &Refused) -> Result<()> {
        if self.take_pending().is_some() {
            self.group.clear_pending()?;
        }
        let code = Code::try_from(refused.code).unwrap_or(Code::Unspecified);
        for key in self.intents.keys().copied().collect::<Vec<_>>() {
            let error = match code {
                Code::StaleEpoch | Code::FutureEpoch | Code::WrongGroup => {
                    Error::ChannelExists { channel: self.channel.to_string() }
                }
                _ => Error::refused(refused.clone()),
            };
            self.drop_intent(key, Err(error))?;
        }
        self.phase = Phase::Evicted;
        self.moved = true;
        self.drop_all()
    }

    fn take_pending(&mut self) -> Option<InFlight> {
        let in_flight = self.pending.take()?;
        self.changes.push(Change::Delete { kind: Kind::Pending, key: ONLY.to_vec() });
        Some(in_flight)
    }

    /// Lets go of an intent. What became of it is told to its caller; where that is gone, an event tells what will not be.
    fn drop_intent(&mut self, key: u64, outcome: Result<u64>) -> Result<()> {
        let Some(PendingIntent { intent, ticket, .. }) = self.intents.remove(&key) else { return Ok(()) };
        self.changes.push(Change::Delete { kind: Kind::Intent, key: key.to_be_bytes().to_vec() });
        if let (None, Err(error), Intent::Add { agent, .. } | Intent::Remove { agent }) =
            (ticket, &outcome, intent)
        {
            return self.tell(self.cursor, Event::NotChanged { agent, reason: error.to_string() });
        }
        self.done(ticket, outcome);
        Ok(())
    }

    pub(super) fn drop_intents(&mut self) -> Result<()> {
        let _ = self.take_pending();
        let keys: Vec<u64> = self.intents.keys().copied().collect();
        for key in keys {
            let error = Error::not_a_member(&self.channel);
            self.drop_intent(key, Err(error))?;
        }
        Ok(())
    }
}
