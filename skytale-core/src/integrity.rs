//! Link integrity of SLIM 2.x/3.x: both ends of a link agree on a key and tag the header of every message.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::envelope::Presence;
use crate::envelope::{Envelope, Header, NameView};
use crate::error::IntegrityError;
use crate::reader::Span;

/// The length of a tag, in bytes.
pub const TAG_LENGTH: usize = 32;

const KEY_INFO: &[u8] = b"SLIM-DP-inter-node-hmac-v1";
const PREIMAGE_LABEL: &[u8] = b"SLIM-DP-HDR-v1\0";

/// The key that the two ends of a link share (SLIM's `header_mac` key).
#[derive(Clone)]
pub struct LinkKey {
    key: Zeroizing<[u8; 32]>,
    link_id: Box<str>,
}

impl LinkKey {
    /// Agrees on a key with a peer: X25519 with a fresh key pair, then HKDF-SHA256 salted with the link's id.
    ///
    /// Returns the key and the public key to send to the peer.
    ///
    /// # Errors
    ///
    /// [`IntegrityError`] where the peer's public key has the wrong length or is of low order.
    pub fn agree(link_id: &str, peer: &[u8]) -> Result<(Self, [u8; 32]), IntegrityError> {
        let secret = Zeroizing::new(rand::random::<[u8; 32]>());
        Self::agree_with(&StaticSecret::from(*secret), link_id, peer)
    }

    fn agree_with(
        secret: &StaticSecret,
        link_id: &str,
        peer: &[u8],
    ) -> Result<(Self, [u8; 32]), IntegrityError> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| IntegrityError::KeyLength { bytes: peer.len() })?;
        let shared = secret.diffie_hellman(&PublicKey::from(peer));
        if !shared.was_contributory() {
            return Err(IntegrityError::LowOrder);
        }
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(link_id.as_bytes()), shared.as_bytes())
            .expand(KEY_INFO, &mut *key)
            .expect("32 bytes are a valid HKDF length");
        Ok((Self { key, link_id: link_id.into() }, PublicKey::from(secret).to_bytes()))
    }

    fn hmac(&self, preimage: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("HMAC takes a key of any length");
        hmac.update(preimage);
        hmac
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkKey").finish_non_exhaustive()
    }
}

/// One direction of a link: makes or checks tags, and remembers the last one.
///
/// A tag covers only the header, which repeats from message to message in most streams, so that the common case is a
/// comparison instead of an HMAC.
#[derive(Debug)]
pub struct Tagger {
    key: LinkKey,
    last: Option<([u8; TAG_LENGTH], Vec<u8>)>,
    scratch: Vec<u8>,
}

impl Tagger {
    /// Makes a tagger for one direction of a link.
    pub fn new(key: LinkKey) -> Self {
        Self { key, last: None, scratch: Vec::new() }
    }

    /// Returns the tag of a message that leaves with `ttl` hops left.
    pub fn tag(&mut self, envelope: &Envelope, header: &Header, ttl: u32) -> [u8; TAG_LENGTH] {
        let routing = Routing { recv_from: None, forward_to: None, ttl };
        self.write_preimage(envelope.frame(), header, routing);
        if let Some((tag, preimage)) = &self.last
            && *preimage == self.scratch
        {
            return *tag;
        }
        let tag = self.key.hmac(&self.scratch).finalize().into_bytes().into();
        self.remember(tag);
        tag
    }

    /// Tells whether a message carries the right tag.
    pub fn verify(&mut self, envelope: &Envelope, header: &Header) -> bool {
        let Some(found) = header.mac.map(|span| span.of(envelope.frame())) else {
            return false;
        };
        let routing = Routing { recv_from: header.recv_from, forward_to: header.forward_to, ttl: header.ttl };
        self.write_preimage(envelope.frame(), header, routing);
        if let Some((tag, preimage)) = &self.last
            && found == tag
            && *preimage == self.scratch
        {
            return true;
        }
        if self.key.hmac(&self.scratch).verify_slice(found).is_err() {
            return false;
        }
        let tag = found.try_into().expect("a verified tag has the length of a tag");
        self.remember(tag);
        true
    }

    fn remember(&mut self, tag: [u8; TAG_LENGTH]) {
        let mut preimage = self.last.take().map(|(_, preimage)| preimage).unwrap_or_default();
        std::mem::swap(&mut preimage, &mut self.scratch);
        self.last = Some((tag, preimage));
    }

    fn write_preimage(&mut self, frame: &[u8], header: &Header, routing: Routing) {
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(PREIMAGE_LABEL);
        put_text(out, self.key.link_id.as_bytes());
        put_name(out, frame, &header.source);
        put_name(out, frame, &header.destination);
        put_text(out, header.identity.of(frame));
        out.extend_from_slice(&header.fanout.to_le_bytes());
        for value in [routing.recv_from, routing.forward_to] {
            put_option(out, value.map(u64::to_le_bytes));
        }
        put_option(out, header.error.map(|error| [u8::from(error)]));
        out.extend_from_slice(&routing.ttl.to_le_bytes());
    }
}

/// The tagged fields that a hop changes.
struct Routing {
    recv_from: Option<u64>,
    forward_to: Option<u64>,
    ttl: u32,
}

fn put_name(out: &mut Vec<u8>, frame: &[u8], view: &NameView) {
    if view.presence == Presence::Absent {
        return out.push(0);
    }
    out.push(1);
    match view.presence {
        Presence::Encoded { id_present } => put_encoded(out, view, id_present),
        _ => out.push(0),
    }
    match view.strings {
        None => out.push(0),
        Some(strings) => {
            out.push(1);
            strings.into_iter().for_each(|span: Span| put_text(out, span.of(frame)));
        }
    }
}

fn put_encoded(out: &mut Vec<u8>, view: &NameView, id_present: bool) {
    out.push(1);
    for component in view.name.components {
        out.extend_from_slice(&component.to_le_bytes());
    }
    if !id_present {
        return out.push(0);
    }
    out.push(1);
    let id = view.name.id.unwrap_or(u128::MAX);
    out.extend_from_slice(&((id >> 64) as u64).to_le_bytes());
    out.extend_from_slice(&(id as u64).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn put_option<const N: usize>(out: &mut Vec<u8>, value: Option<[u8; N]>) {
    match value {
        None => out.push(0),
        Some(bytes) => {
            out.push(1);
            out.extend_from_slice(&bytes);
        }
    }
}
