//! Messages that an agent receives, in the terms of both dialects.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use skytale_core::generated::{slim1, slim3};
use skytale_core::{Dialect, MessageKind};

use super::mac::Mac;

/// A message that an agent received, in the terms of both dialects.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Its kind.
    pub kind: MessageKind,
    /// The application's bytes; empty for a command.
    pub blob: Bytes,
    /// The MLS bytes of a command.
    pub mls: Option<Bytes>,
    /// The components of its sender's name.
    pub source: [String; 3],
    /// The SLIM session.
    pub session_id: u32,
    /// Its number in the session.
    pub message_id: u32,
    /// Its metadata.
    pub metadata: HashMap<String, String>,
    /// The hops left, in the dialect that counts them.
    pub ttl: Option<u32>,
    /// The frame as it came.
    pub frame: Bytes,
}

impl Heard {
    /// Returns the application's bytes as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.blob).expect("UTF-8")
    }
}

pub(super) fn heard1(frame: Bytes) -> Heard {
    use slim1::command_payload::CommandPayloadType as Command;
    let message = slim1::Message::decode(frame.clone()).expect("decodes");
    let Some(slim1::message::MessageType::Publish(publish)) = message.message_type else {
        panic!("no Publish");
    };
    let session = publish.session.expect("a session header");
    let strings = publish
        .header
        .and_then(|header| header.source)
        .and_then(|source| source.str_name)
        .unwrap_or_default();
    let (mut blob, mut mls) = (Bytes::new(), None);
    match publish.msg.and_then(|content| content.content_type) {
        Some(slim1::content::ContentType::AppPayload(payload)) => blob = payload.blob,
        Some(slim1::content::ContentType::CommandPayload(payload)) => {
            mls = match payload.command_payload_type {
                Some(Command::GroupAdd(add)) => add.mls.map(|mls| mls.mls_content),
                Some(Command::GroupRemove(remove)) => remove.mls.map(|mls| mls.mls_content),
                Some(Command::GroupWelcome(welcome)) => welcome.mls.map(|mls| mls.mls_content),
                Some(Command::GroupProposal(proposal)) => Some(proposal.mls_proposal),
                _ => None,
            };
        }
        None => {}
    }
    Heard {
        kind: MessageKind::from_number(session.session_message_type as u32, Dialect::Slim1),
        blob,
        mls,
        source: [strings.str_component_0, strings.str_component_1, strings.str_component_2],
        session_id: session.session_id,
        message_id: session.message_id,
        metadata: message.metadata,
        ttl: None,
        frame,
    }
}

pub(super) fn heard3(frame: Bytes, key: Option<&Mac>) -> Heard {
    use slim3::command_payload::CommandPayloadType as Command;
    let message = slim3::Message::decode(frame.clone()).expect("decodes");
    let Some(slim3::message::MessageType::Publish(publish)) = message.message_type else {
        panic!("no Publish");
    };
    let session = publish.session.expect("a session header");
    let header = publish.header.expect("a header");
    if let Some(key) = key {
        assert_eq!(header.header_mac.as_deref(), Some(&key.tag(&header)[..]), "the tag fits this link");
    }
    let strings = header.source.and_then(|source| source.str_name).unwrap_or_default();
    let (mut blob, mut mls) = (Bytes::new(), None);
    match publish.msg.and_then(|content| content.content_type) {
        Some(slim3::content::ContentType::AppPayload(payload)) => blob = payload.blob,
        Some(slim3::content::ContentType::CommandPayload(payload)) => {
            mls = match payload.command_payload_type {
                Some(Command::GroupUpdate(update)) => update.mls.map(|mls| mls.mls_content),
                Some(Command::GroupWelcome(welcome)) => welcome.mls.map(|mls| mls.mls_content),
                Some(Command::GroupProposal(proposal)) => Some(proposal.mls_proposal),
                _ => None,
            };
        }
        None => {}
    }
    Heard {
        kind: MessageKind::from_number(session.session_message_type as u32, Dialect::Slim3),
        blob,
        mls,
        source: [strings.str_component_0, strings.str_component_1, strings.str_component_2],
        session_id: session.session_id,
        message_id: session.message_id,
        metadata: message.metadata,
        ttl: Some(header.ttl),
        frame,
    }
}
