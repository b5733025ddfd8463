//! One channel as its agent sees it: a state machine without input or output.
//!
//! Whatever happens goes into [`Machine::handle`]: a frame of the relay, a call of the agent, the passing of time. What the
//! world has to do about it comes out of [`Machine::take_effects`]: first everything is stored in one transaction, only
//! then is anything sent or told. If storing fails, the machine has run ahead: it is dropped and loaded anew.

mod commits;
mod delivery;
pub(crate) mod effects;
pub(crate) mod history;
mod leave;
mod outbox;
mod rejoin;
mod responses;
pub(crate) mod stored;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use skytale_core::ChannelName;
use skytale_core::extension::{Content, Durability, Extension, Resume};

pub(crate) use effects::{Change, Effects, EventKey, Kind, Ticket};
pub(crate) use stored::{ChannelRecord, Intent, ONLY, Phase, Stored, put, read};

use crate::cipher_suite::CipherSuite;
use crate::content::Padding;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::Group;
use crate::group::identity::Identity;
use commits::PendingIntent;
use history::History;
use leave::Leaving;
use outbox::Sending;
use rejoin::Returning;
use responses::Asked;
use stored::Pending;

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// A stream to the relay is open.
    Connected,
    /// It is gone, and what was sent on it may or may not have arrived.
    Disconnected,
    /// The relay sent a frame.
    Frame(Bytes),
    /// The agent says something.
    Send { ticket: Ticket, body: Vec<u8> },
    /// The agent wants the group changed.
    Change { ticket: Ticket, intent: Intent },
    /// The agent wants to be removed.
    Leave { ticket: Ticket },
    /// Something to hide behind is to be sent.
    Cover,
    /// The agent has dealt with an event, and with all before it.
    Acknowledge(EventKey),
    /// Nothing but that time has passed.
    Tick,
}

/// Milliseconds on a clock that only goes forward.
pub(crate) type Now = u64;

/// A channel's state machine.
#[derive(Debug)]
pub(crate) struct Machine {
    channel: ChannelName,
    group: Group,
    cursor: u64,
    history: History,
    phase: Phase,
    options: Options,
    now: Now,
    link: Link,
    asked: HashMap<u64, Asked>,
    last_request: u64,
    intents: BTreeMap<u64, PendingIntent>,
    /// How many agents a commit adds at most, as its size permits.
    adds: usize,
    pending: Option<InFlight>,
    outbox: BTreeMap<u64, Sending>,
    /// The last number of an intent or outgoing message.
    last_key: u64,
    /// How many messages the agent has said in its life.
    said: u64,
    /// What survives at the relay, as it said last.
    durability: Option<Durability>,
    /// Whether the last steps of the state may be missing: the agent encrypts no message before it has new keys.
    in_doubt: bool,
    /// When the agent may try again to give itself new keys, after it could not.
    rotates_from: Now,
    /// How many application messages the agent has sent in this epoch.
    sent_in_epoch: u64,
    /// When the epoch began, as far as the machine was there.
    epoch_since: Now,
    leaving: Leaving,
    returning: Returning,
    next_part: u32,
    /// The number of the first external commit that the agent has refused: it follows nobody who came after it.
    uninvited: Option<u64>,
    changes: Vec<Change>,
    effects: Effects,
    /// Whether the channel's record has to be stored.
    moved: bool,
}

/// How a channel behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub padding: Padding,
    /// How often a change of the group is tried before its caller is told that it lost.
    pub attempts: u32,
    /// After how many messages in one epoch the agent gives itself new keys.
    pub rotate_after: u64,
    /// How many bytes a commit has at most with all that goes with it. Default: what a relay's frame of 4 MiB holds.
    pub commit_bytes: usize,
    /// Whether the agent comes back by an external commit where it cannot follow the group.
    pub rejoin_policy: RejoinPolicy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            padding: Padding::default(),
            attempts: 16,
            rotate_after: 5_000,
            commit_bytes: 4 * 1024 * 1024 - 64 * 1024,
            rejoin_policy: RejoinPolicy::default(),
        }
    }
}

/// What an agent does that cannot follow its group any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejoinPolicy {
    /// It comes back by an external commit, if the relay permits it.
    #[default]
    ExternalCommit,
    /// It tells, and waits to be removed and added again.
    Wait,
}

/// The stream to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// The subscription is asked for.
    Subscribing,
    Up,
}

/// A commit on its way.
#[derive(Debug)]
struct InFlight {
    pending: Pending,
    state: CommitState,
    /// Whether it was built since the machine was made or loaded.
    is_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CommitState {
    /// It is to be sent, or sent again.
    Ready,
    Sent,
    /// It is another member's turn; it is sent again then.
    Until(Now),
    /// Another commit has won; it comes by the subscription.
    Lost,
}

impl Machine {
    /// Creates a channel. It is the agent's once the founding commit is accepted, which `ticket` is told.
    pub fn create(
        channel: &ChannelName,
        identity: &Identity,
        suite: CipherSuite,
        options: Options,
        ticket: Ticket,
    ) -> Result<Self> {
        let group = Group::create(identity, suite)?;
        let mut machine = Self::new(channel.clone(), group, 0, Phase::Founding, options);
        machine.want(Intent::Found, Some(ticket))?;
        Ok(machine)
    }

    /// Takes a group that was joined by the Welcome of the commit with a number.
    pub fn joined(channel: &ChannelName, group: Group, commit: u64, options: Options) -> Self {
        let mut machine = Self::new(channel.clone(), group, commit, Phase::Member, options);
        machine.history.begin(commit, machine.group.epoch_authenticator());
        machine
    }

    /// Takes the place of an earlier membership: what the agent has said counts on, and all but its events goes.
    pub fn after(mut self, past: &Stored) -> Result<Self> {
        if let Some(record) = past.get(&Kind::Channel).and_then(|records| records.get(ONLY)) {
            self.said = read::<ChannelRecord>(record)?.said;
        }
        for (kind, records) in past {
            let gone = records.keys().map(|key| Change::Delete { kind: *kind, key: key.clone() });
            self.effects.changes.extend(gone);
        }
        Ok(self)
    }

    /// Loads a channel from what was stored of it.
    pub fn load(
        channel: &ChannelName,
        identity: &Identity,
        mut stored: Stored,
        options: Options,
    ) -> Result<Self> {
        let record = stored.get(&Kind::Channel).and_then(|records| records.get(ONLY));
        let record: ChannelRecord = read(record.ok_or_else(|| Error::not_a_member(channel))?)?;
        let group = Group::load(identity, &record.group, stored.remove(&Kind::Group).unwrap_or_default())?;
        let mut machine = Self::new(channel.clone(), group, record.cursor, record.phase, options);
        (machine.moved, machine.said, machine.next_part) = (false, record.said, record.parts);
        machine.uninvited = record.uninvited;
        machine.history = History::restored(record.history);
        for (key, intent) in stored::read_all(&stored, Kind::Intent)? {
            machine.intents.insert(key, PendingIntent::restored(intent));
        }
        for (key, outgoing) in stored::read_all(&stored, Kind::Outgoing)? {
            machine.outbox.insert(key, Sending::restored(outgoing));
        }
        if let Some(pending) = stored.get(&Kind::Pending).and_then(|records| records.get(ONLY)) {
            machine.pending =
                Some(InFlight { pending: read(pending)?, state: CommitState::Ready, is_new: false });
        }
        let keys = machine.intents.keys().chain(machine.outbox.keys());
        machine.last_key = keys.copied().max().unwrap_or_default();
        machine.in_doubt = stored.contains_key(&Kind::Doubt);
        Ok(machine)
    }

    fn new(channel: ChannelName, group: Group, cursor: u64, phase: Phase, options: Options) -> Self {
        Self {
            channel,
            group,
            cursor,
            history: History::default(),
            phase,
            options,
            now: 0,
            link: Link::Down,
            asked: HashMap::new(),
            last_request: 0,
            intents: BTreeMap::new(),
            adds: commits::ADDS,
            pending: None,
            outbox: BTreeMap::new(),
            last_key: 0,
            said: 0,
            durability: None,
            in_doubt: false,
            rotates_from: 0,
            sent_in_epoch: 0,
            epoch_since: 0,
            leaving: Leaving::default(),
            returning: Returning::default(),
            next_part: 0,
            uninvited: None,
            changes: Vec::new(),
            effects: Effects::default(),
            moved: true,
        }
    }

    /// Takes in what happened.
    ///
    /// # Errors
    ///
    /// Where the group's state cannot be used any more; the machine is then dropped and loaded anew.
    pub fn handle(&mut self, input: Input, now: Now) -> Result<()> {
        self.now = self.now.max(now);
        match input {
            Input::Connected => self.connected(),
            Input::Disconnected => self.disconnected(),
            Input::Frame(frame) => self.frame(frame)?,
            Input::Send { ticket, body } => self.send(ticket, body)?,
            Input::Change { ticket, intent } => self.change(ticket, intent)?,
            Input::Leave { ticket } => self.leave(ticket),
            Input::Cover => self.cover()?,
            Input::Acknowledge(key) => {
                self.changes.push(Change::DeleteThrough { kind: Kind::Event, key: key.to_bytes() });
            }
            Input::Tick => {}
        }
        Ok(())
    }

    /// Sends what may be sent now, and takes what the steps since the last time ask for.
    ///
    /// # Errors
    ///
    /// As for [`handle`](Self::handle).
    pub fn take_effects(&mut self) -> Result<Effects> {
        if self.link == Link::Up {
            self.flush_outbox()?;
            self.flush_leaving()?;
            self.flush_commit()?;
        }
        let mut effects = std::mem::take(&mut self.effects);
        for (key, value) in self.group.take_changes() {
            effects.changes.push(match value {
                Some(value) => Change::Put { kind: Kind::Group, key, value },
                None => Change::Delete { kind: Kind::Group, key },
            });
        }
        effects.changes.append(&mut self.changes);
        if std::mem::take(&mut self.moved) {
            let (group, cursor, phase, said) = (self.group.id().to_vec(), self.cursor, self.phase, self.said);
            let record = ChannelRecord {
                group,
                cursor,
                phase,
                said,
                parts: self.next_part,
                uninvited: self.uninvited,
                history: self.history.to_record(),
            };
            effects.changes.push(put(Kind::Channel, ONLY, &record)?);
        }
        Ok(effects)
    }

    /// Returns when something is to be done though nothing happens.
    pub fn wakes_at(&self) -> Option<Now> {
        match self.phase {
            _ if self.link != Link::Up => None,
            Phase::Founding | Phase::Member => self.retries().min(),
            Phase::Forked(_) => self.returning.retry_at().filter(|at| *at > self.now),
            Phase::Evicted => None,
        }
    }

    /// Returns when what the relay asked patience for is tried again. What is due already waits for something else.
    fn retries(&self) -> impl Iterator<Item = Now> {
        let turn = self.pending.as_ref().and_then(|in_flight| match in_flight.state {
            CommitState::Until(at) => Some(at),
            _ => None,
        });
        let intents = self.intents.values().map(|wanted| wanted.not_before);
        let intents = intents.filter(|_| self.pending.is_none());
        let messages = self.outbox.values().filter_map(Sending::retry_at);
        let keys = self.in_doubt.then_some(self.rotates_from);
        let all = intents.chain(messages).chain(turn).chain(self.leaving.retry_at()).chain(keys);
        all.filter(|at| *at > self.now)
    }

    /// Tells whether the relay sends what happens on the channel.
    pub fn is_subscribed(&self) -> bool {
        self.link == Link::Up
    }

    pub fn group(&self) -> &Group {
        &self.group
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    pub fn sent_count(&self) -> u64 {
        self.said
    }

    pub fn durability(&self) -> Option<Durability> {
        self.durability
    }

    fn connected(&mut self) {
        self.link = Link::Subscribing;
        self.asked.clear();
        let resume = Content::Resume(Resume { after: Some(self.cursor) });
        let extension = self.ask(resume, Asked::Resume);
        self.effects.frames.push(skytale_core::extension::subscribe(&self.channel, &extension));
    }

    /// What was sent may have arrived: it is sent again as it is, and the relay knows it by its id.
    fn disconnected(&mut self) {
        self.link = Link::Down;
        self.asked.clear();
        self.outbox.values_mut().for_each(Sending::again);
        if let Some(in_flight) = &mut self.pending {
            in_flight.state = CommitState::Ready;
        }
        self.leaving.again();
        self.returning.again();
    }

    fn ask(&mut self, content: Content, asked: Asked) -> Extension {
        self.last_request += 1;
        self.asked.insert(self.last_request, asked);
        Extension::new(content).with_request(self.last_request)
    }

    fn next_key(&mut self) -> u64 {
        self.last_key += 1;
        self.last_key
    }

    /// Tells the agent what happened at a number, until it acknowledges it.
    fn tell(&mut self, sequence: u64, event: Event) -> Result<()> {
        let key = EventKey { sequence, part: self.next_part };
        self.next_part += 1;
        self.moved = true;
        self.changes.push(put(Kind::Event, &key.to_bytes(), &event)?);
        self.effects.events.push((Some(key), event));
        Ok(())
    }

    fn done(&mut self, ticket: Option<Ticket>, outcome: Result<u64>) {
        if let Some(ticket) = ticket {
            self.effects.done.push((ticket, outcome));
        }
    }

    /// Tells whether the agent may speak, now or when it is back in the group.
    fn check_member(&self) -> Result<()> {
        match self.phase {
            Phase::Evicted => Err(Error::not_a_member(&self.channel)),
            Phase::Forked(_) if !self.may_come_back() => Err(Error::not_a_member(&self.channel)),
            _ => Ok(()),
        }
    }

    /// Gives up whatever is on its way, because the agent is no member any more.
    fn drop_all(&mut self) -> Result<()> {
        self.drop_intents()?;
        self.drop_leaving();
        self.drop_outbox()
    }
}

/// Returns the id of a message: the first half of its SHA-256. A sender's repetition has the same, and an agent that sees
/// its own commit come back knows it by this alone.
pub(crate) fn id_of(message: &[u8]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(message).into();
    *hash.first_chunk().expect("32 bytes hold 16")
}
