//! The reader of MLS headers never panics and never reads a group id beyond its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skytale_core::mls::{MAX_GROUP_ID, MlsHeader};

fuzz_target!(|data: &[u8]| {
    if let Some(MlsHeader::Framed { group, .. }) = MlsHeader::read(data) {
        assert!(group.len() <= MAX_GROUP_ID);
    }
});
