//! One session's link: its dialect, and the integrity of what comes in.

use bytes::Bytes;
use skytale_core::{Body, Dialect, Envelope, Header, LinkKey, LinkOffer, Tagger, compose};

use crate::close_reason::CloseReason;

/// What the first frame fixed, and what the link offer agreed on.
#[derive(Debug)]
pub(crate) struct Link {
    pub dialect: Dialect,
    negotiated: bool,
    inbound: Option<Tagger>,
}

/// The answer to a link offer.
pub(crate) struct Answer {
    pub reply: Bytes,
    pub outbound_key: Option<LinkKey>,
}

impl Link {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, negotiated: false, inbound: None }
    }

    /// Answers a link offer; later offers and replies are ignored.
    pub fn negotiate(
        &mut self,
        envelope: &Envelope,
        offer: &LinkOffer,
    ) -> Result<Option<Answer>, CloseReason> {
        if self.negotiated || offer.is_reply {
            return Ok(None);
        }
        self.negotiated = true;
        let peer_key = envelope.link_public_key().unwrap_or_default();
        if self.dialect == Dialect::Slim1 || peer_key.is_empty() {
            let reply = compose::link_reply(envelope, offer, Bytes::new());
            return Ok(Some(Answer { reply, outbound_key: None }));
        }
        let (key, public_key) = LinkKey::agree(envelope.link_id().unwrap_or_default(), peer_key)?;
        self.inbound = Some(Tagger::new(key.clone()));
        let reply = compose::link_reply(envelope, offer, public_key.to_vec().into());
        Ok(Some(Answer { reply, outbound_key: Some(key) }))
    }

    /// Checks the tag of a frame, where the link has a key.
    pub fn verify(&mut self, envelope: &Envelope) -> Result<(), CloseReason> {
        let (Some(tagger), Some(header)) = (&mut self.inbound, header(envelope)) else {
            return Ok(());
        };
        if tagger.verify(envelope, header) { Ok(()) } else { Err(CloseReason::WrongTag) }
    }
}

fn header(envelope: &Envelope) -> Option<&Header> {
    match envelope.body() {
        Body::Subscribe(subscription) | Body::Unsubscribe(subscription) => Some(&subscription.header),
        Body::Publish(publish) => Some(&publish.header),
        _ => None,
    }
}
