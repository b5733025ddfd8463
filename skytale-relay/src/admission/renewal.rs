//! Verification of the credentials that a session presents later.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use skytale_core::Principal;

use super::authenticator::AuthError;
use super::credentials::Credentials;

/// Verifies further credentials of a session, so that it outlives those it began with.
#[derive(Clone)]
pub struct Renewal(
    Arc<dyn Fn(Credentials) -> BoxFuture<'static, Result<Principal, AuthError>> + Send + Sync>,
);

impl Renewal {
    /// Makes a renewal from what verifies credentials.
    pub fn new<F>(verify: impl Fn(Credentials) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Principal, AuthError>> + Send + 'static,
    {
        Self(Arc::new(move |credentials| Box::pin(verify(credentials))))
    }

    pub(crate) async fn verify(&self, credentials: Credentials) -> Result<Principal, AuthError> {
        (self.0)(credentials).await
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal(..)")
    }
}
