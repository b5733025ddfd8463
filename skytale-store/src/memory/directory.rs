//! Key packages and attachments in memory.

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
    attachments: Vec<StoredAttachment>,
}

#[derive(Debug, Default)]
struct Packages {
    single_use: VecDeque<Bytes>,
    last_resort: Option<Bytes>,
}

/// A deposit; without an agent it is a GroupInfo.
#[derive(Debug)]
struct StoredAttachment {
    agent: Option<ChannelName>,
    at: SystemTime,
    attachment: Attachment,
}

impl DirectoryTable {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn keep(&mut self, agent: Option<ChannelName>, attachments: &CommitAttachments, body: Bytes) {
        let (channel, commit) = (attachments.channel.clone(), attachments.commit);
        let known = |kept: &StoredAttachment| kept.agent == agent && kept.is_of(&channel, commit);
        if !self.attachments.iter().any(known) {
            let attachment = Attachment { channel, commit, accepted: None, body };
            self.attachments.push(StoredAttachment { agent, at: SystemTime::now(), attachment });
        }
    }

    /// Drops the GroupInfos of a channel that are older than the last ones of accepted commits.
    fn prune(&mut self, channel: &ChannelName) {
        let is_info = |kept: &StoredAttachment| kept.agent.is_none() && kept.attachment.channel == *channel;
        let accepted = |kept: &&StoredAttachment| is_info(kept) && kept.attachment.accepted.is_some();
        let Some(oldest) = self.attachments.iter().rev().filter(accepted).nth(MAX_GROUP_INFOS - 1) else {
            return;
        };
        let oldest = oldest.attachment.commit;
        let mut reached = false;
        self.attachments.retain(|kept| {
            reached |= is_info(kept) && kept.attachment.commit == oldest;
            reached || !is_info(kept)
        });
    }
}

impl StoredAttachment {
    fn is_of(&self, channel: &ChannelName, commit: MessageId) -> bool {
        self.attachment.channel == *channel && self.attachment.commit == commit
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

    async fn deposit(&self, attachments: CommitAttachments) -> Result<()> {
        let mut content = self.directory.lock();
        for (agent, welcome) in &attachments.welcomes {
            content.keep(Some(agent.clone()), &attachments, welcome.clone());
        }
        if let Some(group_info) = &attachments.group_info {
            content.keep(None, &attachments, group_info.clone());
        }
        Ok(())
    }

    async fn resolve(
        &self,
        channel: &ChannelName,
        commit: MessageId,
        accepted: Option<SequenceNumber>,
    ) -> Result<()> {
        let mut content = self.directory.lock();
        if accepted.is_none() {
            content.attachments.retain(|kept| !kept.is_of(channel, commit));
        }
        for kept in content.attachments.iter_mut().filter(|kept| kept.is_of(channel, commit)) {
            kept.attachment.accepted = accepted;
        }
        content.prune(channel);
        Ok(())
    }

    async fn welcomes(&self, agent: &ChannelName, skip: u32, most: u32) -> Result<Vec<Attachment>> {
        let content = self.directory.lock();
        let for_agent = content.attachments.iter().filter(|kept| kept.agent.as_ref() == Some(agent));
        Ok(for_agent.skip(skip as usize).take(most as usize).map(|kept| kept.attachment.clone()).collect())
    }

    async fn drop_welcome(&self, agent: &ChannelName, commit: MessageId) -> Result<()> {
        let for_agent =
            |kept: &StoredAttachment| kept.agent.as_ref() == Some(agent) && kept.attachment.commit == commit;
        self.directory.lock().attachments.retain(|kept| !for_agent(kept));
        Ok(())
    }

    async fn group_infos(&self, channel: &ChannelName) -> Result<Vec<Attachment>> {
        let content = self.directory.lock();
        let infos = content.attachments.iter().rev().filter(|kept| kept.agent.is_none());
        Ok(infos
            .filter(|kept| kept.attachment.channel == *channel)
            .map(|kept| kept.attachment.clone())
            .collect())
    }

    async fn expire_deposits(&self, before: SystemTime) -> Result<u64> {
        let mut content = self.directory.lock();
        let count = content.attachments.len();
        // From the newest on: where an accepted commit's GroupInfo came, the older ones of its channel may go.
        let mut followed = HashSet::new();
        let mut left: Vec<_> = std::mem::take(&mut content.attachments).into_iter().rev().collect();
        left.retain(|kept| {
            let may_go = kept.agent.is_some() || followed.contains(&kept.attachment.channel);
            if kept.agent.is_none() && kept.attachment.accepted.is_some() {
                followed.insert(kept.attachment.channel.clone());
            }
            kept.at >= before || !may_go
        });
        content.attachments.extend(left.into_iter().rev());
        Ok((count - content.attachments.len()) as u64)
    }
}
