//! Authorization of principals on channels, beyond the permissions of their tokens.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dashmap::DashMap;
use skytale_core::{ChannelName, Principal, Verb};
use skytale_store::ChannelRegistry;

/// Decides what principals may do on channels, in addition to their own permissions.
///
/// It is asked once for each channel that a session uses, and again when the session presents another token.
#[async_trait]
pub trait Authorizer: fmt::Debug + Send + Sync + 'static {
    /// Tells whether a principal may do `verb` on `channel`.
    async fn allows(&self, principal: &Principal, verb: Verb, channel: &ChannelName) -> bool;

    /// Tells whether a principal may leave a Welcome to `channel` for `agent`. Default: if it may publish to the agent.
    async fn allows_welcome(
        &self,
        principal: &Principal,
        channel: &ChannelName,
        agent: &ChannelName,
    ) -> bool {
        let _ = channel;
        self.allows(principal, Verb::Publish, agent).await
    }
}

/// Keeps accounts to the channels that they own or were invited to, and their agents to names that they own.
///
/// This holds for tokens that were made with an API key. What other tokens grant is left to their issuer, who has signed
/// it. A channel that nobody has registered is refused as one that belongs to somebody else.
#[derive(Debug)]
pub struct AccountAuthorizer {
    channels: Arc<dyn ChannelRegistry>,
    known: DashMap<(Arc<str>, [u64; 3]), Instant>,
}

/// How long it is remembered that an account may use a channel.
const REMEMBERED: Duration = Duration::from_secs(2);

/// How much is remembered at once.
const MOST: usize = 65_536;

impl AccountAuthorizer {
    /// Makes it of where channels are registered.
    pub fn new(channels: Arc<dyn ChannelRegistry>) -> Self {
        Self { channels, known: DashMap::new() }
    }

    async fn has_role(&self, account: &Arc<str>, channel: &ChannelName) -> bool {
        let key = (account.clone(), channel.components());
        if self.known.get(&key).is_some_and(|since| since.elapsed() < REMEMBERED) {
            return true;
        }
        let role = self.channels.role(channel, account).await;
        if let Err(error) = &role {
            tracing::error!(error = error as &dyn std::error::Error, "access could not be checked");
        }
        let has = matches!(role, Ok(Some(_)));
        if has {
            if self.known.len() >= MOST {
                self.known.retain(|_, since| since.elapsed() < REMEMBERED);
            }
            self.known.insert(key, Instant::now());
        }
        has
    }
}

#[async_trait]
impl Authorizer for AccountAuthorizer {
    async fn allows(&self, principal: &Principal, _: Verb, channel: &ChannelName) -> bool {
        principal.key.is_none() || self.has_role(&principal.account, channel).await
    }

    /// Allows it for an agent whose account is a member of the channel, too.
    async fn allows_welcome(
        &self,
        principal: &Principal,
        channel: &ChannelName,
        agent: &ChannelName,
    ) -> bool {
        if self.allows(principal, Verb::Publish, agent).await {
            return true;
        }
        match self.channels.channel(agent).await {
            Ok(Some(entry)) => self.has_role(&entry.owner.into(), channel).await,
            _ => false,
        }
    }
}
