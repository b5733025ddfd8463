//! What agents said and heard, and whether it fits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The history of all agents.
pub struct History(Mutex<Inner>);

struct Inner {
    /// For each sender, the number that each of its messages was acknowledged with; 0 for one that failed.
    said: Vec<Vec<u64>>,
    /// For each listener and sender, the numbers of the messages that it heard.
    heard: Vec<Vec<Vec<u64>>>,
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

    pub fn fault(&self, fault: String) {
        self.inner().fault(fault);
    }

    /// Tells whether an agent has not yet heard everything that was acknowledged.
    pub fn lacks(&self, listener: usize) -> bool {
        let inner = self.inner();
        let mut others = inner.said.iter().enumerate().filter(|(sender, _)| *sender != listener);
        others.any(|(sender, said)| inner.heard[listener][sender].len() < said.len())
    }

    /// Returns what does not fit: every message was heard by everybody else, under the number that its sender was told.
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
        inner.faults.clone()
    }

    pub fn acked(&self) -> usize {
        self.inner().said.iter().flatten().filter(|sequence| **sequence > 0).count()
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
