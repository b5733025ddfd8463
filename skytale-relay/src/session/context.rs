//! State that the parts of a session share.

use std::net::SocketAddr;
use std::sync::Arc;

use skytale_core::{ChannelName, Dialect, Envelope, Header, Principal, Verb};

use super::principal::SessionPrincipal;
use crate::outbound::queue::Outbox;
use crate::outbound::session_id::SessionId;
use crate::shared::Shared;

/// What the parts of a session share.
#[derive(Debug)]
pub(crate) struct Context {
    pub relay: Arc<Shared>,
    pub principal: SessionPrincipal,
    pub remote: Option<SocketAddr>,
    pub outbox: Arc<Outbox>,
}

impl Context {
    /// Tells whether the principal may do `verb` on `channel`.
    pub async fn may(&self, verb: Verb, channel: &ChannelName) -> bool {
        self.permits(&self.principal.current(), verb, channel).await
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
            && match &self.relay.authorizer {
                Some(authorizer) => authorizer.allows(principal, verb, channel).await,
                None => true,
            }
    }

    /// Tells whether the principal may leave a Welcome to `channel` for `agent`.
    pub async fn may_welcome(&self, channel: &ChannelName, agent: &ChannelName) -> bool {
        match &self.relay.authorizer {
            Some(authorizer) => authorizer.allows_welcome(&self.principal.current(), channel, agent).await,
            None => self.may(Verb::Publish, agent).await,
        }
    }

    /// Returns what sessions of one connection share.
    pub fn peer(&self) -> (Option<SocketAddr>, Option<SessionId>) {
        (self.remote, self.remote.is_none().then(|| self.outbox.session()))
    }

    /// Waits until the principal's token is revoked.
    pub async fn revoked(&self) {
        let mut changed = self.relay.revocations.watch();
        while !self.relay.revocations.cover(&self.principal.current()) {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
