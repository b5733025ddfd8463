//! Accounts and keys in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::MemoryStore;
use crate::contract::accounts::{Account, Accounts, ApiKey, Revocation, Revoked};
use crate::error::Result;

#[derive(Debug, Default)]
pub(super) struct AccountTable(Mutex<Content>);

/// What is open and not revoked; the rest is forgotten.
#[derive(Debug, Default)]
struct Content {
    accounts: HashMap<String, Account>,
    /// In the order they were made.
    keys: Vec<ApiKey>,
    revocations: HashMap<Revoked, SystemTime>,
}

impl AccountTable {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn change_account(&mut self, id: &str, change: impl FnOnce(&mut Account)) -> bool {
        self.accounts.get_mut(id).map(change).is_some()
    }

    fn change_key(&mut self, account: &str, id: &str, change: impl FnOnce(&mut ApiKey)) -> bool {
        let found = self.keys.iter_mut().find(|key| key.id == id && key.account == account);
        found.map(change).is_some()
    }
}

#[async_trait]
impl Accounts for MemoryStore {
    async fn create_account(&self, account: Account, key: ApiKey) -> Result<()> {
        let mut content = self.accounts.lock();
        content.accounts.insert(account.id.clone(), account);
        content.keys.push(key);
        Ok(())
    }

    async fn account(&self, id: &str) -> Result<Option<Account>> {
        Ok(self.accounts.lock().accounts.get(id).cloned())
    }

    async fn rename_account(&self, id: &str, name: &str) -> Result<bool> {
        Ok(self.accounts.lock().change_account(id, |account| account.name = name.to_owned()))
    }

    async fn set_plan(&self, id: &str, plan: &str) -> Result<bool> {
        Ok(self.accounts.lock().change_account(id, |account| account.plan = plan.to_owned()))
    }

    async fn close_account(&self, id: &str) -> Result<bool> {
        let mut content = self.accounts.lock();
        content.keys.retain(|key| key.account != id);
        Ok(content.accounts.remove(id).is_some())
    }

    async fn add_key(&self, key: ApiKey) -> Result<bool> {
        let mut content = self.accounts.lock();
        let open = content.accounts.contains_key(&key.account);
        content.keys.extend(open.then_some(key));
        Ok(open)
    }

    async fn key(&self, id: &str) -> Result<Option<ApiKey>> {
        Ok(self.accounts.lock().keys.iter().find(|key| key.id == id).cloned())
    }

    async fn keys(&self, account: &str) -> Result<Vec<ApiKey>> {
        let content = self.accounts.lock();
        Ok(content.keys.iter().rev().filter(|key| key.account == account).cloned().collect())
    }

    async fn use_key(&self, id: &str, at: SystemTime) -> Result<()> {
        if let Some(key) = self.accounts.lock().keys.iter_mut().find(|key| key.id == id) {
            key.last_used_at = Some(at);
        }
        Ok(())
    }

    async fn expire_key(&self, account: &str, id: &str, at: SystemTime) -> Result<bool> {
        Ok(self.accounts.lock().change_key(account, id, |key| key.expires_at = Some(at)))
    }

    async fn revoke_key(&self, account: &str, id: &str) -> Result<bool> {
        let mut content = self.accounts.lock();
        let count = content.keys.len();
        content.keys.retain(|key| key.id != id || key.account != account);
        Ok(content.keys.len() < count)
    }

    async fn revoke(&self, revocation: Revocation) -> Result<()> {
        let mut content = self.accounts.lock();
        let at = content.revocations.entry(revocation.subject).or_insert(revocation.at);
        *at = revocation.at.max(*at);
        Ok(())
    }

    async fn revocation(&self, subject: &Revoked) -> Result<Option<SystemTime>> {
        Ok(self.accounts.lock().revocations.get(subject).copied())
    }

    async fn revocations(&self, since: SystemTime) -> Result<Vec<Revocation>> {
        let content = self.accounts.lock();
        let newer = content.revocations.iter().filter(|(_, at)| **at >= since);
        Ok(newer.map(|(subject, at)| Revocation { subject: subject.clone(), at: *at }).collect())
    }

    async fn forget_revocations(&self, before: SystemTime) -> Result<u64> {
        let mut content = self.accounts.lock();
        let count = content.revocations.len();
        content.revocations.retain(|_, at| *at >= before);
        Ok((count - content.revocations.len()) as u64)
    }
}
