//! Link integrity as a client implements it, independent of the relay's.

use skytale_core::generated::slim3;

/// The key of a link, as one end has it.
pub struct Mac {
    key: [u8; 32],
    link_id: String,
}

impl Mac {
    pub(super) fn new(shared: &[u8], link_id: &str) -> Self {
        let mut key = [0; 32];
        hkdf::Hkdf::<sha2::Sha256>::new(Some(link_id.as_bytes()), shared)
            .expand(b"SLIM-DP-inter-node-hmac-v1", &mut key)
            .expect("32 bytes");
        Self { key, link_id: link_id.to_owned() }
    }

    /// Returns the tag of a header.
    pub fn tag(&self, header: &slim3::SlimHeader) -> Vec<u8> {
        use hmac::{KeyInit, Mac as _};
        let mut input = b"SLIM-DP-HDR-v1\0".to_vec();
        text(&mut input, &self.link_id);
        for name in [&header.source, &header.destination] {
            tag_name(&mut input, name.as_ref());
        }
        text(&mut input, &header.identity);
        input.extend(header.fanout.to_le_bytes());
        input.extend([0, 0]);
        match header.error {
            None => input.push(0),
            Some(error) => input.extend([1, u8::from(error)]),
        }
        input.extend(header.ttl.to_le_bytes());
        let mut hmac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&self.key).expect("any length");
        hmac.update(&input);
        hmac.finalize().into_bytes().to_vec()
    }
}

fn tag_name(input: &mut Vec<u8>, name: Option<&slim3::Name>) {
    let Some(name) = name else { return input.push(0) };
    input.push(1);
    match &name.name {
        None => input.push(0),
        Some(encoded) => {
            input.push(1);
            for component in [encoded.component_0, encoded.component_1, encoded.component_2] {
                input.extend(component.to_le_bytes());
            }
            match &encoded.name_id {
                None => input.push(0),
                Some(id) => {
                    input.push(1);
                    input.extend(id.id_0.to_le_bytes());
                    input.extend(id.id_1.to_le_bytes());
                }
            }
        }
    }
    match &name.str_name {
        None => input.push(0),
        Some(strings) => {
            input.push(1);
            for part in [&strings.str_component_0, &strings.str_component_1, &strings.str_component_2] {
                text(input, part);
            }
        }
    }
}

fn text(input: &mut Vec<u8>, text: &str) {
    input.extend((text.len() as u32).to_le_bytes());
    input.extend(text.as_bytes());
}
