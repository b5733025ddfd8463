//! Counts usage of accounts in memory.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::contract::record::{AppendOutcome, NewRecord};
use crate::contract::usage::{Day, DayUsage, Used};

/// The usage of each account on each day.
pub(crate) type Amounts = BTreeMap<(Arc<str>, Day), Used>;

#[derive(Debug, Default)]
pub(crate) struct Meters(Mutex<Amounts>);

/// The account that each record counts for, and its size; empty where no record counts.
pub(crate) struct Countable(Vec<(Option<Arc<str>>, u64)>);

impl Countable {
    pub fn of(records: &[NewRecord]) -> Self {
        if records.iter().all(|record| record.account.is_none()) {
            return Self(Vec::new());
        }
        Self(records.iter().map(|record| (record.account.clone(), record.body.len() as u64)).collect())
    }
}

impl Meters {
    /// Counts what was appended just now, and not before.
    pub fn count(&self, records: Countable, appended: &[AppendOutcome]) {
        let today = Day::of(SystemTime::now());
        for ((account, bytes), outcome) in records.0.into_iter().zip(appended) {
            if let (Some(account), AppendOutcome::Appended(_)) = (account, outcome) {
                self.add(account, today, Used { messages: 1, bytes, tokens: 0 });
            }
        }
    }

    pub fn add(&self, account: Arc<str>, day: Day, used: Used) {
        *self.amounts().entry((account, day)).or_default() += used;
    }

    /// Takes everything out.
    pub fn take(&self) -> Amounts {
        std::mem::take(&mut self.amounts())
    }

    pub fn of(&self, account: &str, days: RangeInclusive<Day>) -> Vec<DayUsage> {
        let account: Arc<str> = account.into();
        let (first, last) = ((account.clone(), *days.start()), (account, *days.end()));
        self.amounts()
            .range(first..=last)
            .map(|((_, day), used)| DayUsage { day: *day, used: *used })
            .collect()
    }

    fn amounts(&self) -> MutexGuard<'_, Amounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
