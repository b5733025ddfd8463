//! The encrypted GroupInfo that each commit leaves at the relay, from which a member can come back by an external commit.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use openmls::prelude::*;
use openmls_rust_crypto::OpenMlsRustCrypto;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The type of the GroupContext extension that holds the key: of RFC 9420's range for private use.
pub(crate) const SLOT_KEY: u16 = 0xF5A1;

const NONCE: usize = 24;

/// What the key is for, authenticated with every GroupInfo.
const LABEL: &[u8] = b"skytale GroupInfo 1";

/// The key that members, past ones included, can read a channel's GroupInfo with. The relay has no part in it.
pub(super) struct SlotKey(Zeroizing<[u8; 32]>);

impl SlotKey {
    pub fn generate(provider: &OpenMlsRustCrypto) -> Result<Self> {
        let key = provider.rand().random_array::<32>().map_err(Error::mls)?;
        Ok(Self(Zeroizing::new(key)))
    }

    pub fn of(extensions: &Extensions<GroupContext>) -> Option<Self> {
        let extension = extensions.unknown(SLOT_KEY)?;
        extension.0.as_slice().try_into().ok().map(|key| Self(Zeroizing::new(key)))
    }

    pub fn into_extension(self) -> Extension {
        Extension::Unknown(SLOT_KEY, UnknownExtension(self.0.to_vec()))
    }

    /// Encrypts a GroupInfo.
    pub fn seal(&self, provider: &OpenMlsRustCrypto, group_info: &[u8]) -> Result<Vec<u8>> {
        let nonce = provider.rand().random_array::<NONCE>().map_err(Error::mls)?;
        let payload = Payload { msg: group_info, aad: LABEL };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::not_mls("the GroupInfo is too long"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Decrypts what [`seal`](Self::seal) made.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: LABEL }).ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}
