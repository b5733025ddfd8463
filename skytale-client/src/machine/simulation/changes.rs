//! Members that are removed, leave, and are added again, meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use skytale_store::{KeyPackageDirectory, Store};

use super::world::{Wish, World, options};
use crate::event::{Event, Message};
use crate::machine::stored::Phase;

/// How many agents stay: between them they hear everything.
const STAY: usize = 2;

/// How often an agent is removed or added, at most.
const CHANGES: u32 = 3;

impl World {
    pub fn wish_for_changes(&mut self, wishes: &mut Vec<(usize, Wish)>) {
        for agent in STAY..self.agents.len() {
            for _ in 0..self.random.random_range(0..=CHANGES) {
                let by = self.random.random_range(0..self.agents.len());
                wishes.push((by, if by == agent { Wish::Leave } else { Wish::Remove(agent) }));
                wishes.push((self.random.random_range(0..STAY), Wish::Add(agent)));
            }
        }
    }

    /// Lets an agent that was removed join again, if a Welcome waits for it.
    pub async fn let_in(&mut self, agent: usize) -> bool {
        if self.agents[agent].machine.phase() != Phase::Evicted {
            return false;
        }
        let name = self.agents[agent].identity.name().clone();
        for welcome in self.store.welcomes(&name, 0, 64).await.expect("welcomes") {
            let accepted = match welcome.accepted {
                Some(number) => Some(number),
                None => self.store.find(&self.channel, welcome.commit).await.expect("found"),
            };
            let Some(number) = accepted else { continue };
            self.store.drop_welcome(&name, welcome.commit).await.expect("dropped");
            self.agents[agent].join(&self.channel, &welcome.body, number.0, options());
            return true;
        }
        false
    }

    /// Whoever is a member agrees with the others; everybody has heard what was said while it was one, and nothing else.
    pub fn check_changes(&self) {
        let all = self.all_messages();
        let first = self.agents[0].machine.group();
        let members = first.members();
        for (number, agent) in self.agents.iter().enumerate() {
            let name = agent.identity.text();
            for event in agent.events() {
                let fine =
                    !matches!(event, Event::Undecryptable { .. } | Event::Forked { .. } | Event::Gap { .. });
                assert!(fine, "agent {number} was told {event:?}");
            }
            let is_member = agent.machine.phase() == Phase::Member;
            assert_eq!(members.iter().any(|member| member.agent == name), is_member, "agent {number}");
            if is_member {
                let group = agent.machine.group();
                assert_eq!(group.epoch(), first.epoch(), "epoch of agent {number}");
                assert_eq!(group.epoch_authenticator(), first.epoch_authenticator(), "agent {number} forked");
            }
            let deceived = |event: &Event| matches!(event, Event::HistoryDiffers { .. });
            assert!(!agent.events().iter().any(deceived), "agent {number}");
            let memberships = self.memberships(name);
            let was_member =
                |sequence: u64| memberships.iter().any(|(from, to)| *from < sequence && sequence < *to);
            let meant = all.values().filter(|message| message.sender != name && was_member(message.sequence));
            assert_eq!(agent.heard(), meant.cloned().collect::<Vec<_>>(), "what agent {number} has heard");
            self.check_said(number, &all);
        }
    }

    /// Returns what was said, by number, as those have heard it who stayed.
    fn all_messages(&self) -> BTreeMap<u64, Message> {
        let heard = self.agents[..STAY].iter().flat_map(|agent| agent.heard());
        heard.map(|message| (message.sequence, message)).collect()
    }

    /// Returns from which commit to which an agent was a member, as the first one was told.
    fn memberships(&self, name: &str) -> Vec<(u64, u64)> {
        // The founder is a member from its own commit on.
        let mut memberships =
            if name == self.agents[0].identity.text() { vec![(1, u64::MAX)] } else { Vec::new() };
        for event in self.agents[0].events() {
            match event {
                Event::Joined { agent, sequence } if agent == name => memberships.push((sequence, u64::MAX)),
                Event::Left { agent, sequence } if agent == name => {
                    memberships.last_mut().expect("it was a member").1 = sequence;
                }
                _ => {}
            }
        }
        memberships
    }

    /// What an agent said is there once and under the number that its caller was told; of who stayed, all of it.
    fn check_said(&self, number: usize, all: &BTreeMap<u64, Message>) {
        let agent = &self.agents[number];
        let bodies: Vec<_> = all
            .values()
            .filter(|message| message.sender == agent.identity.text())
            .map(|message| &message.body)
            .collect();
        let said: Vec<_> = self.said.iter().filter(|said| said.by == number).collect();
        for said in &said {
            if let Some(place) = agent.numbered.get(&said.ticket) {
                assert_eq!(all.get(place).map(|message| &message.body), Some(&said.body), "agent {number}");
            }
        }
        if number < STAY {
            assert_eq!(bodies, said.iter().map(|said| &said.body).collect::<Vec<_>>(), "of agent {number}");
            assert_eq!(agent.failed, Vec::<String>::new(), "agent {number}");
        } else {
            let known: BTreeSet<_> = said.iter().map(|said| &said.body).collect();
            let spoken: BTreeSet<_> = bodies.iter().copied().collect();
            assert!(spoken.is_subset(&known) && spoken.len() == bodies.len(), "agent {number}: {bodies:?}");
            let expected =
                |failed: &String| failed.contains("member") || failed.contains("cannot be reached");
            assert!(agent.failed.iter().all(expected), "agent {number}: {:?}", agent.failed);
        }
    }
}
