//! Frames, read as a relay reads them and written as it writes them.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use skytale_bench::native;
use skytale_core::extension::{Extension, put_tail};
use skytale_core::generated::slim3::{
    ApplicationPayload, Content, EncodedName, Message, Name, Publish, SessionHeader, SlimHeader, StringName,
    content::ContentType, message::MessageType,
};
use skytale_core::{Dialect, Envelope, FrameLimits, Hop, SequenceNumber, hash_component};

/// The size of a payload, in bytes.
const PAYLOAD: usize = 256;

/// A message of either kind, and room to write both.
pub struct Codec {
    slim: Bytes,
    native: Bytes,
    written: BytesMut,
}

impl Codec {
    pub fn new() -> Self {
        let (slim, native) = (slim_message(), native_message());
        let written = BytesMut::with_capacity(2 * (slim.len() + native.len()));
        Self { slim, native, written }
    }

    pub fn run(&mut self, operations: u32) -> anyhow::Result<()> {
        let Self { slim, native, written } = self;
        let (limits, hop) = (FrameLimits::default(), Hop { ttl: 7, mac: Some([9; 32]) });
        for number in 0..u64::from(operations) {
            let envelope = Envelope::parse(black_box(&*slim).clone(), Dialect::Slim3, &limits)?;
            envelope.put(&hop, written);

            let envelope = Envelope::parse(black_box(&*native).clone(), Dialect::Slim3, &limits)?;
            let extension = envelope.extension().map(Extension::read).transpose()?;
            envelope.put(&hop, written);
            let id = extension.and_then(|extension| extension.id());
            put_tail(SequenceNumber(number + 1), SequenceNumber(number), id, written);
            black_box(&*written);
            written.clear();
        }
        Ok(())
    }
}

fn slim_message() -> Bytes {
    let header = SlimHeader {
        source: Some(name("source")),
        destination: Some(name("room")),
        identity: "skytale-bench".into(),
        fanout: 1,
        version: "3.4.6".into(),
        ttl: 8,
        header_mac: Some(vec![7; 32].into()),
        ..SlimHeader::default()
    };
    let payload = ApplicationPayload { payload_type: "msg".into(), blob: vec![0; PAYLOAD].into() };
    let publish = Publish {
        header: Some(header),
        session: Some(SessionHeader {
            session_type: 1,
            session_message_type: 1,
            session_id: 1,
            message_id: 1,
        }),
        msg: Some(Content { content_type: Some(ContentType::AppPayload(payload)) }),
    };
    let message = Message { metadata: Default::default(), message_type: Some(MessageType::Publish(publish)) };
    message.encode_to_vec().into()
}

fn native_message() -> Bytes {
    native::with_submission(&native::publish(&name("room"), PAYLOAD), 1, [3; 16])
}

pub fn name(last: &str) -> Name {
    let [component_0, component_1, component_2] = ["skytale", "counts", last].map(hash_component);
    let [str_component_0, str_component_1, str_component_2] = ["skytale", "counts", last].map(str::to_owned);
    Name {
        name: Some(EncodedName { component_0, component_1, component_2, name_id: None }),
        str_name: Some(StringName { str_component_0, str_component_1, str_component_2 }),
    }
}
