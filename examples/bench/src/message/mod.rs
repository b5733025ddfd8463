//! The messages: made once, stamped for each sending, read without being decoded.

pub mod link;

use std::sync::OnceLock;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use skytale_core::generated::slim3::{
    ApplicationPayload, Content, EncodedName, Message, Name, NameId, Publish, SessionHeader,
    SessionMessageType, SessionType, SlimHeader, StringName, Subscribe, content::ContentType,
    message::MessageType,
};
use skytale_core::hash_component;

use link::{LinkKey, VERSION};

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

pub fn subscription(key: &LinkKey, source: &Name, destination: &Name, subscription_id: u64) -> Bytes {
    let subscribe = Subscribe { header: Some(header(key, source, destination, 1)), subscription_id };
    let message =
        Message { metadata: Default::default(), message_type: Some(MessageType::Subscribe(subscribe)) };
    message.encode_to_vec().into()
}

/// A publish whose payload, the end of the frame, is filled in for each sending.
pub struct Template {
    frame: Vec<u8>,
    payload: usize,
}

/// What a payload says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the message, from 1.
    pub number: u64,
    /// When it was sent, or due, in nanoseconds of [`now`].
    pub at: u64,
}

const MARK: [u8; 8] = *b"SkyBench";

impl Template {
    pub fn new(key: &LinkKey, source: &Name, destination: &Name, fanout: u32, bytes: usize) -> Self {
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
        let message =
            Message { metadata: Default::default(), message_type: Some(MessageType::Publish(publish)) };
        let frame = message.encode_to_vec();
        Self { payload: frame.len() - bytes, frame }
    }

    pub fn stamped(&self, stamp: Stamp) -> Bytes {
        let mut frame = BytesMut::from(&self.frame[..]);
        write_stamp(&mut frame[self.payload..], stamp);
        frame.freeze()
    }
}

/// Reads the stamps of one subscriber's messages, and checks their tags.
pub struct Reader {
    key: LinkKey,
    bytes: usize,
    /// For each channel all of a checked frame but its payload; the next one has the same.
    checked: Vec<Vec<u8>>,
}

/// What a frame that arrived turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    Stamped(Stamp),
    /// A message whose tag is wrong.
    Untrue,
    /// None of ours.
    Other,
}

impl Reader {
    pub fn new(key: LinkKey, bytes: usize, channels: usize) -> Self {
        Self { key, bytes, checked: vec![Vec::new(); channels] }
    }

    pub fn read(&mut self, frame: &Bytes) -> Arrived {
        let Some(start) = frame.len().checked_sub(self.bytes) else { return Arrived::Other };
        let (before, payload) = frame.split_at(start);
        let Some(stamp) = read_stamp(payload) else { return Arrived::Other };
        let channel = stamp.number as usize % self.checked.len();
        if before != self.checked[channel] {
            match Message::decode(frame.clone()) {
                Ok(Message { message_type: Some(MessageType::Publish(publish)), .. })
                    if publish.header.as_ref().is_some_and(|header| self.key.verifies(header)) => {}
                _ => return Arrived::Untrue,
            }
            self.checked[channel] = before.to_vec();
        }
        Arrived::Stamped(stamp)
    }
}

/// Fills in the beginning of a payload.
pub fn write_stamp(payload: &mut [u8], stamp: Stamp) {
    payload[..8].copy_from_slice(&MARK);
    payload[8..16].copy_from_slice(&stamp.number.to_le_bytes());
    payload[16..24].copy_from_slice(&stamp.at.to_le_bytes());
}

pub fn read_stamp(payload: &[u8]) -> Option<Stamp> {
    let rest = payload.strip_prefix(&MARK)?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (at, _) = rest.split_first_chunk::<8>()?;
    Some(Stamp { number: u64::from_le_bytes(*number), at: u64::from_le_bytes(*at) })
}

/// Returns the nanoseconds since the first call.
pub fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::link::Offer;
    use super::*;

    #[test]
    fn a_stamped_frame_reads_back_and_a_changed_header_does_not() {
        let answered = |frame: Bytes| {
            let mut answer = Message::decode(frame).expect("decodes");
            if let Some(MessageType::Link(link)) = &mut answer.message_type
                && let Some(skytale_core::generated::slim3::link::LinkType::LinkNegotiation(offer)) =
                    &mut link.link_type
            {
                offer.is_reply = true;
            }
            Bytes::from(answer.encode_to_vec())
        };
        let offer = Offer::new();
        let answer = answered(offer.frame());
        let key = offer.accept(answer).expect("a key");
        let (here, there) = (name(["a", "b", "c"], 1), name(["a", "b", "d"], 2));
        let template = Template::new(&key, &here, &there, 1, 64);
        let stamp = Stamp { number: 7, at: 9 };
        let frame = template.stamped(stamp);
        assert_eq!(Reader::new(key.clone(), 64, 1).read(&frame), Arrived::Stamped(stamp));
        let mut changed = frame.to_vec();
        changed[20] ^= 1;
        assert_eq!(Reader::new(key, 64, 1).read(&changed.into()), Arrived::Untrue);
    }
}
