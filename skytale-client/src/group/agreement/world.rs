//! A sequence: what happens, and what has to hold after each step.

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{MlsMessageBodyIn, MlsMessageIn};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::party::{Made, Party, Proposal, Standing};
use super::{ours, theirs};
use crate::group::commit::Plan;

/// How proposals reach the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proposals {
    /// Each within the commit that fulfils it: what channels do.
    WithinCommits,
    /// On their own as well, and commits refer to them: what RFC 9420 permits.
    BeforeCommits,
}

pub(super) struct World {
    random: StdRng,
    proposals: Proposals,
    members: Vec<Box<dyn Party>>,
    /// Those that are no members, or not any more.
    others: Vec<Box<dyn Party>>,
    /// The newest GroupInfo, as an agent that comes back finds it.
    group_info: Vec<u8>,
}

/// How many agents there are, how many of them are members at once, and how much happens.
const AGENTS: u32 = 9;
const MEMBERS: usize = 7;
const STEPS: u32 = 16;

impl World {
    pub fn new(seed: u64, proposals: Proposals) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut others: Vec<_> = (0..AGENTS).map(agent).collect();
        others.shuffle(&mut random);
        let mut founder = others.pop().expect("some");
        let group_info = founder.create();
        Self { random, proposals, members: vec![founder], others, group_info }
    }

    /// Lets everything happen; panics where something does not hold.
    pub fn run(mut self) {
        self.change();
        for _ in 0..STEPS {
            match self.random.random_range(0..100) {
                0..40 => self.change(),
                40..70 => self.talk(),
                70..85 if self.proposals == Proposals::BeforeCommits => self.propose(),
                70..85 => self.leave(),
                85..93 => self.come_back(),
                _ => {
                    let member = self.member();
                    self.members[member].restart();
                }
            }
            self.check();
        }
        self.talk();
    }

    /// One or two members commit; the first to be accepted wins.
    fn change(&mut self) {
        let committer = self.member();
        let plan = self.plan(committer);
        if self.members.len() > 1 && self.random.random_range(0..3) == 0 {
            let rival = (committer + self.random.random_range(1..self.members.len())) % self.members.len();
            if !plan.removes.contains(&self.members[rival].leaf()) {
                self.members[rival].commit(&Plan::default());
            }
        }
        let made = self.members[committer].commit(&plan);
        self.members[committer].accepted();
        self.follow(committer, made);
    }

    /// Adds some of the others, and removes at most one of the members.
    fn plan(&mut self, committer: usize) -> Plan {
        let room = MEMBERS.saturating_sub(self.members.len()).min(self.others.len()).min(2);
        let count = self.random.random_range(0..=room);
        let adds = self.others.iter_mut().take(count);
        let adds = adds.map(|agent| (agent.name().to_owned(), agent.key_package())).collect();
        let removed = self.member();
        let removes = self.members.len() > 2 && removed != committer && self.random.random_range(0..3) == 0;
        let removes = if removes { vec![self.members[removed].leaf()] } else { Vec::new() };
        Plan { adds, removes }
    }

    /// All members apply the commit of one, those it adds join, and those it removes are gone for good.
    fn follow(&mut self, committer: usize, made: Made) {
        let author = self.members[committer].name().to_owned();
        let mut removed = Vec::new();
        for (number, member) in self.members.iter_mut().enumerate() {
            if number != committer && member.follow(&made.commit) == Standing::Removed {
                removed.push(number);
            }
        }
        let after = self.members[committer].view();
        let removed: Vec<_> = removed.into_iter().rev().map(|number| self.members.remove(number)).collect();
        for (_, name) in &after.members {
            if let Some(joins) = self.others.iter().position(|agent| agent.name() == name) {
                let mut agent = self.others.remove(joins);
                agent.join(made.welcome.as_ref().unwrap_or_else(|| panic!("{author} welcomes {name}")));
                self.members.push(agent);
            }
        }
        self.group_info = made.group_info;
        self.part(removed);
    }

    /// Those who were removed read nothing any more.
    fn part(&mut self, removed: Vec<Box<dyn Party>>) {
        for mut agent in removed {
            let member = self.member();
            let message = self.members[member].say(b"not for everybody");
            for (number, listener) in self.members.iter_mut().enumerate() {
                assert!(number == member || listener.hear(&message).is_some());
            }
            assert_eq!(agent.hear(&message), None, "{} reads on", agent.name());
            self.others.push(agent);
        }
    }

    /// Some members say something; what they say arrives in any order.
    fn talk(&mut self) {
        let mut said = Vec::new();
        for _ in 0..self.random.random_range(1..=4) {
            let speaker = self.member();
            let mut body = vec![0; self.random.random_range(0..2000)];
            self.random.fill(&mut body[..]);
            said.push((speaker, self.members[speaker].say(&body), body));
        }
        for listener in 0..self.members.len() {
            said.shuffle(&mut self.random);
            for (speaker, message, body) in said.iter().filter(|(speaker, ..)| *speaker != listener) {
                let expected = (self.members[*speaker].name().to_owned(), body.clone());
                assert_eq!(self.members[listener].hear(message), Some(expected), "agent {listener}");
            }
        }
    }

    /// Some members propose something, each about another leaf, and one whom nothing was proposed about commits.
    fn propose(&mut self) {
        let committer = self.member();
        let mut proposed: Vec<usize> =
            (0..self.members.len()).filter(|member| *member != committer).collect();
        proposed.shuffle(&mut self.random);
        proposed.truncate(self.random.random_range(0..=3));
        let mut strangers = self.others.len();
        for about in proposed {
            let leaf = self.members[about].leaf();
            let (author, proposal) = match self.random.random_range(0..3) {
                0 if self.members.len() > 2 => (committer, Proposal::Remove(leaf)),
                1 if self.members.len() < MEMBERS && strangers > 0 => {
                    strangers -= 1;
                    (about, Proposal::Add(self.others[strangers].key_package()))
                }
                _ => (about, Proposal::Update),
            };
            let message = self.members[author].propose(&proposal);
            for (number, member) in self.members.iter_mut().enumerate() {
                if number != author {
                    member.consider(&message);
                }
            }
        }
        let made = self.members[committer].commit(&Plan::default());
        self.members[committer].accepted();
        self.follow(committer, made);
    }

    /// A member asks to be removed, and another removes it.
    fn leave(&mut self) {
        if self.members.len() < 2 {
            return;
        }
        let leaving = self.member();
        let leaf = self.members[leaving].leaf();
        let asking = self.members[leaving].ask_to_leave();
        for (number, member) in self.members.iter_mut().enumerate() {
            assert!(number == leaving || member.who_leaves(&asking) == leaf);
        }
        let committer = (leaving + self.random.random_range(1..self.members.len())) % self.members.len();
        let made = self.members[committer].commit(&Plan { removes: vec![leaf], ..Plan::default() });
        self.members[committer].accepted();
        self.follow(committer, made);
    }

    /// A member comes back from the GroupInfo, in the place of its old leaf.
    fn come_back(&mut self) {
        if self.members.len() < 2 {
            return;
        }
        let member = self.member();
        let leaf = self.members[member].leaf();
        let made = self.members[member].enter(&self.group_info, Some(leaf));
        self.follow(member, made);
    }

    /// All are in one group.
    fn check(&self) {
        let first = self.members[0].view();
        for member in &self.members {
            assert_eq!(member.view(), first, "{} has forked", member.name());
        }
        assert_eq!(first.members.len(), self.members.len());
    }

    fn member(&mut self) -> usize {
        self.random.random_range(0..self.members.len())
    }
}

/// Every second agent runs this crate.
fn agent(number: u32) -> Box<dyn Party> {
    let name = format!("acme/agents/agent{number}");
    if number.is_multiple_of(2) { ours::party(&name) } else { theirs::party(&name) }
}

/// Returns whose key package it is, as a directory knows.
pub(super) fn owner(key_package: &[u8]) -> String {
    let message = MlsMessageIn::tls_deserialize_exact(key_package).expect("parses");
    let MlsMessageBodyIn::KeyPackage(key_package) = message.extract() else { panic!("no key package") };
    crate::group::name(&key_package.unverified_credential().credential)
}
