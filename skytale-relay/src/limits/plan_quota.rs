//! Monthly quotas of accounts, by their plans.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use skytale_core::Principal;
use skytale_store::{Day, Usage};

/// How many messages accounts may send in a calendar month (UTC), by the plan that their tokens name.
///
/// Commits, proposals and Welcomes count, and are never refused, so that a group is not left halfway. A plan that is not
/// known has no limit.
#[derive(Debug)]
pub struct PlanLimits {
    usage: Arc<dyn Usage>,
    plans: HashMap<String, u64>,
    balances: DashMap<Arc<str>, Arc<AccountQuota>>,
}

/// What an account has sent in a month, as far as this relay knows.
#[derive(Debug)]
pub(crate) struct AccountQuota {
    account: Arc<str>,
    allowed: u64,
    sent: AtomicU64,
    /// How many are on their way to the archive, which does not count them yet.
    on_the_way: Arc<AtomicU64>,
    state: Mutex<State>,
}

/// A message that an account's plan allowed, until the archive counts it.
#[derive(Debug)]
pub(crate) struct Reservation(Arc<AtomicU64>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    counted: Option<Instant>,
    resets_at: SystemTime,
}

/// An account has sent what its plan allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub allowed: u64,
    pub resets_at: SystemTime,
}

/// After which time the archive's count is read again, since other relays count as well.
const COUNT_AGAIN: Duration = Duration::from_secs(10);

/// The same for an account that has nothing left.
const COUNT_AGAIN_AT_THE_LIMIT: Duration = Duration::from_secs(1);

/// The number of accounts at which those are forgotten that nobody acts for.
const FORGET_AT: usize = 10_000;

impl PlanLimits {
    /// Makes it of where use is counted; no plan has a limit.
    pub fn new(usage: Arc<dyn Usage>) -> Self {
        Self { usage, plans: HashMap::new(), balances: DashMap::new() }
    }

    /// Sets how many messages a plan allows in a month.
    pub fn with_plan(mut self, plan: impl Into<String>, messages: u64) -> Self {
        self.plans.insert(plan.into(), messages);
        self
    }

    /// Returns the balance of a principal's account; `None` where its plan has no limit.
    pub(crate) fn balance(&self, principal: &Principal) -> Option<Arc<AccountQuota>> {
        let allowed = *self.plans.get(&**principal.plan.as_ref()?)?;
        if self.balances.len() > FORGET_AT {
            self.balances.retain(|_, balance| Arc::strong_count(balance) > 1);
        }
        let mut balance = self.balances.entry(principal.account.clone()).or_insert_with(|| {
            let state = Mutex::new(State { counted: None, resets_at: UNIX_EPOCH });
            let (account, sent, on_the_way) = (principal.account.clone(), AtomicU64::new(0), Arc::default());
            Arc::new(AccountQuota { account, allowed, sent, on_the_way, state })
        });
        if balance.allowed != allowed {
            *balance = Arc::new(balance.with_another_plan(allowed));
        }
        Some(balance.clone())
    }

    /// Counts a message that is about to be sent.
    pub(crate) async fn take(
        &self,
        balance: &AccountQuota,
        now: SystemTime,
    ) -> Result<Reservation, Exceeded> {
        let counted = balance.begin();
        let state = *balance.state();
        let sent = balance.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut sent, mut resets_at) = (sent, state.resets_at);
        let is_over = sent > balance.allowed;
        let again = if is_over { COUNT_AGAIN_AT_THE_LIMIT } else { COUNT_AGAIN };
        if state.counted.is_none_or(|counted| counted.elapsed() >= again) {
            (sent, resets_at) = self.count(balance, now).await.unwrap_or((sent, resets_at));
        }
        if sent <= balance.allowed {
            return Ok(counted);
        }
        balance.sent.fetch_sub(1, Ordering::Relaxed);
        Err(Exceeded { allowed: balance.allowed, resets_at })
    }

    /// Reads how many messages the archive has counted, and counts those that are on their way to it.
    async fn count(&self, balance: &AccountQuota, now: SystemTime) -> Option<(u64, SystemTime)> {
        let (first, next) = month(Day::of(now));
        let days = self.usage.usage(&balance.account, first, Day(next.0 - 1)).await;
        let days = days
            .inspect_err(|error| {
                tracing::error!(error = error as &dyn std::error::Error, "use could not be read");
            })
            .ok()?;
        let archived = days.iter().map(|day| day.used.messages).sum::<u64>();
        let sent = archived + balance.on_the_way.load(Ordering::Relaxed);
        let resets_at = UNIX_EPOCH + Duration::from_secs(u64::from(next.0) * 86_400);
        balance.sent.store(sent, Ordering::Relaxed);
        *balance.state() = State { counted: Some(Instant::now()), resets_at };
        Some((sent, resets_at))
    }
}

impl AccountQuota {
    fn with_another_plan(&self, allowed: u64) -> Self {
        let sent = AtomicU64::new(self.sent.load(Ordering::Relaxed));
        let (account, on_the_way) = (self.account.clone(), self.on_the_way.clone());
        Self { account, allowed, sent, on_the_way, state: Mutex::new(*self.state()) }
    }

    fn begin(&self) -> Reservation {
        self.on_the_way.fetch_add(1, Ordering::Relaxed);
        Reservation(self.on_the_way.clone())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exceeded {
    /// Returns how long it is until the account may send again.
    pub fn retry_after(&self, now: SystemTime) -> Duration {
        self.resets_at.duration_since(now).unwrap_or_default()
    }
}

/// Returns the first day of a day's month, and of the next one.
fn month(day: Day) -> (Day, Day) {
    let date = time::OffsetDateTime::UNIX_EPOCH.date() + time::Duration::days(i64::from(day.0));
    let first = day.0 - u32::from(date.day() - 1);
    (Day(first), Day(first + u32::from(date.month().length(date.year()))))
}

#[cfg(test)]
mod tests {
    use skytale_core::{ChannelName, Dialect, Permissions};
    use skytale_store::{MemoryStore, NewRecord, Precondition, Store};

    use super::*;

    #[test]
    fn a_month_has_its_days() {
        // 2026-11-25, 2024-02-29, 1970-01-01.
        assert_eq!(month(Day(20_782)), (Day(20_758), Day(20_788)));
        assert_eq!(month(Day(19_782)), (Day(19_754), Day(19_783)));
        assert_eq!(month(Day(0)), (Day(0), Day(31)));
    }

    #[tokio::test]
    async fn what_the_archive_counted_counts() {
        let (store, now) = (Arc::new(MemoryStore::new()), SystemTime::now());
        let room = ChannelName::from_strings(["a", "b", "c"]);
        let record = || NewRecord::new(Dialect::Slim3, "x".into()).with_account("acme");
        store.append(&room, vec![record(), record()], Precondition::Any).await.expect("append");
        let limits = PlanLimits::new(store).with_plan("free", 3);
        let acme = Principal::new("acme", Permissions::All).with_plan("free");
        let balance = limits.balance(&acme).expect("a limited plan");
        let allowed = limits.take(&balance, now).await.expect("the third");
        let exceeded = limits.take(&balance, now).await.expect_err("three are allowed");
        assert_eq!(exceeded.allowed, 3);
        assert!(exceeded.resets_at > now);
        assert!(limits.balance(&Principal::new("acme", Permissions::All).with_plan("pro")).is_none());
        balance.state().counted = None;
        limits.take(&balance, now).await.expect_err("the third is on its way still");
        drop(allowed);
        balance.state().counted = None;
        limits.take(&balance, now).await.expect("the third never came to the archive");
    }
}
