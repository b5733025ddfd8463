//! Counters of the sessions and subscriptions of accounts, against their limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use super::Limits;
use crate::admission::connect::ConnectError;

/// What all accounts hold.
#[derive(Debug, Default)]
pub(crate) struct SessionQuotas {
    sessions: Arc<AtomicUsize>,
    accounts: DashMap<Arc<str>, Arc<AccountUse>>,
}

/// What one account holds.
#[derive(Debug, Default)]
struct AccountUse {
    sessions: AtomicUsize,
    subscriptions: AtomicUsize,
}

/// One admitted session's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct SessionPermit {
    sessions: Arc<AtomicUsize>,
    account: Arc<AccountUse>,
    subscriptions: usize,
    allowed_subscriptions: usize,
}

/// The number of accounts at which those that hold nothing are forgotten.
const FORGET_AT: usize = 10_000;

impl SessionQuotas {
    /// Returns how many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Admits a session of an account.
    pub fn admit(&self, account: &Arc<str>, limits: &Limits) -> Result<SessionPermit, ConnectError> {
        if self.accounts.len() > FORGET_AT {
            self.accounts.retain(|_, account_use| Arc::strong_count(account_use) > 1);
        }
        let account_use = self.accounts.entry(account.clone()).or_default().clone();
        take(&self.sessions, limits.sessions, "sessions")?;
        if let Err(error) =
            take(&account_use.sessions, limits.sessions_per_principal, "sessions of this account")
        {
            self.sessions.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        let sessions = self.sessions.clone();
        let allowed_subscriptions = limits.subscriptions_per_principal;
        Ok(SessionPermit { sessions, account: account_use, subscriptions: 0, allowed_subscriptions })
    }
}

impl SessionPermit {
    /// Takes one more subscription of the account.
    pub fn subscribe(&mut self) -> Result<(), ConnectError> {
        take(&self.account.subscriptions, self.allowed_subscriptions, "subscriptions of this account")?;
        self.subscriptions += 1;
        Ok(())
    }

    /// Gives one subscription back.
    pub fn unsubscribe(&mut self) {
        self.subscriptions -= 1;
        self.account.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.account.subscriptions.fetch_sub(self.subscriptions, Ordering::Relaxed);
        self.account.sessions.fetch_sub(1, Ordering::Relaxed);
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take(counter: &AtomicUsize, allowed: usize, what: &'static str) -> Result<(), ConnectError> {
    if counter.fetch_add(1, Ordering::Relaxed) >= allowed {
        counter.fetch_sub(1, Ordering::Relaxed);
        return Err(ConnectError::Limit { what, allowed });
    }
    Ok(())
}
