//! One admitted peer: reads what it sends, until it ends, its credentials expire, or the relay drains.

mod in_flight;
mod link;
mod principal;
pub(crate) mod publisher;
pub(crate) mod replay_cursors;
mod route_cache;
pub(crate) mod subscriber;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use skytale_core::extension::Extension;
use skytale_core::{Body, ChannelName, Dialect, Envelope, Header, Principal, Verb};

use crate::admission::AuthError;
use crate::admission::connect::{Connect, ConnectError};
use crate::close_reason::CloseReason;
use crate::limits::per_account::SessionPermit;
use crate::native::Native;
use crate::outbound::queue::{Outbox, SessionId};
use crate::outbound::stream::Outbound;
use crate::relay::{LegacySdkExpiry, Shared};
use link::Link;
use principal::SessionPrincipal;
use publisher::Publisher;
use subscriber::Subscriber;

/// One admitted connection.
///
/// A transport takes its [`Outbound`], which it sends at its own pace, and runs it with the stream of frames that come in.
#[derive(Debug)]
pub struct Session {
    context: Arc<Context>,
    link: Option<Link>,
    subscriber: Subscriber,
    publisher: Publisher,
    rate: Rate,
}

/// What the parts of a session share.
#[derive(Debug)]
pub(crate) struct Context {
    pub relay: Arc<Shared>,
    pub identity: SessionPrincipal,
    pub remote: Option<SocketAddr>,
    pub outbox: Arc<Outbox>,
}

/// How long a drain waits for what a session has sent to be archived.
const FINISH: Duration = Duration::from_secs(5);

/// The most frames that are read at once.
const READ_AHEAD: usize = 128;

impl Context {
    /// Tells whether the principal may do `verb` on `channel`.
    pub async fn may(&self, verb: Verb, channel: &ChannelName) -> bool {
        self.permits(&self.identity.principal(), verb, channel).await
    }

    /// Goes over to the profile of the published SDK where a message or subscription has its names, which are strings
    /// alone, and was permitted.
    pub fn recognize(&self, envelope: &Envelope, header: &Header) {
        if header.destination.is_strings_only() && envelope.dialect() == Dialect::Slim1 {
            let _ = self.outbox.strings_only.set(());
        }
    }

    /// Tells whether a principal would be allowed to do `verb` on `channel`.
    pub async fn permits(&self, principal: &Principal, verb: Verb, channel: &ChannelName) -> bool {
        principal.may(verb, channel)
            && match &self.relay.access {
                Some(access) => access.allows(principal, verb, channel).await,
                None => true,
            }
    }

    /// Tells whether the principal may leave a Welcome to `channel` for `agent`.
    pub async fn may_welcome(&self, channel: &ChannelName, agent: &ChannelName) -> bool {
        match &self.relay.access {
            Some(access) => access.allows_welcome(&self.identity.principal(), channel, agent).await,
            None => self.may(Verb::Publish, agent).await,
        }
    }

    /// Returns what sessions of one connection share.
    fn peer(&self) -> (Option<SocketAddr>, Option<SessionId>) {
        (self.remote, self.remote.is_none().then(|| self.outbox.session()))
    }

    /// Waits until the principal's token is revoked.
    async fn revoked(&self) {
        let mut changed = self.relay.revocations.watch();
        while !self.relay.revocations.cover(&self.identity.principal()) {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Session {
    pub(crate) fn admit(relay: &Arc<Shared>, connect: Connect<Principal>) -> Result<Self, ConnectError> {
        if relay.drain.has_started() {
            return Err(ConnectError::Draining);
        }
        if relay.revocations.are_stale() {
            return Err(AuthError::Unavailable.into());
        }
        if relay.revocations.cover(&connect.peer) {
            return Err(AuthError::Revoked.into());
        }
        let share = relay.quotas.admit(&connect.peer.account, &relay.limits)?;
        let outbox = Arc::new(Outbox::new(&relay.limits));
        tracing::debug!(session = ?outbox.session(), remote = ?connect.remote, "session admitted");
        let identity = SessionPrincipal::new(connect.peer, connect.renewal);
        let context = Arc::new(Context { relay: relay.clone(), identity, remote: connect.remote, outbox });
        Ok(Self::new(context, share))
    }

    fn new(context: Arc<Context>, share: SessionPermit) -> Self {
        context.relay.appending.meter.sessions.increment(1);
        Self {
            link: None,
            subscriber: Subscriber::new(context.clone(), share),
            publisher: Publisher::new(context.clone()),
            rate: Rate::new(context.relay.limits.publish_rate),
            context,
        }
    }

    /// Returns when the peer's credentials expire, in seconds since 1970; 0 if never.
    pub(crate) fn expires(&self) -> u64 {
        self.context.identity.expires()
    }

    /// Returns the frames for the peer. To be taken once.
    pub fn outbound(&self) -> Outbound {
        let appending = &self.context.relay.appending;
        Outbound::new(self.context.outbox.clone(), appending.store.clone(), appending.meter.clone())
    }

    /// Acts on what the peer sends until the session ends; an error of `inbound` ends it.
    pub async fn run(mut self, inbound: impl Stream<Item = Result<Bytes, CloseReason>>) {
        let close = self.act(inbound).await.err().unwrap_or(CloseReason::ByPeer);
        let context = self.context.clone();
        if let CloseReason::Draining { retry_after } = close {
            let _ = tokio::time::timeout(FINISH, self.publisher.finish()).await;
            context.outbox.tell_of_drain(retry_after);
        }
        // Before the peer knows that it has to go: it may be elsewhere at once.
        self.subscriber.keep_cursors();
        context.outbox.close(close);
        let close = context.outbox.reason().unwrap_or(CloseReason::ByPeer);
        context.relay.appending.meter.closed(&close);
        tracing::debug!(session = ?context.outbox.session(), reason = %close, "session ended");
    }

    async fn act(
        &mut self,
        inbound: impl Stream<Item = Result<Bytes, CloseReason>>,
    ) -> Result<(), CloseReason> {
        let mut inbound = std::pin::pin!(inbound.ready_chunks(READ_AHEAD));
        let mut unread = VecDeque::new();
        let context = self.context.clone();
        let mut ended = std::pin::pin!(ended(&context));
        loop {
            while self.publisher.has_room()
                && let Some(frame) = unread.pop_front()
            {
                self.frame(frame?).await?;
            }
            self.publisher.submit();
            tokio::select! {
                biased;
                close = &mut ended => return Err(close),
                step = self.publisher.step(), if self.publisher.is_waiting() => step?,
                chunk = inbound.next(), if unread.is_empty() => match chunk {
                    Some(chunk) => unread.extend(chunk),
                    None => return self.publisher.finish().await,
                },
            }
        }
    }

    async fn frame(&mut self, frame: Bytes) -> Result<(), CloseReason> {
        let limits = &self.context.relay.limits.frame;
        let envelope = match &self.link {
            Some(link) => Envelope::parse(frame, link.dialect, limits)?,
            None => Envelope::parse_first(frame, limits)?,
        };
        let link = self.link.get_or_insert_with(|| Link::new(envelope.dialect()));
        link.verify(&envelope)?;
        if let Some(extension) = envelope.extension() {
            let extension = Extension::read(extension)?;
            if matches!(envelope.body(), Body::Publish(_)) {
                self.rate.count()?;
            }
            let (publisher, subscriber) = (&mut self.publisher, &mut self.subscriber);
            let native = Native { context: &self.context, publisher, subscriber };
            return native.act(envelope, extension).await;
        }
        match envelope.body() {
            Body::Link(offer) => {
                if let Some(answer) = link.negotiate(&envelope, offer)? {
                    if let Some(key) = answer.outbound_key {
                        let _ = self.context.outbox.key.set(key);
                    }
                    self.context.outbox.send(answer.reply);
                }
                Ok(())
            }
            Body::Subscribe(subscription) => self.subscriber.subscribe(&envelope, subscription).await,
            Body::Unsubscribe(subscription) => {
                self.subscriber.unsubscribe(subscription);
                Ok(())
            }
            Body::Publish(_) => {
                self.rate.count()?;
                self.publisher.publish(envelope).await
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.relay.appending.meter.sessions.decrement(1);
    }
}

/// Waits until the session is closed by another part, its credentials expire, or the relay drains.
async fn ended(context: &Context) -> CloseReason {
    let mut ended = std::pin::pin!(until_closed_or_drained(context));
    tokio::select! {
        () = context.identity.expired(&*context.relay.clock) => {}
        close = &mut ended => return close,
    }
    let outlives = context.relay.published_sdk_expiry == LegacySdkExpiry::GoOn
        && context.outbox.strings_only.get().is_some();
    if outlives { ended.await } else { CloseReason::Expired }
}

async fn until_closed_or_drained(context: &Context) -> CloseReason {
    tokio::select! {
        () = context.outbox.closed() => context.outbox.reason().unwrap_or(CloseReason::ByPeer),
        () = context.revoked() => CloseReason::Revoked,
        stalled = context.outbox.stalled() => stalled,
        draining = context.relay.drain.turn_of(context.peer(), || context.relay.quotas.sessions()) => {
            CloseReason::Draining { retry_after: draining.retry_after }
        }
    }
}

/// Counts what is published in each second.
#[derive(Debug)]
struct Rate {
    allowed: u32,
    since: Instant,
    count: u32,
}

impl Rate {
    fn new(allowed: u32) -> Self {
        Self { allowed, since: Instant::now(), count: 0 }
    }

    fn count(&mut self) -> Result<(), CloseReason> {
        self.count += 1;
        if self.count <= self.allowed {
            return Ok(());
        }
        if self.since.elapsed() < Duration::from_secs(1) {
            return Err(CloseReason::PublishRate { allowed: self.allowed });
        }
        (self.since, self.count) = (Instant::now(), 1);
        Ok(())
    }
}
