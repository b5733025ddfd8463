//! Usage in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::contract::usage::{Day, DayUsage, Usage, Used};
use crate::error::Result;

#[async_trait]
impl Usage for MemoryStore {
    async fn count(&self, account: &str, day: Day, used: Used) -> Result<()> {
        self.meters.add(account.into(), day, used);
        Ok(())
    }

    async fn usage(&self, account: &str, first: Day, last: Day) -> Result<Vec<DayUsage>> {
        Ok(self.meters.of(account, first..=last))
    }
}
