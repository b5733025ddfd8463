//! Getting into a channel by an invite, and letting others in.

use std::time::Duration;

use sha2::{Digest, Sha256};
use skytale_core::ChannelName;
use tokio::task::JoinHandle;

use super::{Client, channel_name};
use crate::backoff::Backoff;
use crate::channel::Channel;
use crate::credentials::http_api::{Api, Request, Wait};
use crate::directory::key_package_pool::key_package_changes;
use crate::error::{Error, Result};
use crate::group::key_package::{Uses, signature_key};
use crate::machine::effects::{Change, Kind};
use crate::state::AGENT;

impl Client {
    /// Joins a channel by an invite; waits until a member has let this agent in.
    ///
    /// After a crash the same call goes on where it was: the invite is used once.
    ///
    /// # Errors
    ///
    /// [`Error::ApiRefused`] where the invite is not for this channel, used up or expired; [`Error::Configuration`] where
    /// the client has no API key.
    pub async fn join(&self, name: &str, invite: &str) -> Result<Channel> {
        let name = channel_name(name)?;
        if self.known(&name).await?.is_some_and(|channel| !channel.was_removed()) {
            return self.join_channel(&name.to_string()).await;
        }
        let api = self.0.tokens.api()?;
        let key_package = self.key_package_for(&name, invite).await?;
        // Registers the agent's name, which is where the Welcome comes.
        self.0.tokens.fresh().await?;
        api.join(&name, invite, self.0.identity.text(), &key_package).await?;
        let channel = self.join_channel(&name.to_string()).await?;
        let forget = Change::Delete { kind: Kind::Joining, key: joining_key(&name, invite) };
        self.0.records.commit(vec![(AGENT.to_owned(), vec![forget])]).await?;
        Ok(channel)
    }

    /// Returns the key package that goes with an invite: the same one as long as the channel is not joined.
    async fn key_package_for(&self, name: &ChannelName, invite: &str) -> Result<Vec<u8>> {
        let mut stock = self.0.stock.lock().await;
        let key = joining_key(name, invite);
        let stored = self.0.records.load(AGENT).await?;
        if let Some(made) = stored.get(&Kind::Joining).and_then(|made| made.get(&key)) {
            return Ok(made.clone());
        }
        let made = stock.generate(&self.0.identity, self.0.suite, Uses::Once, self.0.clock.now())?;
        let mut changes = key_package_changes(&mut stock);
        changes.push(Change::Put { kind: Kind::Joining, key, value: made.clone() });
        self.0.records.commit(vec![(AGENT.to_owned(), changes)]).await?;
        Ok(made)
    }
}

impl Channel {
    /// Makes an invite that lets `uses` agents in until `life` is over, and lets them in as long as the channel is open.
    ///
    /// Whoever has the invite's token joins with [`Client::join`].
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] where the client has no API key; [`Error::ApiRefused`] where the account does not own the
    /// channel.
    pub async fn invite(&self, uses: u32, life: Duration) -> Result<String> {
        let api = self.api()?;
        let token = api.invite(self.name(), uses, life).await?;
        self.auto_admit();
        Ok(token)
    }

    /// Lets agents in that ask to join, for as long as the channel is open; [`invite`](Self::invite) does it, too.
    ///
    /// Nothing happens where the client has no API key.
    pub fn auto_admit(&self) {
        let Ok(api) = self.api() else { return };
        let mut admitting = self.admitting();
        if admitting.as_ref().is_none_or(JoinHandle::is_finished) {
            *admitting = Some(tokio::spawn(auto_admit(self.downgrade(), api)));
        }
    }

    /// Lets in who asks to join now, and returns how many.
    ///
    /// # Errors
    ///
    /// As for [`add`](Self::add), and those of the API.
    pub async fn admit_pending(&self) -> Result<usize> {
        let api = self.api()?;
        let requests = api.pending(self.name(), Wait::Not).await?;
        let mut admitted = 0;
        for request in requests {
            admitted += usize::from(self.answer(&api, request).await?);
        }
        Ok(admitted)
    }

    /// Adds who asks, and says so; a request of no use is refused. Tells whether the agent was let in.
    async fn answer(&self, api: &Api, request: Request) -> Result<bool> {
        let added = match self.is_added(&request) {
            Presence::Same => Ok(0),
            Presence::Other => match self.remove(&request.agent).await {
                Ok(_) => self.add_with(&request.agent, request.key_package).await,
                Err(error) => Err(error),
            },
            Presence::None => self.add_with(&request.agent, request.key_package).await,
        };
        match added {
            Ok(_) => api.answered(&request.id).await.map(|()| true),
            Err(Error::NoKeyPackage { agent, reason }) => {
                tracing::warn!(agent, reason, "a request to join was refused");
                api.refuse(&request.id).await.map(|()| false)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells whether an agent that asks was added already, and with these keys: the answer may have been lost.
    fn is_added(&self, request: &Request) -> Presence {
        let members = self.members();
        let mut of_agent = members.iter().filter(|member| member.agent == request.agent).peekable();
        if of_agent.peek().is_none() {
            return Presence::None;
        }
        let key = signature_key(&request.key_package);
        let same = of_agent.any(|member| key.as_ref() == Some(&member.signature_key));
        if same { Presence::Same } else { Presence::Other }
    }
}

/// Whether an agent is a member.
enum Presence {
    None,
    /// With the keys it has now.
    Same,
    /// With keys that it has lost.
    Other,
}

/// Lets agents in until the channel is closed.
async fn auto_admit(channel: crate::channel::WeakChannel, api: Api) {
    let mut backoff = Backoff::default();
    while let Some(name) = channel.upgrade().filter(Channel::is_open).map(|channel| channel.name().clone()) {
        let outcome = match (api.pending(&name, Wait::ForSome).await, channel.upgrade()) {
            (Ok(requests), Some(channel)) => answer_all(&channel, &api, requests).await,
            (Ok(_), None) => return,
            (Err(error), _) => Err(error),
        };
        match outcome {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "nobody could be let in");
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

async fn answer_all(channel: &Channel, api: &Api, requests: Vec<Request>) -> Result<()> {
    for request in requests {
        channel.answer(api, request).await?;
    }
    Ok(())
}

fn joining_key(channel: &ChannelName, invite: &str) -> Vec<u8> {
    Sha256::digest(format!("{channel} {invite}")).to_vec()
}
