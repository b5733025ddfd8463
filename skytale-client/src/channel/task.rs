//! The task of one channel: it moves bytes between the relay, the state machine, the state and the agent.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use rand::RngExt;
use skytale_core::extension::{Authenticate, Content, Durability, Extension};
use tokio::sync::{mpsc, oneshot, watch};

use super::event_queue::EventQueue;
use super::pending_calls::{PendingCalls, Waiting};
use crate::backoff::Backoff;
use crate::connection::Dialer;
use crate::connection::reconnect::{Connection, Happened, MachineTime, open};
use crate::crash;
use crate::credentials::{Token, Tokens};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::group::Member;
use crate::group::identity::Identity;
use crate::machine::effects::EventKey;
use crate::machine::stored::{Intent, Phase};
use crate::machine::{Input, Machine, Options};
use crate::state::Records;

/// What the agent wants of a channel.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Vec<u8>, Waiting),
    Change(Intent, Waiting),
    Leave(Waiting),
    Acknowledge(EventKey),
    Close(oneshot::Sender<()>),
}

/// What everybody may know of a channel at any time.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub members: Vec<Member>,
    pub epoch: u64,
    pub authenticator: Vec<u8>,
    pub cursor: u64,
    pub sent_count: u64,
    pub durability: Option<Durability>,
    pub connected: bool,
    pub phase: Option<Phase>,
}

/// What a channel's task works with.
pub(crate) struct ChannelTask {
    pub machine: Machine,
    pub channel: skytale_core::ChannelName,
    pub scope: String,
    pub identity: Identity,
    pub options: Options,
    pub records: Records,
    pub dialer: Dialer,
    pub tokens: Tokens,
    pub inbox: Arc<EventQueue>,
    pub view: watch::Sender<View>,
    pub tickets: PendingCalls,
    /// Whether the relay was reached before.
    pub was_connected: bool,
    /// Whether nothing could be stored since the agent was told so.
    pub state_failed: bool,
    /// On average how often something is sent to hide behind.
    pub cover: Option<Duration>,
}

/// How much is taken in before it is stored and acted on, together.
const COMMANDS: usize = 256;

/// How long after a failure of the state it is tried again.
const STATE_RETRY: Duration = Duration::from_secs(1);

/// Within which time an agent goes to another relay whose own has ended the stream.
const ELSEWHERE: Duration = Duration::from_millis(200);

impl ChannelTask {
    /// Works until the channel is closed.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let clock = MachineTime::new(self.tokens.clock().clone(), self.cover);
        let mut connection = self.dial(None);
        let mut backoff = Backoff::default();
        let mut waiting = Vec::new();
        let mut closing = None;
        while closing.is_none() {
            let happened = tokio::select! {
                count = commands.recv_many(&mut waiting, COMMANDS) => match count {
                    0 => break,
                    _ => Happened::Commands,
                },
                happened = connection.next() => happened,
                happened = clock.next(self.machine.wakes_at()) => happened,
            };
            let mut connection_is_new = false;
            let handled = match happened {
                Happened::Commands => self.commands(&mut waiting, &clock, &mut closing),
                Happened::Frames(frames) => self.frames(frames, &clock),
                Happened::Connected(link, token) => {
                    connection_is_new = true;
                    if std::mem::replace(&mut self.was_connected, true) {
                        self.inbox.add(vec![(None, Event::Reconnected)]);
                    }
                    let renewal = self.tokens.renewal(token.and_then(|token| token.renew_at));
                    connection = Connection::opened(link, renewal);
                    self.machine.handle(Input::Connected, clock.now())
                }
                Happened::Lost(error) => {
                    connection = self.lost(error, &mut backoff, connection.place()).await;
                    self.machine.handle(Input::Disconnected, clock.now())
                }
                Happened::Tick => self.machine.handle(Input::Tick, clock.now()),
                Happened::Cover => self.machine.handle(Input::Cover, clock.now()),
                Happened::Renewed(token) => {
                    self.renewed(token, &mut connection).await;
                    Ok(())
                }
            };
            let settled = match handled {
                Ok(()) => self.settle(&mut connection).await,
                Err(error) => Err(error),
            };
            if let Err(error) = settled {
                if let ControlFlow::Break(done) = self.reload(error, &mut commands).await {
                    closing = done.or(closing);
                    break;
                }
                connection = self.dial(Some(STATE_RETRY));
            }
            if self.machine.is_subscribed() {
                backoff.reset();
            }
            if connection_is_new {
                self.publish_view(true);
            }
        }
        self.inbox.close();
        if let Some(closing) = closing {
            drop(self);
            let _ = closing.send(());
        }
    }

    fn commands(
        &mut self,
        waiting: &mut Vec<Command>,
        clock: &MachineTime,
        closing: &mut Option<oneshot::Sender<()>>,
    ) -> Result<()> {
        for command in waiting.drain(..) {
            let input = match command {
                Command::Send(body, done) => Input::Send { ticket: self.tickets.issue(done), body },
                Command::Change(intent, done) => Input::Change { ticket: self.tickets.issue(done), intent },
                Command::Leave(done) => Input::Leave { ticket: self.tickets.issue(done) },
                Command::Acknowledge(key) => Input::Acknowledge(key),
                Command::Close(done) => {
                    *closing = Some(done);
                    continue;
                }
            };
            self.machine.handle(input, clock.now())?;
        }
        Ok(())
    }

    fn frames(&mut self, frames: Vec<Bytes>, clock: &MachineTime) -> Result<()> {
        frames.into_iter().try_for_each(|frame| self.machine.handle(Input::Frame(frame), clock.now()))
    }

    /// Stores what has happened, then sends and tells.
    async fn settle(&mut self, connection: &mut Connection) -> Result<()> {
        loop {
            let effects = self.machine.take_effects()?;
            if effects.is_empty() {
                break;
            }
            crash::point("before-store");
            if !effects.changes.is_empty() {
                self.records.commit(vec![(self.scope.clone(), effects.changes)]).await?;
                self.state_failed = false;
            }
            crash::point("after-store");
            if let Connection::Open { link, .. } = connection
                && !effects.frames.is_empty()
            {
                // A stream that ends is noticed by reading it.
                let _ = link.outgoing.send(effects.frames).await;
                crash::point("after-send");
            }
            self.publish_view(connection.is_open());
            if !effects.events.is_empty() {
                crash::point("before-telling");
            }
            self.inbox.add(effects.events);
            for (ticket, outcome) in effects.done {
                self.tickets.tell(ticket, outcome);
            }
            if let Some(why) = effects.hang_up {
                connection.end(why);
            }
        }
        Ok(())
    }

    /// Drops a machine that has run ahead of the state, and loads what is stored, as soon as it can be read. Breaks where
    /// the channel is closed before that, with who waits for it.
    async fn reload(
        &mut self,
        error: Error,
        commands: &mut mpsc::Receiver<Command>,
    ) -> ControlFlow<Option<oneshot::Sender<()>>> {
        tracing::error!(channel = %self.scope, error = &error as &dyn std::error::Error, "loading the channel anew");
        self.tell_of_failed_state(&error);
        self.tickets.fail(error);
        loop {
            match self.load().await {
                Ok(machine) => {
                    self.machine = machine;
                    return ControlFlow::Continue(());
                }
                Err(error) => {
                    tracing::error!(channel = %self.scope, error = &error as &dyn std::error::Error, "the state cannot be read");
                    refuse_for(STATE_RETRY, &error, commands).await?;
                }
            }
        }
    }

    async fn load(&self) -> Result<Machine> {
        let stored = self.records.load(&self.scope).await?;
        Machine::load(&self.channel, &self.identity, stored, self.options)
    }

    /// Tells the agent, once until something can be stored again.
    fn tell_of_failed_state(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.state_failed, true) {
            self.inbox.add(vec![(None, Event::StateFailed { reason: error.to_string() })]);
        }
    }

    fn dial(&self, after: Option<Duration>) -> Connection {
        let (dialer, tokens) = (self.dialer.clone(), self.tokens.clone());
        Connection::Dialing(
            async move {
                if let Some(after) = after {
                    tokio::time::sleep(after).await;
                }
                open(&dialer, &tokens).await
            }
            .boxed(),
        )
    }

    async fn lost(
        &mut self,
        error: Option<Error>,
        backoff: &mut Backoff,
        left: Option<(usize, bool)>,
    ) -> Connection {
        self.publish_view(false);
        if let Some(Error::NotAuthorized { reason }) = &error {
            self.tokens.forget().await;
            self.inbox.add(vec![(None, Event::TokenRefused { reason: reason.clone() })]);
            // A channel that may not be made is nothing to wait for.
            if self.machine.phase() == Phase::Founding {
                self.tickets.refuse(reason);
            }
        }
        if let Some(error) = &error {
            tracing::debug!(channel = %self.scope, error = error as &dyn std::error::Error, "no stream to the relay");
        }
        if left.is_some() {
            self.inbox.add(vec![(None, Event::Disconnected)]);
        }
        if let Some((place, proven)) = left
            && self.dialer.turn_away(place)
            && proven
        {
            return self.dial(Some(ELSEWHERE.mul_f64(rand::rng().random_range(0.0..1.0))));
        }
        let asked = match &error {
            Some(Error::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        };
        self.dial(Some(asked.unwrap_or_default() + backoff.next()))
    }

    /// Presents a fresh token before the last one expires.
    async fn renewed(&mut self, token: Result<Option<Token>>, connection: &mut Connection) {
        let Connection::Open { link, renewal, .. } = connection else { return };
        let renew_at = match token {
            Ok(Some(token)) => {
                let authenticate = Authenticate { token: token.text.to_string() };
                // Its answer is not waited for: a stream whose token is over ends.
                let frame =
                    Extension::new(Content::Authenticate(authenticate)).with_request(u64::MAX).into_frame();
                let _ = link.outgoing.send(vec![frame]).await;
                token.renew_at
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no fresh token");
                if let Error::NotAuthorized { reason } = error {
                    self.inbox.add(vec![(None, Event::TokenRefused { reason })]);
                }
                Some(self.tokens.retry_at())
            }
        };
        *renewal = self.tokens.renewal(renew_at);
    }

    fn publish_view(&self, connected: bool) {
        let machine = &self.machine;
        let phase = Some(machine.phase());
        self.view.send_if_modified(|view| {
            let place = (machine.cursor(), machine.sent_count(), machine.durability());
            let (epoch, known) = (machine.group().epoch(), (view.phase, view.connected));
            if view.epoch != epoch || known != (phase, connected) {
                *view = View::of(machine, connected);
                return true;
            }
            let moved = (view.cursor, view.sent_count, view.durability) != place;
            (view.cursor, view.sent_count, view.durability) = place;
            moved
        });
    }
}

/// Refuses for some time what is asked of a channel whose state cannot be read.
async fn refuse_for(
    time: Duration,
    error: &Error,
    commands: &mut mpsc::Receiver<Command>,
) -> ControlFlow<Option<oneshot::Sender<()>>> {
    let mut over = std::pin::pin!(tokio::time::sleep(time));
    loop {
        let command = tokio::select! {
            () = &mut over => return ControlFlow::Continue(()),
            command = commands.recv() => command,
        };
        match command {
            None => return ControlFlow::Break(None),
            Some(Command::Close(done)) => return ControlFlow::Break(Some(done)),
            // It was never stored as dealt with, and is told again.
            Some(Command::Acknowledge(_)) => {}
            Some(Command::Send(_, waiting) | Command::Change(_, waiting) | Command::Leave(waiting)) => {
                waiting.tell(Err(Error::state(error.to_string())));
            }
        }
    }
}

impl View {
    pub fn of(machine: &Machine, connected: bool) -> Self {
        let group = machine.group();
        Self {
            members: group.members(),
            epoch: group.epoch(),
            authenticator: group.epoch_authenticator().to_vec(),
            cursor: machine.cursor(),
            sent_count: machine.sent_count(),
            durability: machine.durability(),
            connected,
            phase: Some(machine.phase()),
        }
    }
}
