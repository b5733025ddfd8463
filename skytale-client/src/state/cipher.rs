//! Encryption of what is stored.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::Rng;

use crate::error::{Error, Result};
use crate::machine::effects::Kind;

/// Seals and opens values; a value fits only the place that it was sealed for.
#[derive(Clone)]
pub(crate) enum Cipher {
    /// Values are stored as they are.
    None,
    Key(Box<XChaCha20Poly1305>),
}

const NONCE: usize = 24;

impl Cipher {
    pub fn new(key: &[u8; 32]) -> Self {
        Self::Key(Box::new(XChaCha20Poly1305::new(key.into())))
    }

    pub fn seal(&self, scope: &str, kind: Kind, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>> {
        let Self::Key(cipher) = self else { return Ok(value) };
        let mut nonce = [0; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: &value, aad: &place(scope, kind, key) };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::corrupt("a record"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub fn open(&self, scope: &str, kind: Kind, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>> {
        let Self::Key(cipher) = self else { return Ok(value) };
        let damaged = || Error::corrupt("the agent's state");
        let (nonce, sealed) = value.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
        let payload = Payload { msg: sealed, aad: &place(scope, kind, key) };
        cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| damaged())
    }
}

fn place(scope: &str, kind: Kind, key: &[u8]) -> Vec<u8> {
    [scope.as_bytes(), &[0, kind as u8], key].concat()
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Cipher::None",
            Self::Key(_) => "Cipher::Key(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_at_its_place_and_with_its_key() {
        let cipher = Cipher::new(&[1; 32]);
        let sealed = cipher.seal("a/b/c", Kind::Group, b"key", b"value".to_vec()).expect("seals");
        assert!(!sealed.windows(5).any(|bytes| bytes == b"value"));
        assert_eq!(cipher.open("a/b/c", Kind::Group, b"key", sealed.clone()).expect("opens"), b"value");
        assert!(cipher.open("a/b/d", Kind::Group, b"key", sealed.clone()).is_err());
        assert!(cipher.open("a/b/c", Kind::Event, b"key", sealed.clone()).is_err());
        assert!(cipher.open("a/b/c", Kind::Group, b"kez", sealed.clone()).is_err());
        assert!(Cipher::new(&[2; 32]).open("a/b/c", Kind::Group, b"key", sealed).is_err());
    }
}
