//! The session of an admitted peer, and its parts.

mod acks;
pub(crate) mod context;
mod in_flight;
pub(crate) mod link;
mod principal;
pub(crate) mod publisher;
mod route_cache;
pub(crate) mod subscriber;

use std::sync::Arc;

use skytale_core::Principal;

use crate::admission::authenticator::AuthError;
use crate::admission::connect::{Connect, ConnectError};
use crate::limits::per_account::SessionPermit;
use crate::limits::publish_rate::PublishRate;
use crate::outbound::queue::Outbox;
use crate::outbound::stream::Outbound;
use crate::shared::Shared;
use context::Context;
use link::Link;
use principal::SessionPrincipal;
use publisher::Publisher;
use subscriber::Subscriber;

/// One admitted connection.
///
/// A transport takes its [`Outbound`], which it sends at its own pace, and runs it with the stream of frames that come in.
#[derive(Debug)]
pub struct Session {
    pub(crate) context: Arc<Context>,
    pub(crate) link: Option<Link>,
    pub(crate) subscriber: Subscriber,
    pub(crate) publisher: Publisher,
    pub(crate) rate: PublishRate,
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
        let permit = relay.quotas.admit(&connect.peer.account, &relay.limits)?;
        let outbox = Arc::new(Outbox::new(&relay.limits));
        tracing::debug!(session = ?outbox.session(), remote = ?connect.remote, "session admitted");
        let principal = SessionPrincipal::new(connect.peer, connect.renewal);
        let context = Arc::new(Context { relay: relay.clone(), principal, remote: connect.remote, outbox });
        Ok(Self::new(context, permit))
    }

    fn new(context: Arc<Context>, permit: SessionPermit) -> Self {
        context.relay.appending.meter.sessions.increment(1);
        Self {
            link: None,
            subscriber: Subscriber::new(context.clone(), permit),
            publisher: Publisher::new(context.clone()),
            rate: PublishRate::new(context.relay.limits.publish_rate),
            context,
        }
    }

    /// Returns when the peer's credentials expire, in seconds since 1970; 0 if never.
    pub(crate) fn expires(&self) -> u64 {
        self.context.principal.expires()
    }

    /// Returns the frames for the peer. To be taken once.
    pub fn outbound(&self) -> Outbound {
        let appending = &self.context.relay.appending;
        Outbound::new(self.context.outbox.clone(), appending.store.clone(), appending.meter.clone())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.relay.appending.meter.sessions.decrement(1);
    }
}
