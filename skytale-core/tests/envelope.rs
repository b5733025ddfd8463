//! Envelopes against the generated code: what is accepted decodes, what a hop changes and what it leaves.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use prost::Message as _;
use skytale_core::generated::slim3;
use skytale_core::{Dialect, Envelope, FrameError, FrameLimits, Hop, LinkKey, Name, Tagger};

fn name(id: Option<u128>) -> slim3::Name {
    let [component_0, component_1, component_2] = Name::of(["org", "ns", "app"]).components;
    let name_id = id.map(|id| slim3::NameId { id_0: (id >> 64) as u64, id_1: id as u64 });
    slim3::Name {
        name: Some(slim3::EncodedName { component_0, component_1, component_2, name_id }),
        str_name: Some(slim3::StringName {
            str_component_0: "org".into(),
            str_component_1: "ns".into(),
            str_component_2: "app".into(),
        }),
    }
}

fn message() -> slim3::Message {
    let header = slim3::SlimHeader {
        source: Some(name(Some(1))),
        destination: Some(name(Some(2))),
        identity: "who".into(),
        fanout: 1,
        version: "3.4.6".into(),
        ttl: 8,
        incoming_conn: Some(5),
        forward_to: Some(6),
        header_mac: Some(vec![9; 32].into()),
        e2e_header_sig: Some("signature".into()),
        ..Default::default()
    };
    let payload = slim3::ApplicationPayload { payload_type: "msg".into(), blob: "ciphertext".into() };
    let publish = slim3::Publish {
        header: Some(header),
        session: Some(slim3::SessionHeader { session_message_type: 1, ..Default::default() }),
        msg: Some(slim3::Content { content_type: Some(slim3::content::ContentType::AppPayload(payload)) }),
    };
    let metadata = [("key".to_owned(), "value".to_owned())].into();
    slim3::Message { metadata, message_type: Some(slim3::message::MessageType::Publish(publish)) }
}

fn parse(frame: Vec<u8>) -> Result<Envelope, FrameError> {
    Envelope::parse(frame.into(), Dialect::Slim3, &FrameLimits::default())
}

fn after(envelope: &Envelope, hop: &Hop) -> slim3::Message {
    let mut frame = BytesMut::new();
    envelope.put(hop, &mut frame);
    assert_eq!(frame.len(), envelope.len_after(hop));
    slim3::Message::decode(frame).expect("decodes")
}

#[test]
fn a_hop_changes_its_own_fields_and_nothing_else() {
    let mut wanted = message();
    let envelope = parse(wanted.encode_to_vec()).expect("parses");
    let hop = Hop { ttl: 7, mac: Some([1; 32]) };
    let Some(slim3::message::MessageType::Publish(publish)) = &mut wanted.message_type else {
        unreachable!()
    };
    let header = publish.header.as_mut().expect("a header");
    (header.ttl, header.incoming_conn, header.forward_to) = (7, None, None);
    header.header_mac = Some(vec![1; 32].into());
    assert_eq!(after(&envelope, &hop), wanted);
}

#[test]
fn unknown_fields_survive_a_hop() {
    let unknown = [0xF8, 0xF0, 0x04, 0x2A]; // field 9999, varint 42
    let mut frame = message().encode_to_vec();
    frame.extend(unknown);
    let mut sent = BytesMut::new();
    parse(frame).expect("parses").put(&Hop::default(), &mut sent);
    assert!(sent.ends_with(&unknown));
}

#[test]
fn a_suffix_follows_the_blob() {
    let envelope = parse(message().encode_to_vec()).expect("parses");
    let sent = envelope.with_suffix(&Hop::default(), b"12345678");
    let envelope = parse(sent.to_vec()).expect("parses");
    assert_eq!(envelope.app_payload().expect("a payload").blob, b"ciphertext12345678");
}

#[test]
fn both_ends_of_a_link_make_the_same_tag() {
    let (one, public) = LinkKey::agree("link", &[9; 32]).expect("a key");
    assert_eq!(public.len(), 32);
    let envelope = parse(message().encode_to_vec()).expect("parses");
    let publish = envelope.publish().expect("a message");
    let mut tagger = Tagger::new(one.clone());
    let tag = tagger.tag(&envelope, &publish.header, 7);
    assert_eq!(tagger.tag(&envelope, &publish.header, 7), tag, "the remembered tag is the same");
    assert_ne!(tagger.tag(&envelope, &publish.header, 6), tag, "the hops left are tagged");
    let mut sent = BytesMut::new();
    envelope.put(&Hop { ttl: 7, mac: Some(tag) }, &mut sent);
    let received = parse(sent.to_vec()).expect("parses");
    let mut checker = Tagger::new(one);
    assert!(checker.verify(&received, &received.publish().expect("a message").header));
    assert!(!checker.verify(&envelope, &publish.header), "the sender's own tag is another link's");
}

#[test]
fn low_order_keys_are_refused() {
    assert!(LinkKey::agree("link", &[0; 32]).is_err());
    assert!(LinkKey::agree("link", &[1; 31]).is_err());
}

#[test]
fn a_name_whose_strings_do_not_hash_to_it_is_refused() {
    let mut message = message();
    let Some(slim3::message::MessageType::Publish(publish)) = &mut message.message_type else {
        unreachable!()
    };
    let destination = publish.header.as_mut().and_then(|header| header.destination.as_mut()).expect("a name");
    destination.str_name.as_mut().expect("strings").str_component_2 = "other".into();
    assert_eq!(parse(message.encode_to_vec()).err(), Some(FrameError::NameMismatch { what: "destination" }));
}

#[test]
fn a_frame_of_empty_elements_is_refused_without_allocating_for_them() {
    let participants = [0x1A, 0x00].repeat(2_000_000);
    let update = [&[0x3A][..], &varint(participants.len()), &participants].concat();
    let command = [&[0x12][..], &varint(update.len()), &update].concat();
    let content = [&[0x1A][..], &varint(command.len()), &command].concat();
    let header = [&[0x0A][..], &header_of_message()].concat();
    let body = [header, vec![0x12, 0x02, 0x10, 0x0B], content].concat();
    let frame = [&[0x1A][..], &varint(body.len()), &body].concat();
    let refused = parse(frame).err();
    assert!(matches!(refused, Some(FrameError::TooLarge { what: "repeated elements", .. })), "{refused:?}");
}

fn varint(value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value as u64, &mut bytes);
    bytes
}

/// The length and bytes of a header.
fn header_of_message() -> Vec<u8> {
    let Some(slim3::message::MessageType::Publish(publish)) = message().message_type else { unreachable!() };
    publish.header.expect("a header").encode_length_delimited_to_vec()
}

proptest! {
    /// Cutting, flipping and repeating bytes of a good frame never panics, and what is accepted decodes.
    #[test]
    fn what_is_accepted_decodes(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let mut frame = message().encode_to_vec();
        let at = at % frame.len();
        frame[at] = byte;
        frame.truncate(frame.len().saturating_sub(cut % 8));
        if let Ok(envelope) = parse(frame.clone()) {
            prop_assert!(slim3::Message::decode(Bytes::from(frame)).is_ok());
            after(&envelope, &Hop { ttl: 7, mac: Some([1; 32]) });
        }
    }
}
