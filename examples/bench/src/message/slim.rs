//! Frames of SLIM 2.x/3.x, as its agents send them: names, header MACs, subscriptions, messages.

use bytes::Bytes;
use prost::Message as _;
use skytale_core::generated::slim3::{
    ApplicationPayload, Content, EncodedName, Message, Name, NameId, Publish, SessionHeader,
    SessionMessageType, SessionType, SlimHeader, StringName, Subscribe, SubscriptionAck,
    content::ContentType, message::MessageType,
};
use skytale_core::hash_component;

use super::link::{LinkKey, VERSION};

/// Returns a name of three components and an id.
pub fn name(components: [&str; 3], id: u64) -> Name {
    let [component_0, component_1, component_2] = components.map(hash_component);
    let [str_component_0, str_component_1, str_component_2] = components.map(str::to_owned);
    let name_id = Some(NameId { id_0: 0, id_1: id });
    Name {
        name: Some(EncodedName { component_0, component_1, component_2, name_id }),
        str_name: Some(StringName { str_component_0, str_component_1, str_component_2 }),
    }
}

fn header(key: &LinkKey, source: &Name, destination: &Name, fanout: u32) -> SlimHeader {
    let mut header = SlimHeader {
        source: Some(source.clone()),
        destination: Some(destination.clone()),
        identity: "skytale-bench".into(),
        fanout,
        version: VERSION.into(),
        ttl: 8,
        ..SlimHeader::default()
    };
    header.header_mac = Some(key.tag(&header).into());
    header
}

/// Composes a subscription.
pub fn subscription(key: &LinkKey, source: &Name, destination: &Name, subscription_id: u64) -> Bytes {
    let subscribe = Subscribe { header: Some(header(key, source, destination, 1)), subscription_id };
    let message =
        Message { metadata: Default::default(), message_type: Some(MessageType::Subscribe(subscribe)) };
    message.encode_to_vec().into()
}

/// Returns the acknowledgement of a subscription, if a frame is that.
pub fn acknowledgement(frame: &Bytes, subscription_id: u64) -> Option<SubscriptionAck> {
    match Message::decode(frame.clone()).ok()?.message_type? {
        MessageType::SubscriptionAck(ack) if ack.subscription_id == subscription_id => Some(ack),
        _ => None,
    }
}

/// Composes a message whose payload is zeros.
pub fn publish(key: &LinkKey, source: &Name, destination: &Name, fanout: u32, bytes: usize) -> Bytes {
    let session_type = if fanout == 1 { SessionType::PointToPoint } else { SessionType::Multicast };
    let session = SessionHeader {
        session_type: session_type as i32,
        session_message_type: SessionMessageType::Msg as i32,
        session_id: 1,
        message_id: 1,
    };
    let payload = ApplicationPayload { payload_type: "msg".into(), blob: vec![0; bytes].into() };
    let publish = Publish {
        header: Some(header(key, source, destination, fanout)),
        session: Some(session),
        msg: Some(Content { content_type: Some(ContentType::AppPayload(payload)) }),
    };
    let message = Message { metadata: Default::default(), message_type: Some(MessageType::Publish(publish)) };
    message.encode_to_vec().into()
}

/// Tells whether a frame is a message whose header bears its tag.
pub fn is_true(frame: &Bytes, key: &LinkKey) -> bool {
    match Message::decode(frame.clone()) {
        Ok(Message { message_type: Some(MessageType::Publish(publish)), .. }) => {
            publish.header.as_ref().is_some_and(|header| key.verifies(header))
        }
        _ => false,
    }
}
