//! The client's end of a link of SLIM 2.x/3.x: the offer, the key, and the tags of headers.

use anyhow::{Context, ensure};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use prost::Message as _;
use prost::bytes::Bytes;
use sha2::Sha256;
use skytale_core::generated::slim3::{
    Link, LinkConnectionType, LinkNegotiationPayload, Message, Name, SlimHeader, link, message::MessageType,
};
use x25519_dalek::{PublicKey, StaticSecret};

/// The version that is announced.
pub const VERSION: &str = "3.4.6";

/// An offer that is not answered yet.
pub struct Offer {
    secret: StaticSecret,
    link_id: String,
}

impl Offer {
    pub fn new() -> Self {
        let link_id = format!("{:032x}", rand::random::<u128>());
        Self { secret: StaticSecret::from(rand::random::<[u8; 32]>()), link_id }
    }

    pub fn frame(&self) -> Bytes {
        let offer = LinkNegotiationPayload {
            link_id: self.link_id.clone(),
            slim_version: VERSION.into(),
            is_reply: false,
            link_ecdh_public_key: PublicKey::from(&self.secret).to_bytes().to_vec().into(),
            connection_type: LinkConnectionType::Edge as i32,
            node_id: format!("skytale-bench/{}", self.link_id),
            deployment_name: String::new(),
            link_kem_payload: None,
        };
        let link = Link { link_type: Some(link::LinkType::LinkNegotiation(offer)) };
        let message = Message { metadata: Default::default(), message_type: Some(MessageType::Link(link)) };
        message.encode_to_vec().into()
    }

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// An answer without a key, or to another offer.
    pub fn accept(self, answer: Bytes) -> anyhow::Result<LinkKey> {
        let message = Message::decode(answer).context("the answer to the link offer")?;
        let Some(MessageType::Link(Link { link_type: Some(link::LinkType::LinkNegotiation(answer)) })) =
            message.message_type
        else {
            anyhow::bail!("the node's first message answers no link offer");
        };
        ensure!(answer.is_reply && answer.link_id == self.link_id, "the node answers another link offer");
        let peer: [u8; 32] = answer
            .link_ecdh_public_key
            .as_ref()
            .try_into()
            .context("the node's link key has not 32 bytes")?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(self.link_id.as_bytes()), shared.as_bytes())
            .expand(b"SLIM-DP-inter-node-hmac-v1", &mut key)
            .expect("32 bytes are a valid HKDF length");
        Ok(LinkKey { key, link_id: self.link_id })
    }
}

/// The key of a link.
#[derive(Clone)]
pub struct LinkKey {
    key: [u8; 32],
    link_id: String,
}

impl LinkKey {
    /// Returns the tag of a header.
    pub fn tag(&self, header: &SlimHeader) -> Vec<u8> {
        let mut covered = Covered(b"SLIM-DP-HDR-v1\0".to_vec());
        covered.text(&self.link_id);
        covered.name(header.source.as_ref());
        covered.name(header.destination.as_ref());
        covered.text(&header.identity);
        covered.bytes(&header.fanout.to_le_bytes());
        covered.optional(header.recv_from.map(u64::to_le_bytes));
        covered.optional(header.forward_to.map(u64::to_le_bytes));
        covered.optional(header.error.map(|error| [u8::from(error)]));
        covered.bytes(&header.ttl.to_le_bytes());
        let mut hmac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        hmac.update(&covered.0);
        hmac.finalize().into_bytes().to_vec()
    }

    /// Tells whether a header bears its tag.
    pub fn verifies(&self, header: &SlimHeader) -> bool {
        header.header_mac.as_deref() == Some(&self.tag(header))
    }
}

/// What a tag covers.
struct Covered(Vec<u8>);

impl Covered {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u32).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    fn optional<const N: usize>(&mut self, value: Option<[u8; N]>) {
        self.0.push(value.is_some().into());
        self.0.extend(value.into_iter().flatten());
    }

    fn name(&mut self, name: Option<&Name>) {
        self.0.push(name.is_some().into());
        let Some(name) = name else { return };
        self.0.push(name.name.is_some().into());
        if let Some(encoded) = &name.name {
            for component in [encoded.component_0, encoded.component_1, encoded.component_2] {
                self.bytes(&component.to_le_bytes());
            }
            self.0.push(encoded.name_id.is_some().into());
            for half in encoded.name_id.iter().flat_map(|id| [id.id_0, id.id_1]) {
                self.bytes(&half.to_le_bytes());
            }
        }
        self.0.push(name.str_name.is_some().into());
        if let Some(strings) = &name.str_name {
            for component in [&strings.str_component_0, &strings.str_component_1, &strings.str_component_2] {
                self.text(component);
            }
        }
    }
}
