//! Usage in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::MemoryStore;
use crate::error::Result;
use crate::store::{NewRecord, Outcome};
use crate::usage::{Day, DayUsage, Usage, Used};

#[derive(Debug, Default)]
pub(super) struct Meters(Mutex<BTreeMap<(Arc<str>, Day), Used>>);

/// Returns whom each record counts for, and its size; empty where no record counts.
pub(super) fn metered(records: &[NewRecord]) -> Vec<(Option<Arc<str>>, u64)> {
    if records.iter().all(|record| record.account.is_none()) {
        return Vec::new();
    }
    records.iter().map(|record| (record.account.clone(), record.body.len() as u64)).collect()
}

impl Meters {
    pub fn count(&self, metered: Vec<(Option<Arc<str>>, u64)>, appended: &[Outcome]) {
        let today = Day::of(SystemTime::now());
        for ((account, bytes), outcome) in metered.into_iter().zip(appended) {
            if let (Some(account), Outcome::Fresh(_)) = (account, outcome) {
                self.add(account, today, Used { messages: 1, bytes, tokens: 0 });
            }
        }
    }

    fn add(&self, account: Arc<str>, day: Day, used: Used) {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *meters.entry((account, day)).or_default() += used;
    }
}

#[async_trait]
impl Usage for MemoryStore {
    async fn count_token(&self, account: &str, day: Day) -> Result<()> {
        self.meters.add(account.into(), day, Used { tokens: 1, ..Used::default() });
        Ok(())
    }

    async fn usage(&self, account: &str, first: Day, last: Day) -> Result<Vec<DayUsage>> {
        let meters = self.meters.0.lock().unwrap_or_else(PoisonError::into_inner);
        let account: Arc<str> = account.into();
        let days = meters.range((account.clone(), first)..=(account, last));
        Ok(days.map(|((_, day), used)| DayUsage { day: *day, used: *used }).collect())
    }
}
