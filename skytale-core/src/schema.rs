//! What a payload may look like: the shape of SLIM's messages below `Publish`, checked without decoding them.
//!
//! A subscriber's decoder ends its whole stream at a message it cannot decode, so whatever would not decode is
//! refused here, at the publisher. The tables restate the `.proto` files; a test holds them against each other.

use crate::dialect::Dialect;
use crate::error::FrameError;
use crate::reader::{Once, Reader, Span, Value, text};

/// The type of a field.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Number,
    Bytes,
    Text,
    One(&'static Schema),
    Many(&'static Schema),
}

/// The fields of one message type.
pub(crate) struct Schema {
    pub name: &'static str,
    pub fields: &'static [(u32, Shape)],
    /// Whether the fields exclude each other (a `oneof` is the whole message).
    pub exclusive: bool,
}

macro_rules! schema {
    ($id:ident = $name:literal { $($number:literal: $shape:expr),* $(,)? }) => {
        static $id: Schema = Schema { name: $name, fields: &[$(($number, $shape)),*], exclusive: false };
    };
    ($id:ident = $name:literal one of { $($number:literal: $shape:expr),* $(,)? }) => {
        static $id: Schema = Schema { name: $name, fields: &[$(($number, $shape)),*], exclusive: true };
    };
}

use Shape::{Bytes, Many, Number, One, Text};

schema!(EMPTY = "an empty message" {});
schema!(STRING_NAME = "StringName" { 1: Text, 2: Text, 3: Text });
schema!(APP_PAYLOAD = "ApplicationPayload" { 1: Text, 2: Bytes });
schema!(MLS_PAYLOAD = "MlsPayload" { 1: Number, 2: Bytes });
schema!(TIMER_SETTINGS = "TimerSettings" { 1: Number, 2: Number });

schema!(ENCODED_NAME_1 = "EncodedName" { 1: Number, 2: Number, 3: Number, 4: Number });
schema!(NAME_1 = "Name" { 1: One(&ENCODED_NAME_1), 2: One(&STRING_NAME) });
schema!(OPTIONAL_DESTINATION_1 = "DiscoveryRequest or LeaveRequest" { 1: One(&NAME_1) });
schema!(JOIN_REQUEST_1 = "JoinRequest" { 1: Number, 2: One(&TIMER_SETTINGS), 3: One(&NAME_1) });
schema!(JOIN_REPLY_1 = "JoinReply" { 1: Bytes });
schema!(GROUP_CHANGE_1 = "GroupAdd or GroupRemove" { 1: One(&NAME_1), 2: Many(&NAME_1), 3: One(&MLS_PAYLOAD) });
schema!(GROUP_WELCOME_1 = "GroupWelcome" { 1: Many(&NAME_1), 2: One(&MLS_PAYLOAD) });
schema!(GROUP_CLOSE_1 = "GroupClose" { 1: Many(&NAME_1) });
schema!(GROUP_PROPOSAL_1 = "GroupProposal" { 1: One(&NAME_1), 2: Bytes });
schema!(COMMAND_1 = "CommandPayload" one of {
    1: One(&OPTIONAL_DESTINATION_1), 2: One(&EMPTY), 3: One(&JOIN_REQUEST_1), 4: One(&JOIN_REPLY_1),
    5: One(&OPTIONAL_DESTINATION_1), 6: One(&EMPTY), 7: One(&GROUP_CHANGE_1), 8: One(&GROUP_CHANGE_1),
    9: One(&GROUP_WELCOME_1), 10: One(&GROUP_CLOSE_1), 11: One(&GROUP_PROPOSAL_1), 12: One(&EMPTY),
    13: One(&EMPTY), 14: One(&EMPTY),
});
schema!(CONTENT_1 = "Content" one of { 1: One(&APP_PAYLOAD), 2: One(&COMMAND_1) });

schema!(NAME_ID_3 = "NameId" { 1: Number, 2: Number });
schema!(ENCODED_NAME_3 = "EncodedName" { 1: Number, 2: Number, 3: Number, 4: One(&NAME_ID_3) });
schema!(NAME_3 = "Name" { 1: One(&ENCODED_NAME_3), 2: One(&STRING_NAME) });
schema!(SETTINGS_3 = "ParticipantSettings" { 1: Number, 2: Number });
schema!(PARTICIPANT_3 = "Participant" { 1: One(&NAME_3), 2: One(&SETTINGS_3), 3: Number });
schema!(MLS_SETTINGS_3 = "MlsSettings" { 1: Number });
schema!(JOIN_REQUEST_3 = "JoinRequest" {
    1: One(&TIMER_SETTINGS), 2: One(&NAME_3), 3: One(&NAME_3), 4: One(&MLS_SETTINGS_3),
});
schema!(JOIN_REPLY_3 = "JoinReply" { 1: Bytes, 2: One(&PARTICIPANT_3) });
schema!(GROUP_UPDATE_3 = "GroupUpdate" {
    1: Number, 2: One(&PARTICIPANT_3), 3: Many(&PARTICIPANT_3), 4: One(&MLS_PAYLOAD),
});
schema!(GROUP_WELCOME_3 = "GroupWelcome" { 1: Many(&PARTICIPANT_3), 2: One(&MLS_PAYLOAD) });
schema!(GROUP_CLOSE_3 = "GroupClose" { 1: Many(&NAME_3) });
schema!(GROUP_PROPOSAL_3 = "GroupProposal" { 1: One(&NAME_3), 2: Bytes });
schema!(HEARTBEAT_3 = "Heartbeat" { 1: Number });
schema!(PARTICIPANT_STATE_3 = "UpdateParticipantState" { 1: One(&PARTICIPANT_3), 2: Number, 3: Number });
schema!(REJOIN_REQUEST_3 = "RejoinRequest" { 1: One(&PARTICIPANT_3), 2: Bytes });
schema!(REJOIN_REPLY_3 = "RejoinReply" { 1: Number, 2: Bytes });
schema!(COMMAND_3 = "CommandPayload" one of {
    1: One(&EMPTY), 2: One(&EMPTY), 3: One(&JOIN_REQUEST_3), 4: One(&JOIN_REPLY_3), 5: One(&EMPTY),
    6: One(&EMPTY), 7: One(&GROUP_UPDATE_3), 8: One(&GROUP_WELCOME_3), 9: One(&GROUP_CLOSE_3),
    10: One(&GROUP_PROPOSAL_3), 11: One(&EMPTY), 12: One(&EMPTY), 13: One(&HEARTBEAT_3),
    14: One(&PARTICIPANT_STATE_3), 15: One(&REJOIN_REQUEST_3), 16: One(&REJOIN_REPLY_3),
});
schema!(CONTENT_3 = "Content" one of { 1: One(&APP_PAYLOAD), 2: One(&COMMAND_3) });

/// Returns the shape of `Publish.msg`.
pub(crate) fn content(dialect: Dialect) -> &'static Schema {
    match dialect {
        Dialect::Slim1 => &CONTENT_1,
        Dialect::Slim3 => &CONTENT_3,
    }
}

/// How many repeated elements one frame may still hold.
pub(crate) struct Elements {
    left: usize,
    allowed: usize,
}

impl Elements {
    pub fn allow(allowed: usize) -> Self {
        Self { left: allowed, allowed }
    }

    pub fn take(&mut self) -> Result<(), FrameError> {
        let too_many = FrameError::TooLarge {
            what: "repeated elements",
            found: self.allowed.saturating_add(1),
            allowed: self.allowed,
        };
        self.left = self.left.checked_sub(1).ok_or(too_many)?;
        Ok(())
    }
}

/// Checks that the message at `span` decodes, and takes what repeats in it out of `elements`.
///
/// Depth is bounded by the schema, which is not recursive; unknown fields are passed over unopened.
pub(crate) fn check(
    frame: &[u8],
    span: Span,
    schema: &'static Schema,
    elements: &mut Elements,
) -> Result<(), FrameError> {
    let mut reader = Reader::within(frame, span);
    let mut once = Once::default();
    while let Some(field) = reader.next()? {
        let Some(&(_, shape)) = schema.fields.iter().find(|(number, _)| *number == field.number) else {
            continue;
        };
        if !matches!(shape, Many(_)) {
            once.see(if schema.exclusive { 0 } else { field.number }, schema.name)?;
        }
        match (shape, field.value) {
            (Number, Value::Varint(_)) | (Bytes, Value::Bytes(_)) => {}
            (Text, Value::Bytes(span)) => text(frame, span, schema.name).map(drop)?,
            (One(inner), Value::Bytes(span)) => check(frame, span, inner, elements)?,
            (Many(inner), Value::Bytes(span)) => {
                elements.take()?;
                check(frame, span, inner, elements)?;
            }
            _ => return Err(FrameError::Malformed { what: schema.name }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FileDescriptorSet};

    fn messages(package: &str) -> Vec<DescriptorProto> {
        let files = FileDescriptorSet::decode(crate::generated::DESCRIPTORS).expect("descriptors");
        files
            .file
            .into_iter()
            .filter(|file| file.package() == package)
            .flat_map(|file| file.message_type)
            .collect()
    }

    fn compare(schema: &'static Schema, name: &str, all: &[DescriptorProto]) {
        let message =
            all.iter().find(|message| message.name() == name).unwrap_or_else(|| panic!("no message {name}"));
        assert_eq!(schema.fields.len(), message.field.len(), "{name}");
        for field in &message.field {
            let (_, shape) = schema
                .fields
                .iter()
                .find(|(number, _)| *number == field.number() as u32)
                .unwrap_or_else(|| panic!("{name}.{} is not in the table", field.name()));
            let inner = || field.type_name().rsplit('.').next().expect("a name");
            match (shape, field.r#type()) {
                (Number, Type::Uint32 | Type::Uint64 | Type::Bool | Type::Enum) => {}
                (Bytes, Type::Bytes) | (Text, Type::String) => {}
                (One(schema), Type::Message) if field.label() != Label::Repeated => {
                    compare(schema, inner(), all)
                }
                (Many(schema), Type::Message) if field.label() == Label::Repeated => {
                    compare(schema, inner(), all)
                }
                _ => panic!("{name}.{} has another shape", field.name()),
            }
        }
    }

    #[test]
    fn tables_agree_with_the_proto_files() {
        compare(&CONTENT_1, "Content", &messages("dataplane.proto.v1.slim1"));
        compare(&CONTENT_3, "Content", &messages("dataplane.proto.v1"));
    }
}
