//! A message that the frame decoder accepts is one that a receiver's decoder accepts, too, also after a hop.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use skytale_core::generated::{slim1, slim3};
use skytale_core::{Dialect, Envelope, FrameLimits, Hop};

fuzz_target!(|data: &[u8]| {
    let frame = Bytes::copy_from_slice(data);
    let limits = FrameLimits::default();
    let _ = Envelope::parse_first(frame.clone(), &limits);
    for dialect in [Dialect::Slim1, Dialect::Slim3] {
        let Ok(envelope) = Envelope::parse(frame.clone(), dialect, &limits) else { continue };
        if envelope.publish().is_none() {
            continue;
        }
        assert!(decodes(dialect, data), "accepted, but a receiver cannot decode it");
        let hop = Hop { ttl: 7, mac: Some([1; 32]) };
        let mut sent = BytesMut::new();
        envelope.put(&hop, &mut sent);
        assert_eq!(sent.len(), envelope.len_after(&hop));
        assert!(decodes(dialect, &sent), "not decodable after a hop");
        let _ = (envelope.with_suffix(&hop, &[0; 8]), envelope.mls_content(), envelope.app_payload());
    }
});

fn decodes(dialect: Dialect, frame: &[u8]) -> bool {
    match dialect {
        Dialect::Slim1 => slim1::Message::decode(frame).is_ok(),
        Dialect::Slim3 => slim3::Message::decode(frame).is_ok(),
    }
}
