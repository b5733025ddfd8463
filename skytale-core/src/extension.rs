//! The native extension: what Skytale's own agents and relays tell each other beside SLIM's fields.
//!
//! It is field [`FIELD`] of a dialect 3 `Message` and always the last of its frame, so that a relay cuts it off, and puts
//! its own there, without touching anything before it. SLIM's decoders pass over it.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use crate::error::FrameError;
pub use crate::generated::native::extension::Content;
pub use crate::generated::native::{
    Accepted, AddressedWelcome, Authenticate, ClaimKeyPackage, Code, Drain, DropWelcome, Durability,
    Extension, FetchGroupInfo, FetchWelcomes, Find, GroupInfo, KeyPackage, Missed, Refused, Resume, Stock,
    Submit, UploadKeyPackages, Welcome, WelcomeWaits, Welcomes,
};
use crate::generated::slim3;
use crate::name::ChannelName;
use crate::numbers::SequenceNumber;
use crate::reader::{Reader, Value};

/// The extension's field number in `Message`.
pub const FIELD: u32 = 1000;

/// The payload type of native messages.
pub const PAYLOAD_TYPE: &str = "application/mls";

/// The longest tail, in bytes: tag, length, two numbers and a message id.
pub const MAX_TAIL: usize = 3 + 1 + 2 * 11 + 18;

/// The longest encrypted GroupInfo that a commit brings, in bytes.
pub const MAX_GROUP_INFO: usize = 512 * 1024;

/// The hops a native message may take.
const TTL: u32 = 16;

/// SLIM's number for "every receiver" of a group.
const EVERYBODY: u32 = 256;

impl Extension {
    /// Makes an extension with a content.
    pub fn new(content: Content) -> Self {
        Self { content: Some(content), ..Self::default() }
    }

    /// Sets the number by which the answer is recognised.
    pub fn with_request(mut self, request: u64) -> Self {
        self.request = request;
        self
    }

    /// Sets the message id.
    pub fn with_message_id(mut self, id: [u8; 16]) -> Self {
        self.message_id = Bytes::copy_from_slice(&id);
        self
    }

    /// Decodes the extension of an envelope.
    ///
    /// # Errors
    ///
    /// [`FrameError::Malformed`] for bytes that are none.
    pub fn read(bytes: &Bytes) -> Result<Self, FrameError> {
        Self::decode(bytes.clone()).map_err(|_| FrameError::Malformed { what: "the native extension" })
    }

    /// Returns the message id, if it has sixteen bytes.
    pub fn id(&self) -> Option<[u8; 16]> {
        self.message_id.as_ref().try_into().ok()
    }

    /// Returns a frame of nothing but this extension.
    pub fn into_frame(self) -> Bytes {
        self.after(&[])
    }

    /// Returns a frame with this extension after `message`.
    fn after(&self, message: &[u8]) -> Bytes {
        let mut frame = BytesMut::with_capacity(message.len() + self.encoded_len() + 8);
        frame.put_slice(message);
        prost::encoding::message::encode(FIELD, self, &mut frame);
        frame.freeze()
    }
}

/// Appends what a relay tells with an archived message.
pub fn put_tail(
    sequence: SequenceNumber,
    previous: SequenceNumber,
    id: Option<[u8; 16]>,
    tail: &mut impl BufMut,
) {
    let id_length = if id.is_some() { 18 } else { 0 };
    let number = |tag: u32, value: u64| prost::encoding::uint64::encoded_len(tag, &value);
    let length = number(1, sequence.0) + number(2, previous.0) + id_length;
    prost::encoding::encode_key(FIELD, prost::encoding::WireType::LengthDelimited, tail);
    prost::encoding::encode_varint(length as u64, tail);
    prost::encoding::uint64::encode(1, &sequence.0, tail);
    prost::encoding::uint64::encode(2, &previous.0, tail);
    if let Some(id) = id {
        tail.put_slice(&[3 << 3 | 2, 16]);
        tail.put_slice(&id);
    }
}

/// Composes a native message to a channel. It names no sender: the members of the group learn who it was by MLS.
pub fn message(channel: &ChannelName, mls_message: Bytes, extension: &Extension) -> Bytes {
    let payload = slim3::ApplicationPayload { payload_type: PAYLOAD_TYPE.to_owned(), blob: mls_message };
    let content = slim3::Content { content_type: Some(slim3::content::ContentType::AppPayload(payload)) };
    let session = slim3::SessionHeader {
        session_type: slim3::SessionType::Multicast as i32,
        session_message_type: slim3::SessionMessageType::Msg as i32,
        ..Default::default()
    };
    let publish =
        slim3::Publish { header: Some(header(channel)), session: Some(session), msg: Some(content) };
    with(slim3::message::MessageType::Publish(publish), extension)
}

/// Composes the subscription of a channel.
pub fn subscribe(channel: &ChannelName, extension: &Extension) -> Bytes {
    let subscribe = slim3::Subscribe { header: Some(header(channel)), subscription_id: 0 };
    with(slim3::message::MessageType::Subscribe(subscribe), extension)
}

fn with(message_type: slim3::message::MessageType, extension: &Extension) -> Bytes {
    let message = slim3::Message { metadata: Default::default(), message_type: Some(message_type) };
    extension.after(&message.encode_to_vec())
}

fn header(channel: &ChannelName) -> slim3::SlimHeader {
    let [c0, c1, c2] = channel.components();
    let name = slim3::EncodedName { component_0: c0, component_1: c1, component_2: c2, name_id: None };
    let str_name = channel.text().map(|text| {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        slim3::StringName { str_component_0: part(), str_component_1: part(), str_component_2: part() }
    });
    slim3::SlimHeader {
        destination: Some(slim3::Name { name: Some(name), str_name }),
        fanout: EVERYBODY,
        version: crate::compose::announced_version(crate::Dialect::Slim3).to_owned(),
        ttl: TTL,
        ..Default::default()
    }
}

/// Checks that decoding an extension allocates no more than a small multiple of its size.
pub(crate) fn check(extension: &[u8], elements: usize) -> Result<(), FrameError> {
    let mut left = elements;
    let mut reader = Reader::new(extension);
    while let Some(field) = reader.next()? {
        take(&mut left, elements)?;
        if let Value::Bytes(span) = field.value
            && field.number >= 10
        {
            let mut content = Reader::within(extension, span);
            while content.next()?.is_some() {
                take(&mut left, elements)?;
            }
        }
    }
    Ok(())
}

fn take(left: &mut usize, allowed: usize) -> Result<(), FrameError> {
    let exceeded = FrameError::TooLarge {
        what: "elements of the native extension",
        found: allowed.saturating_add(1),
        allowed,
    };
    *left = left.checked_sub(1).ok_or(exceeded)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Dialect, Envelope, FrameLimits};

    fn channel() -> ChannelName {
        ChannelName::from_strings(["acme", "research", "room"])
    }

    #[test]
    fn a_message_is_cut_off_before_its_extension_and_takes_another() {
        let submit = Extension::new(Content::Submit(Submit { applied: 7, ..Default::default() }));
        let sent = message(&channel(), Bytes::from_static(b"mls"), &submit.with_message_id([9; 16]));
        let envelope = Envelope::parse_first(sent, &FrameLimits::default()).expect("parses");
        assert_eq!(
            (envelope.dialect(), envelope.app_payload().expect("payload").blob),
            (Dialect::Slim3, &b"mls"[..])
        );
        assert_eq!(
            Extension::read(envelope.extension().expect("extended")).expect("reads").id(),
            Some([9; 16])
        );

        let mut delivered = envelope.frame().to_vec();
        put_tail(SequenceNumber(5), SequenceNumber(4), Some([9; 16]), &mut delivered);
        assert!(delivered.len() - envelope.frame().len() <= MAX_TAIL);
        let delivered =
            Envelope::parse(delivered.into(), Dialect::Slim3, &FrameLimits::default()).expect("parses");
        let told = Extension::read(delivered.extension().expect("extended")).expect("reads");
        assert_eq!((told.sequence, told.previous, told.id()), (5, 4, Some([9; 16])));
    }

    #[test]
    fn a_frame_of_nothing_else_is_control() {
        let frame = Extension::new(Content::Find(Find::default())).with_request(3).into_frame();
        let envelope = Envelope::parse_first(frame, &FrameLimits::default()).expect("parses");
        assert!(matches!(envelope.body(), Body::Control));
    }

    #[test]
    fn an_extension_that_is_not_last_is_refused() {
        let mut frame = Extension::new(Content::Find(Find::default())).into_frame().to_vec();
        frame.extend([4 << 3 | 2, 0]);
        assert!(matches!(
            Envelope::parse(frame.into(), Dialect::Slim3, &FrameLimits::default()),
            Err(FrameError::Ambiguous { .. })
        ));
    }

    #[test]
    fn a_flood_of_empty_elements_is_refused_before_it_is_decoded() {
        let welcomes = vec![AddressedWelcome::default(); 5_000];
        let frame = Extension::new(Content::Submit(Submit { welcomes, ..Default::default() })).into_frame();
        assert!(matches!(
            Envelope::parse_first(frame, &FrameLimits::default()),
            Err(FrameError::TooLarge { .. })
        ));
    }
}
