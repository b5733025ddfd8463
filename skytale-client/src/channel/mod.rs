//! A channel, as an agent uses it.

pub(crate) mod event_queue;
pub(crate) mod pending_calls;
pub(crate) mod task;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use futures::Stream;
use futures::future::BoxFuture;
use skytale_core::ChannelName;
use skytale_core::extension::Durability as ArchiveDurability;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::credentials::http_api::Api;
use crate::directory::DirectoryClient;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::Member;
use crate::machine::effects::EventKey;
use crate::machine::stored::{Intent, Phase};
use event_queue::EventQueue;
use pending_calls::Waiting;
use task::{Command, View};

/// An end-to-end-encrypted channel that the agent is a member of. Clones are the same channel.
#[derive(Clone)]
pub struct Channel(Arc<Inner>);

struct Inner {
    name: ChannelName,
    commands: mpsc::Sender<Command>,
    inbox: Arc<EventQueue>,
    view: watch::Receiver<View>,
    directory: DirectoryClient,
    api: Option<Api>,
    /// The task that lets agents in.
    admitting: std::sync::Mutex<Option<JoinHandle<()>>>,
    /// Held while a message is handed over: first come, first served.
    turn: Mutex<()>,
    /// How much may wait to be numbered.
    room: Arc<Semaphore>,
    reading: Arc<Mutex<Reading>>,
}

/// A channel that is not kept open by it.
pub(crate) struct WeakChannel(Weak<Inner>);

impl WeakChannel {
    pub fn upgrade(&self) -> Option<Channel> {
        self.0.upgrade().map(Channel)
    }
}

/// How many shares of a channel's room there are, and the bytes of each: at most so many messages of that size, or fewer
/// longer ones, wait to be numbered. More callers wait.
const ROOM: usize = 1024;
const SHARE: usize = 8 * 1024;

/// After how many events what was dealt with is forgotten at the latest.
const ACKNOWLEDGE_AFTER: u32 = 128;

impl Channel {
    pub(crate) fn new(
        name: ChannelName,
        commands: mpsc::Sender<Command>,
        inbox: Arc<EventQueue>,
        view: watch::Receiver<View>,
        directory: DirectoryClient,
        api: Option<Api>,
    ) -> Self {
        let (turn, room, reading) = (Mutex::default(), Arc::new(Semaphore::new(ROOM)), Arc::default());
        let admitting = std::sync::Mutex::default();
        let inner = Inner { name, commands, inbox, view, directory, api, admitting, turn, room, reading };
        Self(Arc::new(inner))
    }

    /// Returns the name.
    pub fn name(&self) -> &ChannelName {
        &self.0.name
    }

    /// Says something to all other members, and returns its number once it is archived.
    ///
    /// It is encrypted and kept before anything is sent: when the agent dies meanwhile, it is sent the next time the
    /// channel is open, and never twice. Messages of one agent keep the order of their calls.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for more than 1 MiB; [`Error::NotAMember`] where the agent was removed, or cannot come back by
    /// itself after [`Event::Forked`]; [`Error::Refused`] and [`Error::NotAuthorized`] where the relay will not have it. Where
    /// the agent was started anew meanwhile, [`Event::NotSent`] tells instead.
    pub async fn send(&self, body: impl Into<Vec<u8>>) -> Result<u64> {
        let body = body.into();
        let (sender, done) = oneshot::channel();
        // Unconstrained: a call that the runtime made yield here would be overtaken by the next one.
        tokio::task::unconstrained(async {
            let _turn = self.0.turn.lock().await;
            let shares = body.len().div_ceil(SHARE).clamp(1, ROOM) as u32;
            // The message has it until it is numbered, also where its caller turns away.
            let room = self.0.room.clone().acquire_many_owned(shares).await.map_err(|_| Error::Closed)?;
            let waiting = Waiting::holding(room, sender);
            self.0.commands.send(Command::Send(body, waiting)).await.map_err(|_| Error::Closed)
        })
        .await?;
        done.await.map_err(|_| Error::Closed)?
    }

    /// Adds an agent, by a key package that it has left at the relay; it may be away. Returns the commit's number.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeyPackage`] where it has left none; [`Error::Conflict`] where other commits won too often.
    pub async fn add(&self, agent: &str) -> Result<u64> {
        if self.members().iter().any(|member| member.agent == agent) {
            return Ok(self.last_applied());
        }
        let key_package = self.0.directory.claim(agent).await?;
        self.add_with(agent, key_package).await
    }

    /// Adds an agent by a key package that it has sent.
    pub(crate) async fn add_with(&self, agent: &str, key_package: Vec<u8>) -> Result<u64> {
        let intent = Intent::Add { agent: agent.to_owned(), key_package };
        self.command(|done| Command::Change(intent, done.into())).await
    }

    /// Removes an agent with every leaf that it has. Returns the commit's number: the agent can read nothing after it.
    ///
    /// # Errors
    ///
    /// As for [`add`](Self::add); [`Error::Configuration`] for this agent itself, which can [`leave`](Self::leave).
    pub async fn remove(&self, agent: &str) -> Result<u64> {
        let intent = Intent::Remove { agent: agent.to_owned() };
        self.command(|done| Command::Change(intent, done.into())).await
    }

    /// Gives this agent's leaf new keys, and with them the group (post-compromise security). Returns the commit's number.
    ///
    /// # Errors
    ///
    /// As for [`add`](Self::add).
    pub async fn rotate(&self) -> Result<u64> {
        self.command(|done| Command::Change(Intent::Rotate, done.into())).await
    }

    /// Asks to be removed. The others do it as soon as one of them is there; then [`Event::Evicted`] comes.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] where the relay is not connected; a connection that breaks later is waited for.
    pub async fn leave(&self) -> Result<u64> {
        self.command(|done| Command::Leave(done.into())).await
    }

    /// Returns the members, this agent among them.
    pub fn members(&self) -> Vec<Member> {
        self.0.view.borrow().members.clone()
    }

    /// Returns the group's epoch.
    pub fn epoch(&self) -> u64 {
        self.0.view.borrow().epoch
    }

    /// Returns what is equal for all members in the same epoch of the same history (RFC 9420's epoch authenticator).
    pub fn epoch_authenticator(&self) -> Vec<u8> {
        self.0.view.borrow().authenticator.clone()
    }

    /// Returns the number up to which the channel was read.
    pub fn last_applied(&self) -> u64 {
        self.0.view.borrow().cursor
    }

    /// Returns how many messages this agent has said here in its life, those that still wait to be sent included.
    ///
    /// An application that numbers what it says goes on with the next number after a crash, and says nothing twice.
    pub fn sent_count(&self) -> u64 {
        self.0.view.borrow().sent_count
    }

    /// Returns what messages survive once the relay has acknowledged them, as it said last; `None` before it was reached.
    ///
    /// With [`ArchiveDurability::Disk`] they are on stable storage when [`send`](Self::send) returns.
    pub fn durability(&self) -> Option<ArchiveDurability> {
        self.0.view.borrow().durability
    }

    /// Tells whether the agent is a member, as far as it knows.
    pub fn is_member(&self) -> bool {
        matches!(self.0.view.borrow().phase, Some(Phase::Member | Phase::Forked(_)))
    }

    /// Tells whether the agent was removed, as far as it knows.
    pub(crate) fn was_removed(&self) -> bool {
        self.0.view.borrow().phase == Some(Phase::Evicted)
    }

    /// Returns the number from which on a commit may have added the agent again; `None` while it is in the group.
    pub(crate) fn joins_from(&self) -> Option<u64> {
        let view = self.0.view.borrow();
        match view.phase {
            Some(Phase::Evicted) => Some(view.cursor + 1),
            // The first commit that it can see, and not follow, may be the one.
            Some(Phase::Forked(sequence)) => Some(sequence),
            _ => None,
        }
    }

    /// Tells whether the relay is connected.
    pub fn is_connected(&self) -> bool {
        self.0.view.borrow().connected
    }

    /// Waits until the channel was read up to a number.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] where the channel is closed before.
    pub async fn wait_for(&self, sequence: u64) -> Result<()> {
        let mut view = self.0.view.clone();
        view.wait_for(|view| view.cursor >= sequence).await.map(drop).map_err(|_| Error::Closed)
    }

    /// Returns what happens on the channel, from the first event that was not dealt with.
    ///
    /// An event counts as dealt with when the next one is asked for, and comes again after a crash before that. Several
    /// streams of one channel share its events.
    pub fn events(&self) -> Events {
        Events { channel: self.clone(), waiting: None }
    }

    /// Returns the API server.
    pub(crate) fn api(&self) -> Result<Api> {
        self.0.api.clone().ok_or_else(Error::needs_api_key)
    }

    pub(crate) fn admitting(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.0.admitting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells whether the channel's task goes on.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.commands.is_closed()
    }

    pub(crate) fn downgrade(&self) -> WeakChannel {
        WeakChannel(Arc::downgrade(&self.0))
    }

    /// Ends the channel's work; what waits to be sent waits in the state.
    pub(crate) async fn close(&self) {
        if let Some(admitting) = self.admitting().take() {
            admitting.abort();
        }
        // Whoever waits for an event has dealt with all before it, and said so.
        if let Ok(mut reading) = self.0.reading.try_lock()
            && let Some(key) = reading.dealt_with.take()
        {
            let _ = self.0.commands.send(Command::Acknowledge(key)).await;
        }
        let (sender, closed) = oneshot::channel();
        if self.0.commands.send(Command::Close(sender)).await.is_ok() {
            let _ = closed.await;
        }
    }

    /// Waits for the next event, and counts the one before as dealt with.
    async fn next_event(&self) -> Result<Option<Event>> {
        let mut reading = self.0.reading.lock().await;
        reading.dealt_with = reading.handed_out.take().or(reading.dealt_with);
        if let Some(key) = reading.dealt_with
            && (reading.count >= ACKNOWLEDGE_AFTER || self.0.inbox.is_drained())
        {
            reading.count = 0;
            reading.dealt_with = None;
            let _ = self.0.commands.send(Command::Acknowledge(key)).await;
        }
        let Some((key, event)) = self.0.inbox.next().await? else { return Ok(None) };
        if key.is_some() {
            reading.handed_out = key;
            reading.count += 1;
        }
        Ok(Some(event))
    }

    async fn command(&self, make: impl FnOnce(oneshot::Sender<Result<u64>>) -> Command) -> Result<u64> {
        let (sender, done) = oneshot::channel();
        self.0.commands.send(make(sender)).await.map_err(|_| Error::Closed)?;
        done.await.map_err(|_| Error::Closed)?
    }
}

/// How far events were read.
#[derive(Debug, Default)]
struct Reading {
    handed_out: Option<EventKey>,
    dealt_with: Option<EventKey>,
    count: u32,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.0.name).finish()
    }
}

/// What happens on a channel, as a stream; it ends when the channel is closed.
pub struct Events {
    channel: Channel,
    waiting: Option<BoxFuture<'static, Result<Option<Event>>>>,
}

impl Events {
    /// Waits for the next event; `None` once the channel is closed.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where the state cannot be read.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        futures::StreamExt::next(self).await
    }

    /// Waits for the next message, passing over other events; `None` once the channel is closed.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where the state cannot be read.
    pub async fn next_message(&mut self) -> Option<Result<crate::event::Message>> {
        loop {
            match self.next().await? {
                Ok(Event::Message(message)) => return Some(Ok(message)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Stream for Events {
    type Item = Result<Event>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let this = &mut *self;
        let waiting = this.waiting.get_or_insert_with(|| {
            let channel = this.channel.clone();
            Box::pin(async move { channel.next_event().await })
        });
        let next = std::task::ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        std::task::Poll::Ready(next.transpose())
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.channel.0.name).finish()
    }
}
