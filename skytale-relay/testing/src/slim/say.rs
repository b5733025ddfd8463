//! Messages to publish, in the terms of both dialects.

use std::collections::HashMap;

use bytes::Bytes;
use skytale_core::generated::{slim1, slim3};
use skytale_core::{MessageKind, Name};

/// A name with its strings.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Its components.
    pub strings: [String; 3],
    /// The instance; `None` for any.
    pub id: Option<u128>,
}

/// Returns `org/ns/room`, without an instance.
pub fn room() -> Address {
    Address { strings: ["org".into(), "ns".into(), "room".into()], id: None }
}

impl Address {
    /// Sets the instance.
    pub fn with_id(mut self, id: u128) -> Self {
        self.id = Some(id);
        self
    }

    fn hashes(&self) -> [u64; 3] {
        Name::of([&self.strings[0], &self.strings[1], &self.strings[2]].map(String::as_str)).components
    }

    /// Returns the name as the 1.x dialect has it.
    pub fn slim1(&self) -> slim1::Name {
        let [component_0, component_1, component_2] = self.hashes();
        let component_3 = self.id.map_or(u64::MAX, |id| id as u64);
        let name = slim1::EncodedName { component_0, component_1, component_2, component_3 };
        slim1::Name { name: Some(name), ..self.strings_only() }
    }

    /// Returns the name as the published SDK sends it: without hashes.
    pub fn strings_only(&self) -> slim1::Name {
        let [str_component_0, str_component_1, str_component_2] = self.strings.clone();
        let str_name = slim1::StringName { str_component_0, str_component_1, str_component_2 };
        slim1::Name { name: None, str_name: Some(str_name) }
    }

    /// Returns the name as the 3.x dialect has it.
    pub fn slim3(&self) -> slim3::Name {
        let [component_0, component_1, component_2] = self.hashes();
        let [str_component_0, str_component_1, str_component_2] = self.strings.clone();
        let id = self.id.unwrap_or(u128::MAX);
        let name_id = Some(slim3::NameId { id_0: (id >> 64) as u64, id_1: id as u64 });
        slim3::Name {
            name: Some(slim3::EncodedName { component_0, component_1, component_2, name_id }),
            str_name: Some(slim3::StringName { str_component_0, str_component_1, str_component_2 }),
        }
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Say {
    /// Its kind.
    pub kind: MessageKind,
    /// Its destination.
    pub to: Address,
    /// How many subscribers it is for at most.
    pub fanout: u32,
    /// Its content.
    pub body: Content,
    /// The SLIM session.
    pub session_id: u32,
    /// Its number in the session.
    pub message_id: u32,
    /// Its metadata.
    pub metadata: HashMap<String, String>,
}

/// The content of a message, in the terms of both dialects.
#[derive(Clone, Debug)]
pub enum Content {
    /// The bytes of an application.
    App(Bytes),
    /// The MLS bytes of a group command; `None` is a command without MLS.
    Mls(Option<Bytes>),
    /// The number of a command in the content's `oneof`, with an empty message.
    Command(u32),
}

impl Say {
    /// Makes a message for all subscribers, of session 7 and with number 1.
    pub fn new(kind: MessageKind, to: Address, body: Content) -> Self {
        let (fanout, session_id, message_id) = (256, 7, 1);
        Self { kind, to, fanout, body, session_id, message_id, metadata: HashMap::new() }
    }

    /// Makes a text message for all subscribers.
    pub fn msg(to: Address, text: &str) -> Self {
        Self::new(MessageKind::Msg, to, Content::App(text.as_bytes().to_vec().into()))
    }

    /// Lets one subscriber alone receive it.
    pub fn any_one(mut self) -> Self {
        self.fanout = 1;
        self
    }

    /// Sets its number in the session.
    pub fn number(mut self, message_id: u32) -> Self {
        self.message_id = message_id;
        self
    }

    /// Adds metadata.
    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// Makes the content of a message of the types of one dialect; the kinds are those whose commands have a commit or a Welcome.
macro_rules! content {
    ($slim:ident, $say:expr, $($kind:ident),+) => {{
        use $slim::command_payload::CommandPayloadType;
        use $slim::content::ContentType;
        let command = match (&$say.body, $say.kind) {
            (Content::App(blob), _) => {
                let payload = $slim::ApplicationPayload { payload_type: "msg".into(), blob: blob.clone() };
                return $slim::Content { content_type: Some(ContentType::AppPayload(payload)) };
            }
            (Content::Command(number), _) => return decode_content(*number),
            $((Content::Mls(content), MessageKind::$kind) => {
                let mls = content.clone().map(|mls_content| $slim::MlsPayload { commit_id: 1, mls_content });
                CommandPayloadType::$kind($slim::$kind { mls, ..Default::default() })
            })+
            (Content::Mls(content), _) => CommandPayloadType::GroupProposal($slim::GroupProposal {
                mls_proposal: content.clone().unwrap_or_default(),
                ..Default::default()
            }),
        };
        let payload = $slim::CommandPayload { command_payload_type: Some(command) };
        $slim::Content { content_type: Some(ContentType::CommandPayload(payload)) }
    }};
}

pub(super) fn content1(say: &Say) -> slim1::Content {
    content!(slim1, say, GroupAdd, GroupRemove, GroupWelcome)
}

pub(super) fn content3(say: &Say) -> slim3::Content {
    content!(slim3, say, GroupUpdate, GroupWelcome)
}

/// Makes a content whose command `number` is an empty message.
fn decode_content<C: prost::Message + Default>(number: u32) -> C {
    let mut command = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut command);
    command.push(0);
    let mut content = vec![2 << 3 | 2, command.len() as u8];
    content.extend(command);
    C::decode(&content[..]).expect("decodes")
}
