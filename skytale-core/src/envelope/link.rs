//! Link negotiation.

use crate::dialect::Dialect;
use crate::envelope::{Body, Envelope};
use crate::error::FrameError;
use crate::reader::{Once, Reader, Span, text};

/// The longest link id, in bytes. SLIM's are UUIDs.
const MAX_LINK_ID: usize = 256;

/// A view of SLIM's `LinkNegotiationPayload`.
#[derive(Clone, Debug)]
pub struct LinkOffer {
    link_id: Span,
    version: Span,
    public_key: Span,
    /// The number of the connection type that the peer takes itself for; SLIM 1.x has none.
    pub connection_type: u32,
    /// Whether this answers an offer.
    pub is_reply: bool,
}

impl Envelope {
    /// Returns the id that a link offer gives to the link.
    pub fn link_id(&self) -> Option<&str> {
        self.link_text(|offer| offer.link_id)
    }

    /// Returns the SLIM version that a link offer announces.
    pub fn link_version(&self) -> Option<&str> {
        self.link_text(|offer| offer.version)
    }

    /// Returns the X25519 public key of a link offer; empty where the peer uses no header MAC.
    pub fn link_public_key(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Link(offer) => Some(offer.public_key.of(&self.frame)),
            _ => None,
        }
    }

    fn link_text(&self, part: impl Fn(&LinkOffer) -> Span) -> Option<&str> {
        match &self.body {
            Body::Link(offer) => std::str::from_utf8(part(offer).of(&self.frame)).ok(),
            _ => None,
        }
    }
}

pub(super) fn read(frame: &[u8], span: Span, dialect: Dialect) -> Result<LinkOffer, FrameError> {
    let mut offer = None;
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            once.see(1, "the link negotiation")?;
            offer = Some(read_offer(frame, field.bytes("the link negotiation")?, dialect)?);
        }
    }
    offer.ok_or(FrameError::Missing { what: "the link negotiation" })
}

fn read_offer(frame: &[u8], span: Span, dialect: Dialect) -> Result<LinkOffer, FrameError> {
    const WHAT: &str = "the link negotiation";
    let mut offer = LinkOffer {
        link_id: Span::default(),
        version: Span::default(),
        public_key: Span::default(),
        connection_type: 0,
        is_reply: false,
    };
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        if let 1..=8 = field.number {
            once.see(field.number, "a link negotiation field")?;
        }
        match (field.number, dialect) {
            (1, _) => offer.link_id = field.bytes(WHAT)?,
            (2, _) => offer.version = field.bytes(WHAT)?,
            (3, _) => offer.is_reply = field.varint(WHAT)? != 0,
            (4, Dialect::Slim3) => offer.public_key = field.bytes(WHAT)?,
            (5, Dialect::Slim3) => offer.connection_type = field.varint(WHAT)? as u32,
            _ => {}
        }
    }
    for span in [offer.link_id, offer.version] {
        text(frame, span, WHAT)?;
        if span.len() > MAX_LINK_ID {
            let found = span.len();
            return Err(FrameError::TooLarge { what: "a link id in bytes", found, allowed: MAX_LINK_ID });
        }
    }
    if offer.link_id.len() == 0 {
        return Err(FrameError::Missing { what: "the link id" });
    }
    Ok(offer)
}
