//! The frames that a relay originates.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;

use crate::dialect::Dialect;
use crate::envelope::{Body, Envelope, FrameLimits, LinkOffer, NameView, Presence};
use crate::generated::{slim1, slim3};
use crate::kind::MessageKind;
use crate::name::Name;

/// The name under which a relay itself speaks. It has no id and takes no subscriptions.
pub const RELAY_NAME: [&str; 3] = ["skytale", "relay", "answer"];

/// The version that a relay announces on a link, per dialect.
pub const fn announced_version(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Slim1 => "1.4.0",
        Dialect::Slim3 => "3.4.6",
    }
}

/// Composes the answer to a link offer.
///
/// `public_key` is empty where the peer offered no key. The connection type is echoed: a SLIM client takes its own
/// category from the answer, and one that is not told "edge" never reconnects.
pub fn link_reply(offered: &Envelope, offer: &LinkOffer, public_key: Bytes) -> Bytes {
    let link_id = offered.link_id().unwrap_or_default().to_owned();
    let slim_version = announced_version(offered.dialect()).to_owned();
    match offered.dialect() {
        Dialect::Slim1 => slim1_message(slim1::message::MessageType::Link(slim1::Link {
            link_type: Some(slim1::link::LinkType::LinkNegotiation(slim1::LinkNegotiationPayload {
                link_id,
                slim_version,
                is_reply: true,
            })),
        })),
        Dialect::Slim3 => slim3_message(slim3::message::MessageType::Link(slim3::Link {
            link_type: Some(slim3::link::LinkType::LinkNegotiation(slim3::LinkNegotiationPayload {
                link_id,
                slim_version,
                is_reply: true,
                link_ecdh_public_key: public_key,
                connection_type: offer.connection_type as i32,
                node_id: RELAY_NAME.join("/"),
                deployment_name: String::new(),
                link_kem_payload: None,
            })),
        })),
    }
}

/// Composes the answer to a subscription; the same bytes in both dialects.
pub fn subscription_ack(subscription_id: u64, refusal: Option<&str>) -> Bytes {
    slim3_message(slim3::message::MessageType::SubscriptionAck(slim3::SubscriptionAck {
        subscription_id,
        success: refusal.is_none(),
        error: refusal.unwrap_or_default().to_owned(),
    }))
}

/// Composes the answer to a Ping: a Ping of the same session and number, from the relay, with `skytale.pong` in its
/// metadata. SLIM has no message of its own for it.
///
/// Returns `None` where the dialect has no Ping.
pub fn pong(ping: &Envelope) -> Option<Envelope> {
    answer(ping, MessageKind::Ping, [("skytale.pong", "true".to_owned())].into())
}

/// Composes the relay's own GroupAck or GroupNack for a commit or proposal, with `metadata` that says more.
///
/// Must go only to peers that asked for it: SLIM agents take every GroupAck for a member's.
pub fn group_answer(of: &Envelope, kind: MessageKind, metadata: HashMap<&str, String>) -> Option<Envelope> {
    answer(of, kind, metadata)
}

fn answer(of: &Envelope, kind: MessageKind, metadata: HashMap<&str, String>) -> Option<Envelope> {
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let frame = match of.dialect() {
        Dialect::Slim1 => slim1_answer(of, kind, metadata)?,
        Dialect::Slim3 => slim3_answer(of, kind, metadata)?,
    };
    Envelope::parse(frame, of.dialect(), &FrameLimits::default()).ok()
}

fn slim1_answer(of: &Envelope, kind: MessageKind, metadata: HashMap<String, String>) -> Option<Bytes> {
    use slim1::command_payload::CommandPayloadType as Command;
    let publish = of.publish()?;
    let command = match kind {
        MessageKind::Ping => Command::Ping(slim1::Ping {}),
        MessageKind::GroupAck => Command::GroupAck(slim1::GroupAck {}),
        MessageKind::GroupNack => Command::GroupNack(slim1::GroupNack {}),
        _ => return None,
    };
    let header = slim1::SlimHeader {
        source: Some(slim1_relay_name()),
        destination: Some(slim1_name(of, sender(of)?)),
        fanout: 1,
        ..Default::default()
    };
    let session = slim1::SessionHeader {
        session_type: publish.session.session_type.number() as i32,
        session_message_type: kind.number(Dialect::Slim1)? as i32,
        session_id: publish.session.session_id,
        message_id: publish.session.message_id,
    };
    let payload = slim1::CommandPayload { command_payload_type: Some(command) };
    let content = slim1::Content { content_type: Some(slim1::content::ContentType::CommandPayload(payload)) };
    let publish = slim1::Publish { header: Some(header), session: Some(session), msg: Some(content) };
    let message_type = Some(slim1::message::MessageType::Publish(publish));
    Some(slim1::Message { metadata, message_type }.encode_to_vec().into())
}

fn slim3_answer(of: &Envelope, kind: MessageKind, metadata: HashMap<String, String>) -> Option<Bytes> {
    use slim3::command_payload::CommandPayloadType as Command;
    let publish = of.publish()?;
    let command = match kind {
        MessageKind::GroupAck => Command::GroupAck(slim3::GroupAck {}),
        MessageKind::GroupNack => Command::GroupNack(slim3::GroupNack {}),
        _ => return None,
    };
    let header = slim3::SlimHeader {
        source: Some(slim3_relay_name()),
        destination: Some(slim3_name(of, sender(of)?)),
        fanout: 1,
        version: announced_version(Dialect::Slim3).to_owned(),
        ttl: 8,
        ..Default::default()
    };
    let session = slim3::SessionHeader {
        session_type: publish.session.session_type.number() as i32,
        session_message_type: kind.number(Dialect::Slim3)? as i32,
        session_id: publish.session.session_id,
        message_id: publish.session.message_id,
    };
    let payload = slim3::CommandPayload { command_payload_type: Some(command) };
    let content = slim3::Content { content_type: Some(slim3::content::ContentType::CommandPayload(payload)) };
    let publish = slim3::Publish { header: Some(header), session: Some(session), msg: Some(content) };
    let message_type = Some(slim3::message::MessageType::Publish(publish));
    Some(slim3::Message { metadata, message_type }.encode_to_vec().into())
}

/// Returns whom to answer: the source, or the destination where a peer names no source.
fn sender(of: &Envelope) -> Option<&NameView> {
    let header = match of.body() {
        Body::Publish(publish) => &publish.header,
        _ => return None,
    };
    Some(if header.source.presence == Presence::Absent { &header.destination } else { &header.source })
}

fn slim1_relay_name() -> slim1::Name {
    let [c0, c1, c2] = Name::of(RELAY_NAME).components;
    let [s0, s1, s2] = RELAY_NAME.map(str::to_owned);
    slim1::Name {
        name: Some(slim1::EncodedName {
            component_0: c0,
            component_1: c1,
            component_2: c2,
            component_3: u64::MAX,
        }),
        str_name: Some(slim1::StringName { str_component_0: s0, str_component_1: s1, str_component_2: s2 }),
    }
}

fn slim3_relay_name() -> slim3::Name {
    let [c0, c1, c2] = Name::of(RELAY_NAME).components;
    let [s0, s1, s2] = RELAY_NAME.map(str::to_owned);
    slim3::Name {
        name: Some(slim3::EncodedName { component_0: c0, component_1: c1, component_2: c2, name_id: None }),
        str_name: Some(slim3::StringName { str_component_0: s0, str_component_1: s1, str_component_2: s2 }),
    }
}

fn slim1_name(of: &Envelope, view: &NameView) -> slim1::Name {
    let [c0, c1, c2] = view.name.components;
    let id = view.name.id.map_or(u64::MAX, |id| id as u64);
    slim1::Name {
        name: Some(slim1::EncodedName { component_0: c0, component_1: c1, component_2: c2, component_3: id }),
        str_name: of.name_strings(view).map(|[s0, s1, s2]| slim1::StringName {
            str_component_0: s0,
            str_component_1: s1,
            str_component_2: s2,
        }),
    }
}

fn slim3_name(of: &Envelope, view: &NameView) -> slim3::Name {
    let [c0, c1, c2] = view.name.components;
    let name_id = view.name.id.map(|id| slim3::NameId { id_0: (id >> 64) as u64, id_1: id as u64 });
    slim3::Name {
        name: Some(slim3::EncodedName { component_0: c0, component_1: c1, component_2: c2, name_id }),
        str_name: of.name_strings(view).map(|[s0, s1, s2]| slim3::StringName {
            str_component_0: s0,
            str_component_1: s1,
            str_component_2: s2,
        }),
    }
}

fn slim1_message(message_type: slim1::message::MessageType) -> Bytes {
    slim1::Message { metadata: HashMap::new(), message_type: Some(message_type) }.encode_to_vec().into()
}

fn slim3_message(message_type: slim3::message::MessageType) -> Bytes {
    slim3::Message { metadata: HashMap::new(), message_type: Some(message_type) }.encode_to_vec().into()
}
