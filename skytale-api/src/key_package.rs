//! Checking key packages, so that one that nobody can use does not get in anybody's way.

use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    BasicCredential, KeyPackage, KeyPackageIn, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider,
    ProtocolVersion,
};
use openmls_rust_crypto::OpenMlsRustCrypto;

use crate::error::{Problem, Result};

/// The longest key package, in bytes.
pub(crate) const MAX_BYTES: usize = 16 * 1024;

/// The longest lifetime of a key package, in seconds, with an hour for clocks that are apart.
const MAX_LIFETIME: u64 = 90 * 86_400 + 3_600;

/// Checks a key package of an agent: its form, its signatures, its lifetime, and whose it is.
///
/// Both forms are taken that clients send: an MLSMessage, and a bare KeyPackage.
pub(crate) fn check(bytes: &[u8], agent: &str) -> Result<()> {
    if bytes.len() > MAX_BYTES {
        return Err(Problem::bad_request(format!("a key package has at most {MAX_BYTES} bytes")));
    }
    let unusable = |why: &str| Problem::bad_request(format!("the key package cannot be used: {why}"));
    let key_package = read(bytes).ok_or_else(|| unusable("it is no KeyPackage of MLS 1.0"))?;
    let crypto = OpenMlsRustCrypto::default();
    let key_package = key_package
        .validate(crypto.crypto(), ProtocolVersion::Mls10)
        .map_err(|error| unusable(&error.to_string()))?;
    check_lifetime(&key_package)?;
    let credential = BasicCredential::try_from(key_package.leaf_node().credential().clone());
    let owner = credential.map_err(|_| unusable("its credential is not a basic one"))?;
    if owner.identity() != agent.as_bytes() {
        return Err(unusable("its credential does not name the agent"));
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Option<KeyPackageIn> {
    let message = MlsMessageIn::tls_deserialize_exact(bytes).ok().map(MlsMessageIn::extract);
    match message {
        Some(MlsMessageBodyIn::KeyPackage(key_package)) => Some(key_package),
        Some(_) => None,
        None => KeyPackageIn::tls_deserialize_exact(bytes).ok(),
    }
}

fn check_lifetime(key_package: &KeyPackage) -> Result<()> {
    let lifetime = key_package.life_time();
    let length = lifetime.not_after().saturating_sub(lifetime.not_before());
    if lifetime.validate().is_err() {
        return Err(Problem::bad_request(
            "the key package has expired, or is not valid yet: make another one",
        ));
    }
    if length > MAX_LIFETIME {
        return Err(Problem::bad_request(
            "the key package is valid for more than 90 days: make one for less",
        ));
    }
    Ok(())
}
