//! What agents said and heard, and whether it fits.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The history of all agents.
pub struct History(Mutex<Inner>);

struct Inner {
    /// For each sender, the number that each of its messages was acknowledged with; 0 for one that failed.
    said: Vec<Vec<u64>>,
    /// For each listener and sender, the numbers of the messages that it heard.
    heard: Vec<Vec<Vec<u64>>>,
    /// The numbers of the commits that anybody heard of.
    commits: BTreeSet<u64>,
    /// The last number that each listener heard.
    last: Vec<u64>,
    /// Since when each sender waits.
    open: Vec<Option<Instant>>,
    longest_wait: Duration,
    failed: usize,
    faults: Vec<String>,
}

/// How many faults are told.
const FAULTS: usize = 20;

impl History {
    pub fn new(agents: usize) -> Self {
        Self(Mutex::new(Inner {
            said: vec![Vec::new(); agents],
            heard: vec![vec![Vec::new(); agents]; agents],
            commits: BTreeSet::new(),
            last: vec![0; agents],
            open: vec![None; agents],
            longest_wait: Duration::ZERO,
            failed: 0,
            faults: Vec::new(),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, sender: usize) -> Instant {
        *self.inner().open[sender].insert(Instant::now())
    }

    pub fn acknowledged(&self, sender: usize, sequence: u64, since: Instant) {
        let mut inner = self.inner();
        inner.open[sender] = None;
        inner.said[sender].push(sequence);
        inner.longest_wait = inner.longest_wait.max(since.elapsed());
    }

    pub fn failed_to_send(&self, sender: usize) {
        let mut inner = self.inner();
        inner.open[sender] = None;
        inner.said[sender].push(0);
        inner.failed += 1;
    }

    /// Notes what an agent hears: numbers rise, and what a sender says comes in its order, each once.
    pub fn hear(&self, listener: usize, sequence: u64, text: &str) {
        let Some((sender, number)) = parse(text) else {
            return self.fault(format!("agent {listener} heard {text:?}"));
        };
        let mut inner = self.inner();
        let (last, expected) = (inner.last[listener], inner.heard[listener][sender].len());
        if sequence <= last {
            inner.fault(format!("agent {listener} heard {sequence} after {last}"));
        }
        if number != expected {
            inner.fault(format!("agent {listener} heard {text:?} instead of {expected} of agent {sender}"));
        }
        inner.last[listener] = sequence;
        inner.heard[listener][sender].push(sequence);
    }

    /// Notes the number of a commit.
    pub fn committed(&self, sequence: u64) {
        self.inner().commits.insert(sequence);
    }

    pub fn fault(&self, fault: String) {
        self.inner().fault(fault);
    }

    /// Tells whether an agent has not yet heard everything that was acknowledged.
    pub fn lacks(&self, listener: usize) -> bool {
        let inner = self.inner();
        let mut others = inner.said.iter().enumerate().filter(|(sender, _)| *sender != listener);
        others.any(|(sender, said)| inner.heard[listener][sender].len() < said.len())
    }

    /// Returns what does not fit: every message was heard by everybody else, under the number that its sender was told,
    /// and no number was left out or given twice.
    pub fn faults(&self) -> Vec<String> {
        let mut inner = self.inner();
        let agents = inner.said.len();
        for (listener, sender) in (0..agents).flat_map(|one| (0..agents).map(move |other| (one, other))) {
            if listener == sender || inner.fits(listener, sender) {
                continue;
            }
            let (said, heard) = (inner.said[sender].len(), inner.heard[listener][sender].len());
            inner.fault(format!(
                "agent {listener} heard {heard} of agent {sender}'s {said}, or under other numbers"
            ));
        }
        inner.find_gaps();
        inner.faults.clone()
    }

    pub fn acked(&self) -> usize {
        self.inner().said.iter().flatten().filter(|sequence| **sequence > 0).count()
    }

    /// Tells whether each agent had so many messages acknowledged.
    pub fn everybody_said(&self, least: usize) -> bool {
        let told = |said: &Vec<u64>| said.iter().filter(|sequence| **sequence > 0).count();
        self.inner().said.iter().all(|said| told(said) >= least)
    }

    pub fn heard(&self) -> usize {
        self.inner().heard.iter().flatten().map(Vec::len).sum()
    }

    pub fn failed(&self) -> usize {
        self.inner().failed
    }

    /// Returns how long a sender waited at most.
    pub fn longest_wait(&self) -> Duration {
        self.inner().longest_wait
    }

    /// Returns how long a sender waits that waits now.
    pub fn longest_open(&self) -> Duration {
        self.inner().open.iter().flatten().map(Instant::elapsed).max().unwrap_or_default()
    }
}

impl Inner {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }

    fn find_gaps(&mut self) {
        let told: Vec<u64> = self.said.iter().flatten().copied().filter(|number| *number > 0).collect();
        let mut all: BTreeSet<u64> = told.iter().copied().collect();
        if all.len() < told.len() {
            self.fault(format!("{} messages have the number of another", told.len() - all.len()));
        }
        all.extend(self.heard.iter().flatten().flatten());
        let Some(first) = all.first().copied() else { return };
        all.extend(self.commits.range(first..));
        let missing: Vec<u64> =
            all.iter().zip(all.iter().skip(1)).flat_map(|(one, next)| one + 1..*next).take(FAULTS).collect();
        if !missing.is_empty() {
            self.fault(format!("no message or commit has the numbers {missing:?}"));
        }
    }

    fn fits(&self, listener: usize, sender: usize) -> bool {
        let (said, heard) = (&self.said[sender], &self.heard[listener][sender]);
        said.len() == heard.len() && said.iter().zip(heard).all(|(told, heard)| *told == 0 || told == heard)
    }
}

/// Reads "sender number".
fn parse(text: &str) -> Option<(usize, usize)> {
    let (sender, number) = text.split_once(' ')?;
    Some((sender.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two agents, each of which says what the other one hears.
    fn history(said: &[(usize, u64)], commits: &[u64]) -> History {
        let history = History::new(2);
        for (place, (sender, sequence)) in said.iter().enumerate() {
            let number = said[..place].iter().filter(|(other, _)| other == sender).count();
            history.acknowledged(*sender, *sequence, history.begin(*sender));
            history.hear(1 - sender, *sequence, &format!("{sender} {number}"));
        }
        commits.iter().for_each(|sequence| history.committed(*sequence));
        history
    }

    #[test]
    fn a_whole_history_has_no_faults() {
        assert_eq!(history(&[(0, 5), (1, 6), (0, 8)], &[2, 7]).faults(), Vec::<String>::new());
    }

    #[test]
    fn a_number_that_nobody_knows_is_a_fault() {
        assert!(history(&[(0, 5), (1, 6), (0, 8)], &[]).faults()[0].contains("[7]"));
    }

    #[test]
    fn a_number_given_twice_is_a_fault() {
        assert!(history(&[(0, 5), (1, 5)], &[]).faults()[0].contains("number of another"));
    }

    #[test]
    fn what_was_acknowledged_and_not_heard_is_a_fault() {
        let history = history(&[(0, 5)], &[]);
        history.acknowledged(0, 6, history.begin(0));
        assert!(history.faults()[0].contains("heard 1 of agent 0's 2"));
    }

    #[test]
    fn what_is_heard_out_of_order_is_a_fault() {
        let history = history(&[(0, 5)], &[]);
        history.hear(1, 4, "0 1");
        assert!(history.faults()[0].contains("heard 4 after 5"));
    }
}
