//! Usage of accounts, by day.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::error::Result;

/// Tells what accounts used, by day.
///
/// Messages are counted by [`Store::append`](super::store::Store::append), in the same step that makes them durable: each that
/// was archived counts once for the account of its [`NewRecord`](super::record::NewRecord), whatever is killed when; one that was
/// refused, or appended before, does not count. A log that does not count is wrapped in a
/// [`MeteredLog`](crate::metered_log::MeteredLog).
#[async_trait]
pub trait Usage: fmt::Debug + Send + Sync + 'static {
    /// Adds an amount to what an account used on a day: a token that was issued, or messages of a log that does not count
    /// them itself.
    async fn count(&self, account: &str, day: Day, used: Used) -> Result<()>;

    /// Returns what an account used on each day from `first` to `last` on which it used something, in order.
    async fn usage(&self, account: &str, first: Day, last: Day) -> Result<Vec<DayUsage>>;
}

/// A day, as the number of days since 1970-01-01, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub u32);

impl Day {
    /// Returns the day of a time.
    pub fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| (since.as_secs() / 86_400) as u32))
    }
}

/// An account's usage on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// The day.
    pub day: Day,
    /// What was used.
    pub used: Used,
}

/// An amount of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Messages archived, and so relayed.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tokens issued.
    pub tokens: u64,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.tokens += other.tokens;
    }
}

impl std::iter::Sum for Used {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let mut sum = Self::default();
        amounts.for_each(|amount| sum += amount);
        sum
    }
}
