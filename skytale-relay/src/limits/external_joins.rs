//! The limit of external commits by which accounts join channels.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::time::Instant;

/// When accounts last joined which channels. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExternalJoins(Arc<DashMap<Joining, Instant>>);

/// An account and a channel.
type Joining = (Arc<str>, [u64; 3]);

/// The one join of an account, a channel and a minute; given back when dropped, unless it was used.
#[derive(Debug)]
pub(crate) struct JoinPermit {
    joins: ExternalJoins,
    joining: Joining,
    used: bool,
}

/// How long an account waits between two joins of a channel.
const INTERVAL: Duration = Duration::from_secs(60);

/// The number of joins at which those that are too long ago to count are forgotten.
const FORGET_AT: usize = 10_000;

impl ExternalJoins {
    /// Takes an account's join of a channel, or returns how long it has to wait.
    pub fn take(&self, account: Arc<str>, channel: [u64; 3], now: Instant) -> Result<JoinPermit, Duration> {
        if self.0.len() > FORGET_AT {
            self.0.retain(|_, last| *last + INTERVAL > now);
        }
        let joining = (account, channel);
        match self.0.entry(joining.clone()) {
            Entry::Occupied(mut last) => match (*last.get() + INTERVAL).checked_duration_since(now) {
                Some(left) if !left.is_zero() => return Err(left),
                _ => drop(last.insert(now)),
            },
            Entry::Vacant(vacant) => drop(vacant.insert(now)),
        }
        Ok(JoinPermit { joins: self.clone(), joining, used: false })
    }
}

impl JoinPermit {
    /// Keeps the ticket: the join was accepted.
    pub fn used(mut self) {
        self.used = true;
    }
}

impl Drop for JoinPermit {
    fn drop(&mut self) {
        if !self.used {
            self.joins.0.remove(&self.joining);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_joins_a_channel_once_a_minute() {
        let (joins, start) = (ExternalJoins::default(), Instant::now());
        let take = |account: &str, channel: u64, seconds: u64| {
            joins.take(account.into(), [channel; 3], start + Duration::from_secs(seconds))
        };
        drop(take("acme", 1, 0).expect("the first"));
        take("acme", 1, 0).expect("the first was given back").used();
        assert_eq!(take("acme", 1, 20).err(), Some(Duration::from_secs(40)));
        take("acme", 2, 20).expect("another channel").used();
        take("other", 1, 20).expect("another account").used();
        take("acme", 1, 60).expect("a minute later").used();
    }
}
