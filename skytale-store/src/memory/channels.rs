//! The registry of channels, their members and join requests in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use skytale_core::ChannelName;

use super::MemoryStore;
use crate::contract::channels::{
    ChannelEntry, ChannelRegistry, Invite, JoinRequest, Member, NewJoinRequest, Role,
};
use crate::error::Result;

#[derive(Debug, Default)]
pub(super) struct ChannelTable(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    channels: HashMap<ChannelName, RegisteredChannel>,
    invites: HashMap<[u8; 32], Invite>,
    /// In the order they came.
    requests: Vec<LeasedRequest>,
}

#[derive(Debug)]
struct RegisteredChannel {
    entry: ChannelEntry,
    members: Vec<(String, SystemTime)>,
}

#[derive(Debug)]
struct LeasedRequest {
    request: JoinRequest,
    leased_until: Option<SystemTime>,
}

impl ChannelTable {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegisteredChannel {
    fn role(&self, account: &str) -> Option<Role> {
        if self.entry.owner == account {
            return Some(Role::Owner);
        }
        self.members.iter().any(|(member, _)| member == account).then_some(Role::Member)
    }
}

#[async_trait]
impl ChannelRegistry for MemoryStore {
    async fn register_channel(&self, channel: ChannelEntry) -> Result<ChannelEntry> {
        let mut content = self.channels.lock();
        let registered = content.channels.entry(channel.name.clone());
        Ok(registered.or_insert(RegisteredChannel { entry: channel, members: Vec::new() }).entry.clone())
    }

    async fn channel(&self, name: &ChannelName) -> Result<Option<ChannelEntry>> {
        Ok(self.channels.lock().channels.get(name).map(|channel| channel.entry.clone()))
    }

    async fn role(&self, channel: &ChannelName, account: &str) -> Result<Option<Role>> {
        Ok(self.channels.lock().channels.get(channel).and_then(|channel| channel.role(account)))
    }

    async fn channels_of(&self, account: &str, after: &str, most: u32) -> Result<Vec<(ChannelEntry, Role)>> {
        let content = self.channels.lock();
        let mine = content
            .channels
            .values()
            .filter_map(|channel| Some((channel.entry.clone(), channel.role(account)?)));
        let mut mine: Vec<_> = mine.filter(|(entry, _)| entry.name.to_string().as_str() > after).collect();
        mine.sort_by_key(|(entry, _)| entry.name.to_string());
        mine.truncate(most as usize);
        Ok(mine)
    }

    async fn members(&self, channel: &ChannelName) -> Result<Vec<Member>> {
        let content = self.channels.lock();
        let Some(channel) = content.channels.get(channel) else { return Ok(Vec::new()) };
        let owner = (&channel.entry.owner, Role::Owner, channel.entry.created_at);
        let members = channel.members.iter().map(|(account, since)| (account, Role::Member, *since));
        let all = std::iter::once(owner).chain(members);
        Ok(all.map(|(account, role, since)| Member { account: account.clone(), role, since }).collect())
    }

    async fn remove_member(&self, channel: &ChannelName, account: &str) -> Result<bool> {
        let mut content = self.channels.lock();
        let Some(channel) = content.channels.get_mut(channel) else { return Ok(false) };
        let count = channel.members.len();
        channel.members.retain(|(member, _)| member != account);
        Ok(channel.members.len() < count)
    }

    async fn add_invite(&self, invite: Invite) -> Result<()> {
        self.channels.lock().invites.insert(invite.digest, invite);
        Ok(())
    }

    async fn join(&self, wanted: NewJoinRequest) -> Result<bool> {
        let mut content = self.channels.lock();
        if content.requests.iter().any(|leased| leased.request.id == wanted.id) {
            return Ok(true);
        }
        let Some(invite) = content.invites.get_mut(&wanted.invite) else { return Ok(false) };
        if invite.channel != wanted.channel || invite.uses == 0 || invite.expires_at <= wanted.at {
            return Ok(false);
        }
        invite.uses -= 1;
        if let Some(channel) = content.channels.get_mut(&wanted.channel)
            && channel.role(&wanted.account).is_none()
        {
            channel.members.push((wanted.account.clone(), wanted.at));
        }
        let NewJoinRequest { id, channel, account, identity, key_package, at, .. } = wanted;
        let request =
            JoinRequest { id, channel, account, identity, key_package, created_at: at, welcome: None };
        content.requests.push(LeasedRequest { request, leased_until: None });
        Ok(true)
    }

    async fn lease_requests(
        &self,
        channel: &ChannelName,
        now: SystemTime,
        until: SystemTime,
        most: u32,
    ) -> Result<Vec<JoinRequest>> {
        let mut content = self.channels.lock();
        let free = content.requests.iter_mut().filter(|leased| {
            leased.request.channel == *channel
                && leased.request.welcome.is_none()
                && leased.leased_until.is_none_or(|until| until <= now)
        });
        Ok(free
            .take(most as usize)
            .map(|leased| {
                leased.leased_until = Some(until);
                leased.request.clone()
            })
            .collect())
    }

    async fn request(&self, id: &str) -> Result<Option<JoinRequest>> {
        let content = self.channels.lock();
        let found = content.requests.iter().find(|leased| leased.request.id == id);
        Ok(found.map(|leased| leased.request.clone()))
    }

    async fn answer_request(&self, id: &str, welcome: Bytes) -> Result<Option<Bytes>> {
        let mut content = self.channels.lock();
        let found = content.requests.iter_mut().find(|leased| leased.request.id == id);
        Ok(found.map(|leased| leased.request.welcome.get_or_insert(welcome).clone()))
    }

    async fn drop_request(&self, id: &str) -> Result<bool> {
        let mut content = self.channels.lock();
        let count = content.requests.len();
        content.requests.retain(|leased| leased.request.id != id);
        Ok(content.requests.len() < count)
    }

    async fn expire_requests(&self, before: SystemTime) -> Result<u64> {
        let mut content = self.channels.lock();
        let count = content.requests.len() + content.invites.len();
        content.requests.retain(|leased| leased.request.created_at >= before);
        content.invites.retain(|_, invite| invite.expires_at >= before);
        Ok((count - content.requests.len() - content.invites.len()) as u64)
    }
}
