//! Key packages and deposits in memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use skytale_core::{ChannelName, SequenceNumber};

use super::MemoryStore;
use crate::contract::directory::{
    Attachment, ClaimedKeyPackage, CommitAttachments, KeyPackageDirectory, MAX_GROUP_INFOS,
};
use crate::contract::record::MessageId;
use crate::error::Result;

#[derive(Debug, Default)]
pub(super) struct DirectoryTable(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    key_packages: HashMap<ChannelName, Packages>,
    deposits: Vec<Kept>,
}

#[derive(Debug, Default)]
struct Packages {
    single_use: VecDeque<Bytes>,
    last_resort: Option<Bytes>,
}

/// A deposit; without an agent it is a GroupInfo.
#[derive(Debug)]
struct Kept {
    agent: Option<ChannelName>,
    at: SystemTime,
    deposit: Attachment,
}

impl DirectoryTable {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn keep(&mut self, agent: Option<ChannelName>, bundle: &CommitAttachments, body: Bytes) {
        let (channel, commit) = (bundle.channel.clone(), bundle.commit);
        let known = |kept: &Kept| kept.agent == agent && kept.is_of(&channel, commit);
        if !self.deposits.iter().any(known) {
            let deposit = Attachment { channel, commit, accepted: None, body };
            self.deposits.push(Kept { agent, at: SystemTime::now(), deposit });
        }
    }

    /// Drops the GroupInfos of a channel that are older than the last ones of accepted commits.
    fn prune(&mut self, channel: &ChannelName) {
        let is_info = |kept: &Kept| kept.agent.is_none() && kept.deposit.channel == *channel;
        let accepted = |kept: &&Kept| is_info(kept) && kept.deposit.accepted.is_some();
        let Some(oldest) = self.deposits.iter().rev().filter(accepted).nth(MAX_GROUP_INFOS - 1) else {
            return;
        };
        let oldest = oldest.deposit.commit;
        let mut reached = false;
        self.deposits.retain(|kept| {
            reached |= is_info(kept) && kept.deposit.commit == oldest;
            reached || !is_info(kept)
        });
    }
}

impl Kept {
    fn is_of(&self, channel: &ChannelName, commit: MessageId) -> bool {
        self.deposit.channel == *channel && self.deposit.commit == commit
    }
}

#[async_trait]
impl KeyPackageDirectory for MemoryStore {
    async fn add_key_packages(
        &self,
        agent: &ChannelName,
        key_packages: Vec<Bytes>,
        last_resort: Option<Bytes>,
    ) -> Result<u32> {
        let mut content = self.directory.lock();
        let packages = content.key_packages.entry(agent.clone()).or_default();
        for key_package in key_packages {
            if !packages.single_use.contains(&key_package) {
                packages.single_use.push_back(key_package);
            }
        }
        if last_resort.is_some() {
            packages.last_resort = last_resort;
        }
        Ok(packages.single_use.len() as u32)
    }

    async fn unheld_key_packages(&self, agent: &ChannelName, key_packages: Vec<Bytes>) -> Result<Vec<Bytes>> {
        let content = self.directory.lock();
        let held = content.key_packages.get(agent).map(|packages| &packages.single_use);
        let is_held = |key_package: &Bytes| held.is_some_and(|held| held.contains(key_package));
        let mut seen = HashSet::new();
        Ok(key_packages.into_iter().filter(|one| !is_held(one) && seen.insert(one.clone())).collect())
    }

    async fn count_key_packages(&self, agent: &ChannelName) -> Result<u32> {
        let content = self.directory.lock();
        Ok(content.key_packages.get(agent).map_or(0, |packages| packages.single_use.len() as u32))
    }

    async fn drop_key_packages(&self, agent: &ChannelName) -> Result<()> {
        self.directory.lock().key_packages.remove(agent);
        Ok(())
    }

    async fn claim_key_package(&self, agent: &ChannelName) -> Result<Option<ClaimedKeyPackage>> {
        let mut content = self.directory.lock();
        let Some(packages) = content.key_packages.get_mut(agent) else { return Ok(None) };
        let single_use = packages.single_use.pop_front();
        let left = packages.single_use.len() as u32;
        let is_last_resort = single_use.is_none();
        let key_package = single_use.or_else(|| packages.last_resort.clone());
        Ok(key_package.map(|key_package| ClaimedKeyPackage { key_package, is_last_resort, left }))
    }

    async fn last_resort(&self, agent: &ChannelName) -> Result<Option<Bytes>> {
        let content = self.directory.lock();
        Ok(content.key_packages.get(agent).and_then(|packages| packages.last_resort.clone()))
    }

    async fn deposit(&self, bundle: CommitAttachments) -> Result<()> {
        let mut content = self.directory.lock();
        for (agent, welcome) in &bundle.welcomes {
            content.keep(Some(agent.clone()), &bundle, welcome.clone());
        }
        if let Some(group_info) = &bundle.group_info {
            content.keep(None, &bundle, group_info.clone());
        }
        Ok(())
    }

    async fn settle(
        &self,
        channel: &ChannelName,
        commit: MessageId,
        accepted: Option<SequenceNumber>,
    ) -> Result<()> {
        let mut content = self.directory.lock();
        if accepted.is_none() {
            content.deposits.retain(|kept| !kept.is_of(channel, commit));
        }
        for kept in content.deposits.iter_mut().filter(|kept| kept.is_of(channel, commit)) {
            kept.deposit.accepted = accepted;
        }
        content.prune(channel);
        Ok(())
    }

    async fn welcomes(&self, agent: &ChannelName, skip: u32, most: u32) -> Result<Vec<Attachment>> {
        let content = self.directory.lock();
        let for_agent = content.deposits.iter().filter(|kept| kept.agent.as_ref() == Some(agent));
        Ok(for_agent.skip(skip as usize).take(most as usize).map(|kept| kept.deposit.clone()).collect())
    }

    async fn drop_welcome(&self, agent: &ChannelName, commit: MessageId) -> Result<()> {
        let for_agent = |kept: &Kept| kept.agent.as_ref() == Some(agent) && kept.deposit.commit == commit;
        self.directory.lock().deposits.retain(|kept| !for_agent(kept));
        Ok(())
    }

    async fn group_infos(&self, channel: &ChannelName) -> Result<Vec<Attachment>> {
        let content = self.directory.lock();
        let infos = content.deposits.iter().rev().filter(|kept| kept.agent.is_none());
        Ok(infos.filter(|kept| kept.deposit.channel == *channel).map(|kept| kept.deposit.clone()).collect())
    }

    async fn expire_deposits(&self, before: SystemTime) -> Result<u64> {
        let mut content = self.directory.lock();
        let count = content.deposits.len();
        // From the newest on: where an accepted commit's GroupInfo came, the older ones of its channel may go.
        let mut followed = HashSet::new();
        let mut left: Vec<_> = std::mem::take(&mut content.deposits).into_iter().rev().collect();
        left.retain(|kept| {
            let may_go = kept.agent.is_some() || followed.contains(&kept.deposit.channel);
            if kept.agent.is_none() && kept.deposit.accepted.is_some() {
                followed.insert(kept.deposit.channel.clone());
            }
            kept.at >= before || !may_go
        });
        content.deposits.extend(left.into_iter().rev());
        Ok((count - content.deposits.len()) as u64)
    }
}
