//! The publisher of a session: sends its messages to the archive and to subscribers in the order they came.

use std::collections::VecDeque;
use std::sync::Arc;

use skytale_core::{Dialect, Envelope, Publish, Verb, compose};
use skytale_store::{AppendOutcome, StoreError};
use tokio::sync::oneshot;

use super::acks;
use super::context::Context;
use super::in_flight::InFlight;
use super::route_cache::RouteCache;
use crate::channel::Channel;
use crate::channel::append::AppendRequest;
use crate::channel::append_condition::AppendCondition;
use crate::close_reason::CloseReason;
use crate::handling::Handling;
use crate::limits::plan_quota::{AccountQuota, Reservation};

/// Sends a session's messages on. What is not archived never overtakes what was sent before it and is.
#[derive(Debug)]
pub(crate) struct Publisher {
    context: Arc<Context>,
    routes: RouteCache,
    /// Messages to one channel that are submitted together.
    gathered: Option<(Arc<Channel>, Vec<AppendRequest>)>,
    waiting: VecDeque<Step>,
    in_flight: InFlight,
    ordering: bool,
    /// The account that messages count for; known once one was sent.
    metered: Option<Metered>,
}

/// What a session's messages count for.
#[derive(Debug)]
struct Metered {
    account: Option<Arc<str>>,
    balance: Option<Arc<AccountQuota>>,
}

/// What a session waits for, in order.
#[derive(Debug)]
enum Step {
    Append { done: oneshot::Receiver<Result<AppendOutcome, StoreError>>, appended: InFlight },
    Command { done: oneshot::Receiver<Result<AppendOutcome, StoreError>>, envelope: Arc<Envelope> },
    Forward { channel: Arc<Channel>, envelope: Arc<Envelope> },
}

type Done = Result<Result<AppendOutcome, StoreError>, oneshot::error::RecvError>;

/// The frames that are copied out of the receive buffer before they are kept, in bytes. What is kept of a buffer may keep
/// all of it, a sixteenfold for the smallest that are not copied; beside a longer frame, the transport copies them.
pub(crate) const DETACH_BELOW: usize = 4 * 1024;

/// The published SDK's cover traffic.
const COVER: &str = "application/x-skytale-cover";

impl Publisher {
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            routes: RouteCache::default(),
            gathered: None,
            waiting: VecDeque::new(),
            in_flight: InFlight::default(),
            ordering: false,
            metered: None,
        }
    }

    /// Tells whether another message may be taken: a command is waited for, and not too much may be on its way.
    pub fn has_room(&self) -> bool {
        !self.ordering && self.in_flight.has_room(&self.context.relay.limits)
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends a message on.
    pub async fn publish(&mut self, envelope: Envelope) -> Result<(), CloseReason> {
        let Some(publish) = envelope.publish() else { return Ok(()) };
        self.context.relay.appending.meter.received.increment(1);
        if is_cover(&envelope, publish) || is_used_up(publish, envelope.dialect()) {
            return Ok(());
        }
        let handling = Handling::of(publish.session.kind);
        let verb = if handling == Handling::Order { Verb::Commit } else { Verb::Publish };
        let channel = self.routes.find(&self.context, &envelope, publish, verb).await?;
        self.context.recognize(&envelope, &publish.header);
        match handling {
            Handling::Archive => {
                let counted = self.count().await?;
                self.archive(channel, envelope, counted);
            }
            Handling::Order => self.order(channel, envelope)?,
            Handling::Forward => self.forward(channel, kept(envelope)),
            Handling::Pong => self.pong(channel, envelope),
        }
        Ok(())
    }

    /// Sends a native message on; its publisher is answered once it is archived.
    ///
    /// `verb` is what its sender has to be permitted.
    pub async fn publish_native(
        &mut self,
        envelope: Envelope,
        condition: AppendCondition,
        verb: Verb,
        request: u64,
    ) -> Result<(), CloseReason> {
        let Some(publish) = envelope.publish() else { return Ok(()) };
        self.context.relay.appending.meter.received.increment(1);
        let channel = self.routes.find(&self.context, &envelope, publish, verb).await?;
        let counted = if verb == Verb::Publish { self.count().await? } else { None };
        let proposer = (verb == Verb::Commit).then(|| self.context.principal.account());
        let item = self.native_item(envelope, condition, request);
        self.gather(channel, AppendRequest { proposer, counted, ..item });
        Ok(())
    }

    /// Finds the channel that a commit goes to; `verb` is what its sender has to be permitted.
    pub async fn channel(&mut self, envelope: &Envelope, verb: Verb) -> Result<Arc<Channel>, CloseReason> {
        let publish = envelope.publish().ok_or(CloseReason::NotMls)?;
        self.routes.find(&self.context, envelope, publish, verb).await
    }

    /// Sends a native commit on, and waits for what becomes of it.
    pub async fn commit_native(
        &mut self,
        channel: &Arc<Channel>,
        envelope: Envelope,
        condition: AppendCondition,
    ) -> Result<Result<AppendOutcome, StoreError>, CloseReason> {
        self.submit();
        self.context.relay.appending.meter.received.increment(1);
        let (sender, done) = oneshot::channel();
        // Answered by the caller, who knows what was missed.
        let item = AppendRequest { done: Some(sender), ..self.native_item(envelope, condition, 0) };
        channel.submit([item], &self.context.relay.appending);
        done.await.map_err(|_| CloseReason::ArchiveUnavailable)
    }

    fn native_item(
        &mut self,
        mut envelope: Envelope,
        condition: AppendCondition,
        request: u64,
    ) -> AppendRequest {
        if let Some(id) = condition.message_id {
            envelope = envelope.with_message_id(id.0);
        }
        AppendRequest { request: Some(request), ..self.item(kept(envelope), Some(condition), None) }
    }

    /// Forgets what the session may do where, since it acts for another principal now.
    pub fn forget_permissions(&mut self) {
        self.submit();
        self.metered = None;
        self.routes.forget(&self.context);
    }

    /// Submits what was gathered.
    pub fn submit(&mut self) {
        let Some((channel, mut items)) = self.gathered.take() else { return };
        let appended = items.iter().map(|item| InFlight::of(&item.envelope)).sum();
        let (sender, done) = oneshot::channel();
        if let Some(last) = items.last_mut() {
            last.done = Some(sender);
        }
        channel.submit(items, &self.context.relay.appending);
        self.in_flight.add(appended);
        self.waiting.push_back(Step::Append { done, appended });
        self.advance();
    }

    /// Waits for the first thing in line and does what it held up. Loses nothing when dropped.
    pub async fn step(&mut self) -> Result<(), CloseReason> {
        let done = match self.waiting.front_mut() {
            None => return Ok(()),
            Some(Step::Forward { .. }) => None,
            Some(Step::Append { done, .. } | Step::Command { done, .. }) => Some(done.await),
        };
        self.complete(done)?;
        self.advance();
        Ok(())
    }

    /// Waits for everything.
    pub async fn finish(&mut self) -> Result<(), CloseReason> {
        self.submit();
        while self.is_waiting() {
            self.step().await?;
        }
        Ok(())
    }

    /// Counts a message against the account's plan.
    async fn count(&mut self) -> Result<Option<Reservation>, CloseReason> {
        let Some(plans) = &self.context.relay.plans else { return Ok(None) };
        let balance = self.metered.get_or_insert_with(|| Metered::of(&self.context)).balance.clone();
        let Some(balance) = balance else { return Ok(None) };
        let now = self.context.relay.clock.now();
        let counted = plans.take(&balance, now).await.map_err(|exceeded| CloseReason::QuotaExceeded {
            allowed: exceeded.allowed,
            resets_in: exceeded.retry_after(now),
        })?;
        Ok(Some(counted))
    }

    fn archive(&mut self, channel: Arc<Channel>, envelope: Envelope, counted: Option<Reservation>) {
        let item = self.item(kept(envelope), None, None);
        self.gather(channel, AppendRequest { counted, ..item });
    }

    fn gather(&mut self, channel: Arc<Channel>, item: AppendRequest) {
        match &mut self.gathered {
            Some((gathering, items)) if Arc::ptr_eq(gathering, &channel) => items.push(item),
            _ => {
                self.submit();
                self.gathered = Some((channel, vec![item]));
            }
        }
    }

    fn order(&mut self, channel: Arc<Channel>, mut envelope: Envelope) -> Result<(), CloseReason> {
        let condition = match AppendCondition::read(&envelope) {
            Ok(condition) => condition,
            Err(close) => return acks::refuse(&self.context.outbox, &envelope, close),
        };
        self.submit();
        envelope.detach();
        let envelope = Arc::new(envelope);
        let (sender, done) = oneshot::channel();
        let item = self.item(envelope.clone(), Some(condition), Some(sender));
        channel.submit([item], &self.context.relay.appending);
        self.ordering = true;
        self.waiting.push_back(Step::Command { done, envelope });
        Ok(())
    }

    fn forward(&mut self, channel: Arc<Channel>, envelope: Arc<Envelope>) {
        self.submit();
        if self.waiting.is_empty() {
            self.forward_now(&channel, &envelope);
        } else {
            self.in_flight.add(InFlight::of(&envelope));
            self.waiting.push_back(Step::Forward { channel, envelope });
        }
    }

    fn forward_now(&self, channel: &Channel, envelope: &Arc<Envelope>) {
        if channel.forward(envelope, None, self.context.outbox.session()) == 0 {
            self.context.relay.appending.meter.unroutable.increment(1);
        }
    }

    /// Answers a Ping, unless it is a member's answer to one that it was given.
    fn pong(&mut self, channel: Arc<Channel>, envelope: Envelope) {
        let session = envelope.publish().map(|publish| publish.session);
        let is_answer = session
            .is_some_and(|session| self.context.outbox.had_ping(session.session_id, session.message_id));
        if !is_answer && let Some(pong) = compose::pong(&envelope) {
            self.context.outbox.offer_own_message(&Arc::new(pong));
        }
        self.forward(channel, kept(envelope));
    }

    fn item(
        &mut self,
        envelope: Arc<Envelope>,
        condition: Option<AppendCondition>,
        done: Option<oneshot::Sender<Result<AppendOutcome, StoreError>>>,
    ) -> AppendRequest {
        let publisher = self.context.outbox.clone();
        let account = self.metered.get_or_insert_with(|| Metered::of(&self.context)).account.clone();
        AppendRequest {
            envelope,
            publisher,
            condition,
            account,
            counted: None,
            request: None,
            proposer: None,
            done,
        }
    }

    /// Does what is no longer held up.
    fn advance(&mut self) {
        loop {
            let done = match self.waiting.front_mut() {
                Some(Step::Forward { .. }) => None,
                Some(Step::Append { done, .. }) => match done.try_recv() {
                    Ok(outcome) => Some(Ok(outcome)),
                    Err(oneshot::error::TryRecvError::Closed) => None,
                    Err(oneshot::error::TryRecvError::Empty) => return,
                },
                Some(Step::Command { .. }) | None => return,
            };
            // An append that failed has closed the session already.
            let _ = self.complete(done);
        }
    }

    fn complete(&mut self, done: Option<Done>) -> Result<(), CloseReason> {
        match self.waiting.pop_front() {
            Some(Step::Append { appended, .. }) => self.in_flight.subtract(appended),
            Some(Step::Forward { channel, envelope }) => {
                self.in_flight.subtract(InFlight::of(&envelope));
                self.forward_now(&channel, &envelope);
            }
            Some(Step::Command { envelope, .. }) => {
                self.ordering = false;
                let outcome = done.and_then(Result::ok);
                let outcome = outcome.unwrap_or_else(|| Err(StoreError::unavailable("no answer")));
                return acks::settle(&self.context.outbox, &envelope, outcome);
            }
            None => {}
        }
        Ok(())
    }
}

impl Metered {
    fn of(context: &Context) -> Self {
        let principal = context.principal.current();
        let account = principal.plan.is_some().then(|| principal.account.clone());
        let balance = context.relay.plans.as_ref().and_then(|plans| plans.balance(&principal));
        Self { account, balance }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.forget_permissions();
    }
}

/// Makes a message one that may be kept for as long as its slowest reader takes.
fn kept(mut envelope: Envelope) -> Arc<Envelope> {
    if envelope.frame().len() < DETACH_BELOW {
        envelope.detach();
    }
    Arc::new(envelope)
}

/// Cover traffic of the published SDK goes to random names and is nobody's.
fn is_cover(envelope: &Envelope, publish: &Publish) -> bool {
    publish.header.destination.is_strings_only()
        && envelope.app_payload().is_some_and(|payload| payload.payload_type == COVER)
}

/// A 3.x message with one hop left ends here.
fn is_used_up(publish: &Publish, dialect: Dialect) -> bool {
    dialect == Dialect::Slim3 && publish.header.ttl <= 1
}
