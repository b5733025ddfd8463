//! An agent: its identity, its relay, its channels.

pub(crate) mod builder;
mod invites;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use skytale_core::{ChannelName, Clock};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::channel::Channel;
use crate::channel::event_queue::EventQueue;
use crate::channel::pending_calls::PendingCalls;
use crate::channel::task::{ChannelTask, Command, View};
use crate::cipher_suite::CipherSuite;
use crate::connection::Dialer;
use crate::crash;
use crate::credentials::Tokens;
use crate::directory::DirectoryClient;
use crate::directory::key_package_pool::{self, key_package_changes};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::group::identity::Identity;
use crate::group::key_package::KeyPackages;
use crate::machine::effects::{Change, Kind};
use crate::machine::stored::ONLY;
use crate::machine::{Machine, Options};
use crate::state::{AGENT, Records};
use builder::ClientBuilder;

/// An agent that is connected to a relay. Clones are the same agent.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub identity: Identity,
    pub suite: CipherSuite,
    pub options: Options,
    pub cover: Option<Duration>,
    pub key_packages: u32,
    pub clock: Arc<dyn Clock>,
    pub records: Records,
    pub dialer: Dialer,
    pub tokens: Tokens,
    pub directory: DirectoryClient,
    pub channels: Mutex<HashMap<ChannelName, Channel>>,
    /// Held while key packages are made or used.
    pub stock: Mutex<KeyPackages>,
    /// Since when all that was left at the relay is of this state, in seconds since 1970; 0 where that is not certain.
    pub stocked_since: AtomicU64,
    /// Whether key packages were left at the relay.
    pub stocked: watch::Sender<bool>,
    pub tasks: std::sync::Mutex<Vec<JoinHandle<()>>>,
}

/// How many commands wait for a channel's task.
const COMMANDS: usize = 1024;

impl Client {
    /// Begins to set an agent up: its name, like `acme/agents/alice`, and its relay's address, `quic://host`,
    /// `grpcs://host` or `grpc://host`.
    pub fn builder(name: impl Into<String>, relay: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(name.into(), relay.into())
    }

    /// Returns the agent's name.
    pub fn name(&self) -> &ChannelName {
        self.0.identity.name()
    }

    /// Creates a channel, with this agent as its only member; waits until the relay has it.
    ///
    /// A caller that turns away meanwhile finds the channel by [`open_channel`](Self::open_channel), as after a crash.
    ///
    /// # Errors
    ///
    /// [`Error::ChannelExists`] where another group has the name; [`Error::NotAuthorized`] where the agent may not commit
    /// on it.
    pub async fn create_channel(&self, name: &str) -> Result<Channel> {
        let name = channel_name(name)?;
        let mut channels = self.0.channels.lock().await;
        if channels.contains_key(&name) || self.knows(&name).await? {
            return Err(Error::ChannelExists { channel: name.to_string() });
        }
        if let Ok(api) = self.0.tokens.api() {
            api.register(&name).await?;
        }
        let (done, founded) = oneshot::channel();
        let mut tickets = PendingCalls::default();
        let ticket = tickets.issue(done);
        let mut machine = Machine::create(&name, &self.0.identity, self.0.suite, self.0.options, ticket)?;
        let effects = machine.take_effects()?;
        self.0.records.commit(vec![(name.to_string(), effects.changes)]).await?;
        let channel = self.spawn(&name, machine, tickets);
        channels.insert(name.clone(), channel.clone());
        // The relay may be long in answering, which holds up nothing else.
        drop(channels);
        match founded.await.map_err(|_| Error::Closed).flatten() {
            Ok(_) => Ok(channel),
            // As after a crash: the channel is founded when it is opened again.
            Err(Error::Closed) => Err(Error::Closed),
            Err(error) => {
                self.0.channels.lock().await.remove(&name);
                channel.close().await;
                self.0.records.forget(&name.to_string()).await?;
                Err(error)
            }
        }
    }

    /// Opens a channel that the agent is a member of, as after a restart.
    ///
    /// # Errors
    ///
    /// [`Error::NotAMember`] where the state knows no such channel.
    pub async fn open_channel(&self, name: &str) -> Result<Channel> {
        let name = channel_name(name)?;
        let mut channels = self.0.channels.lock().await;
        if let Some(channel) = channels.get(&name) {
            return Ok(channel.clone());
        }
        let stored = self.0.records.load(&name.to_string()).await?;
        let machine = Machine::load(&name, &self.0.identity, stored, self.0.options)?;
        let channel = self.spawn(&name, machine, PendingCalls::default());
        channels.insert(name, channel.clone());
        Ok(channel)
    }

    /// Joins a channel that this agent was added to; waits until it is. After a removal it is added again like anybody, and
    /// after [`Event::Forked`](crate::event::Event::Forked), too, where a member has done so.
    ///
    /// # Errors
    ///
    /// [`Error::Mls`] where the Welcome is of no use; it is dropped then, and a member has to add the agent again. After
    /// any other error it waits for the next call.
    pub async fn join_channel(&self, name: &str) -> Result<Channel> {
        let name = channel_name(name)?;
        let known = self.known(&name).await?;
        loop {
            let joins_from = match known.as_ref().map(Channel::joins_from) {
                Some(None) => return known.ok_or(Error::Closed),
                Some(Some(sequence)) => sequence,
                None => 0,
            };
            let waits = self.0.directory.hints.welcome.notified();
            let welcomes = self.0.directory.welcomes(Some(&name)).await?;
            if let Some(welcome) = welcomes.iter().rfind(|welcome| welcome.sequence >= joins_from) {
                let (client, channel) = (self.clone(), name.clone());
                let (welcome, sequence) = (welcome.welcome.clone(), welcome.sequence);
                // A task of its own: a caller that turns away meanwhile leaves no half-joined channel behind.
                let joining =
                    tokio::spawn(async move { client.join_by_welcome(&channel, &welcome, sequence).await });
                let joined = joining.await.map_err(|_| Error::Closed)?;
                if matches!(joined, Ok(_) | Err(Error::Mls { .. })) {
                    for used in &welcomes {
                        self.0.directory.drop_welcome(used.id.clone()).await?;
                    }
                }
                return joined;
            }
            // It may come back by itself.
            if let Some(forked) = known.as_ref().filter(|channel| !channel.was_removed()) {
                return Ok(forked.clone());
            }
            tokio::select! {
                () = waits => {}
                () = tokio::time::sleep(Duration::from_secs(10)) => {}
            }
        }
    }

    /// Returns the channels that this agent was added to and has not joined.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] and [`Error::NotAuthorized`], as for every request.
    pub async fn invitations(&self) -> Result<Vec<String>> {
        let welcomes = self.0.directory.welcomes(None).await?;
        Ok(welcomes.into_iter().map(|welcome| welcome.channel).collect())
    }

    /// Waits until others can add this agent: until it has left key packages at the relay.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] where the client was closed.
    pub async fn wait_until_addable(&self) -> Result<()> {
        let mut stocked = self.0.stocked.subscribe();
        stocked.wait_for(|stocked| *stocked).await.map(drop).map_err(|_| Error::Closed)
    }

    /// Returns the channels that the state knows.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where it cannot be read.
    pub async fn channels(&self) -> Result<Vec<String>> {
        self.0.records.channels().await
    }

    /// Ends a channel's work; [`open_channel`](Self::open_channel) goes on with it.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] where the name is none.
    pub async fn close_channel(&self, name: &str) -> Result<()> {
        let name = channel_name(name)?;
        let mut channels = self.0.channels.lock().await;
        if let Some(channel) = channels.remove(&name) {
            channel.close().await;
        }
        Ok(())
    }

    /// Ends all work, and closes the state, so that another process can open it.
    pub async fn close(self) {
        for (_, channel) in self.0.channels.lock().await.drain() {
            channel.close().await;
        }
        let tasks =
            std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            let _ = task.await;
        }
        self.0.records.close().await;
    }

    async fn join_by_welcome(&self, name: &ChannelName, welcome: &[u8], commit: u64) -> Result<Channel> {
        let mut channels = self.0.channels.lock().await;
        let mut stock = self.0.stock.lock().await;
        let before = stock.clone();
        let group = Group::join(&self.0.identity, welcome, &mut stock)?;
        if let Some(past) = channels.remove(name) {
            past.close().await;
        }
        let stored = self.store_joined(name, group, commit, &mut stock).await;
        // A key package that is in the state is there for the next try.
        let machine = stored.inspect_err(|_| *stock = before)?;
        drop(stock);
        let channel = self.spawn(name, machine, PendingCalls::default());
        channels.insert(name.clone(), channel.clone());
        Ok(channel)
    }

    /// Stores a group that was joined by the Welcome of a commit, in the step that takes the key package out of the stock.
    async fn store_joined(
        &self,
        name: &ChannelName,
        group: Group,
        commit: u64,
        stock: &mut KeyPackages,
    ) -> Result<Machine> {
        let past = self.0.records.load(&name.to_string()).await?;
        let mut machine = Machine::joined(name, group, commit, self.0.options).after(&past)?;
        let used = key_package_changes(stock);
        let effects = machine.take_effects()?;
        crash::point("before-join");
        self.0.records.commit(vec![(AGENT.to_owned(), used), (name.to_string(), effects.changes)]).await?;
        crash::point("after-join");
        Ok(machine)
    }

    /// Opens a channel, if the state knows it.
    pub(crate) async fn known(&self, name: &ChannelName) -> Result<Option<Channel>> {
        match self.knows(name).await? {
            true => self.open_channel(&name.to_string()).await.map(Some),
            false => Ok(None),
        }
    }

    async fn knows(&self, name: &ChannelName) -> Result<bool> {
        Ok(self.0.records.channels().await?.contains(&name.to_string()))
    }

    fn spawn(&self, name: &ChannelName, machine: Machine, tickets: PendingCalls) -> Channel {
        let scope = name.to_string();
        let (commands, waiting) = mpsc::channel::<Command>(COMMANDS);
        let (view, seen) = watch::channel(View::of(&machine, false));
        let inbox = Arc::new(EventQueue::new(scope.clone(), self.0.records.clone()));
        let worker = ChannelTask {
            machine,
            channel: name.clone(),
            scope,
            identity: self.0.identity.clone(),
            options: self.0.options,
            records: self.0.records.clone(),
            dialer: self.0.dialer.clone(),
            tokens: self.0.tokens.clone(),
            inbox: inbox.clone(),
            view,
            tickets,
            was_connected: false,
            state_failed: false,
            cover: self.0.cover,
        };
        tokio::spawn(worker.run(waiting));
        let api = self.0.tokens.api().ok();
        Channel::new(name.clone(), commands, inbox, seen, self.0.directory.clone(), api)
    }
}

/// Loads the agent's identity, or makes it, and tells since when all key packages at the relay are of this state.
pub(crate) async fn identity(records: &Records, name: &ChannelName) -> Result<(Identity, KeyPackages, u64)> {
    let mut stored = records.load(AGENT).await?;
    let stocked_since = key_package_pool::since(&stored);
    let key_packages = KeyPackages::restore(stored.remove(&Kind::KeyPackage).unwrap_or_default());
    if let Some(known) = stored.get(&Kind::Identity).and_then(|records| records.get(ONLY)) {
        let identity = Identity::restore(known)?;
        if identity.name() != name {
            let known = identity.text();
            let what =
                format!("this state is of {known}, not of {name}: give each agent a directory of its own");
            return Err(Error::configuration(what));
        }
        return Ok((identity, key_packages, stocked_since));
    }
    let identity = Identity::generate(name)?;
    let value = identity.to_stored()?;
    let made = Change::Put { kind: Kind::Identity, key: ONLY.to_vec(), value };
    let doubt = Change::Put { kind: Kind::Doubt, key: ONLY.to_vec(), value: Vec::new() };
    records.commit(vec![(AGENT.to_owned(), vec![made, doubt])]).await?;
    Ok((identity, key_packages, 0))
}

pub(crate) fn channel_name(name: &str) -> Result<ChannelName> {
    ChannelName::parse(name).map_err(|error| Error::configuration(format!("{name:?} is no channel: {error}")))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.identity.text()).finish()
    }
}
