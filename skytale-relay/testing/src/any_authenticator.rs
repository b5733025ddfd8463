//! One type for every authenticator.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use skytale_core::Principal;
use skytale_relay::{AuthError, Authenticator, Credentials};

/// Any authenticator. The services of a relay that has one are compiled here, and not again in each test program.
#[derive(Clone)]
pub struct AnyAuthenticator(Arc<dyn Erased>);

impl AnyAuthenticator {
    /// Hides the type of an authenticator.
    pub fn new(authenticator: impl Authenticator) -> Self {
        Self(Arc::new(authenticator))
    }
}

impl Authenticator for AnyAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthError> {
        self.0.authenticate_boxed(credentials).await
    }
}

trait Erased: Send + Sync {
    fn authenticate_boxed<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Principal, AuthError>>;
}

impl<A: Authenticator> Erased for A {
    fn authenticate_boxed<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Principal, AuthError>> {
        self.authenticate(credentials).boxed()
    }
}
