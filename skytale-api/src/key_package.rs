//! Validates key packages, so that no agent is offered one that it cannot use.

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    BasicCredential, KeyPackageIn, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider, ProtocolVersion,
};
use openmls_rust_crypto::OpenMlsRustCrypto;

use crate::error::Problem;

/// The longest key package, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// The longest lifetime of a key package, in seconds, with an hour for clocks that are apart.
const MAX_LIFETIME: u64 = 90 * 86_400 + 3_600;

/// Why nobody could add an agent by a key package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableKeyPackage {
    /// It is too long.
    #[error("it has {found} bytes, {MAX_BYTES} are allowed")]
    TooLong {
        /// Its length, in bytes.
        found: usize,
    },
    /// It is none.
    #[error("it is no KeyPackage of MLS 1.0")]
    NotMls,
    /// A signature or a field of it is not valid, or its lifetime does not include now.
    #[error("{0}")]
    Invalid(String),
    /// Its lifetime is too long.
    #[error("it is valid for more than 90 days: make one for less")]
    ValidTooLong,
    /// Its credential names somebody else, or nobody.
    #[error("its credential is not a basic one that names the agent")]
    OfAnother,
}

impl From<UnusableKeyPackage> for Problem {
    fn from(why: UnusableKeyPackage) -> Self {
        Self::bad_request(format!("the key package cannot be used: {why}"))
    }
}

/// Checks a key package of an agent: its form, its signatures, its lifetime (90 days at most), and whose it is.
///
/// Both forms are taken that clients send: an MLSMessage, and a bare KeyPackage (RFC 9420 §10).
///
/// # Errors
///
/// What is wrong with it.
pub fn check_key_package(bytes: &[u8], agent: &str) -> Result<(), UnusableKeyPackage> {
    if bytes.len() > MAX_BYTES {
        return Err(UnusableKeyPackage::TooLong { found: bytes.len() });
    }
    let key_package = read(bytes).ok_or(UnusableKeyPackage::NotMls)?;
    let crypto = OpenMlsRustCrypto::default();
    let key_package = key_package
        .validate(crypto.crypto(), ProtocolVersion::Mls10)
        .map_err(|error| UnusableKeyPackage::Invalid(error.to_string()))?;
    let lifetime = key_package.life_time();
    if lifetime.not_after().saturating_sub(lifetime.not_before()) > MAX_LIFETIME {
        return Err(UnusableKeyPackage::ValidTooLong);
    }
    let owner = BasicCredential::try_from(key_package.leaf_node().credential().clone());
    match owner {
        Ok(owner) if owner.identity() == agent.as_bytes() => Ok(()),
        _ => Err(UnusableKeyPackage::OfAnother),
    }
}

fn read(bytes: &[u8]) -> Option<KeyPackageIn> {
    let message = MlsMessageIn::tls_deserialize_exact(bytes).ok().map(MlsMessageIn::extract);
    match message {
        Some(MlsMessageBodyIn::KeyPackage(key_package)) => Some(key_package),
        Some(_) => None,
        None => KeyPackageIn::tls_deserialize_exact(bytes).ok(),
    }
}
