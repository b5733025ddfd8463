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

/// Reads a frame by the types of one dialect: the hops that are left, and the MLS bytes of each command that has some.
macro_rules! read {
    ($slim:ident, $dialect:expr, $frame:expr, |$header:ident| $ttl:expr, $($command:ident($payload:ident) => $mls:expr),+) => {{
        use $slim::command_payload::CommandPayloadType;
        use $slim::content::ContentType;
        let message = $slim::Message::decode($frame.clone()).expect("decodes");
        let Some($slim::message::MessageType::Publish(publish)) = message.message_type else {
            panic!("no Publish");
        };
        let session = publish.session.expect("a session header");
        let $header = publish.header.expect("a header");
        let ttl = $ttl;
        let strings = $header.source.and_then(|source| source.str_name).unwrap_or_default();
        let (mut blob, mut mls) = (Bytes::new(), None);
        match publish.msg.and_then(|content| content.content_type) {
            Some(ContentType::AppPayload(payload)) => blob = payload.blob,
            Some(ContentType::CommandPayload(payload)) => {
                mls = match payload.command_payload_type {
                    $(Some(CommandPayloadType::$command($payload)) => $mls,)+
                    _ => None,
                };
            }
            None => {}
        }
        Heard {
            kind: MessageKind::from_number(session.session_message_type as u32, $dialect),
            blob,
            mls,
            source: [strings.str_component_0, strings.str_component_1, strings.str_component_2],
            session_id: session.session_id,
            message_id: session.message_id,
            metadata: message.metadata,
            ttl,
            frame: $frame,
        }
    }};
}

impl Heard {
    /// Reads a frame; one of a dialect with tags has to carry that of its link, where the key is given.
    pub(super) fn read(dialect: Dialect, frame: Bytes, key: Option<&Mac>) -> Self {
        match dialect {
            Dialect::Slim1 => read!(slim1, dialect, frame, |header| None,
                GroupAdd(add) => add.mls.map(|mls| mls.mls_content),
                GroupRemove(remove) => remove.mls.map(|mls| mls.mls_content),
                GroupWelcome(welcome) => welcome.mls.map(|mls| mls.mls_content),
                GroupProposal(proposal) => Some(proposal.mls_proposal)
            ),
            Dialect::Slim3 => read!(slim3, dialect, frame, |header| Some(checked(&header, key).ttl),
                GroupUpdate(update) => update.mls.map(|mls| mls.mls_content),
                GroupWelcome(welcome) => welcome.mls.map(|mls| mls.mls_content),
                GroupProposal(proposal) => Some(proposal.mls_proposal)
            ),
        }
    }
}

fn checked<'a>(header: &'a slim3::SlimHeader, key: Option<&Mac>) -> &'a slim3::SlimHeader {
    if let Some(key) = key {
        assert_eq!(header.header_mac.as_deref(), Some(&key.tag(header)[..]), "the tag fits this link");
    }
    header
}
