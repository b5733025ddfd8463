//! Dispatch of incoming frames: to the native profile where they carry its extension, else to the session's SLIM parts.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use skytale_core::extension::Extension;
use skytale_core::{Body, Envelope};

use crate::close_reason::CloseReason;
use crate::native::Native;
use crate::policy::LegacySdkExpiry;
use crate::session::Session;
use crate::session::context::Context;
use crate::session::link::Link;

/// How long a drain waits for what a session has sent to be archived.
const FINISH: Duration = Duration::from_secs(5);

/// The most frames that are read at once.
const READ_AHEAD: usize = 128;

impl Session {
    /// Acts on what the peer sends until the session ends; an error of `inbound` ends it.
    pub async fn run(mut self, inbound: impl Stream<Item = Result<Bytes, CloseReason>>) {
        let close = self.dispatch_all(inbound).await.err().unwrap_or(CloseReason::ByPeer);
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

    async fn dispatch_all(
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
                self.dispatch(frame?).await?;
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

    async fn dispatch(&mut self, frame: Bytes) -> Result<(), CloseReason> {
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

/// Waits until the session is closed by another part, its credentials expire, or the relay drains.
async fn ended(context: &Context) -> CloseReason {
    let mut ended = std::pin::pin!(until_closed_or_drained(context));
    tokio::select! {
        () = context.principal.expired(&*context.relay.clock) => {}
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
