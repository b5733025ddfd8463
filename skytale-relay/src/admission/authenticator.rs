//! The seam by which hosts verify credentials.

use std::future::Future;

use skytale_core::Principal;
use thiserror::Error;

use super::credentials::Credentials;

/// Verifies what a peer presents.
pub trait Authenticator: Send + Sync + 'static {
    /// Returns who the peer is.
    ///
    /// # Errors
    ///
    /// [`AuthError`], whose text the peer is told.
    fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Principal, AuthError>> + Send;
}

/// Why credentials were not accepted. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Nothing was presented.
    #[error("no credentials: send `authorization: Bearer <token>`")]
    Missing,
    /// What was presented is not valid.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// It was valid once.
    #[error("the token has expired: get a fresh one")]
    Expired,
    /// It was revoked.
    #[error("the token was revoked: get a fresh one, with an API key that is valid")]
    Revoked,
    /// It cannot be checked now.
    #[error("credentials cannot be checked at the moment; try again")]
    Unavailable,
}
