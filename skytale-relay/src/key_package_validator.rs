//! The seam by which hosts validate key packages with an MLS library.

use std::fmt;

use skytale_core::ChannelName;

/// Says whether a key package can be used: its signatures, its lifetime, and whose it is.
///
/// A relay sees only that it is an MLSMessage of a length that is allowed. A host that links an MLS library says the rest;
/// `skytale_api::check_key_package` does.
pub trait KeyPackageValidator: Send + Sync + 'static {
    /// Checks an MLSMessage with a KeyPackage (RFC 9420 §10.1), on a thread that may be kept busy.
    ///
    /// # Errors
    ///
    /// What is wrong with it, which its agent is told. Nothing of what came with it is kept then.
    fn check(&self, key_package: &[u8], agent: &ChannelName) -> Result<(), String>;
}

impl<F> KeyPackageValidator for F
where
    F: Fn(&[u8], &ChannelName) -> Result<(), String> + Send + Sync + 'static,
{
    fn check(&self, key_package: &[u8], agent: &ChannelName) -> Result<(), String> {
        self(key_package, agent)
    }
}

impl fmt::Debug for dyn KeyPackageValidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPackageCheck")
    }
}
