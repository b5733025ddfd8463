//! Authentication as a tower layer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use skytale_core::Principal;
use tower::{Layer, Service};

use super::authenticator::{AuthError, Authenticator};
use super::connect::Connect;
use super::credentials::Credentials;
use super::renewal::Renewal;

/// Puts an [`Authenticator`] in front of a relay.
#[derive(Debug)]
pub struct AuthenticateLayer<A> {
    authenticator: Arc<A>,
}

impl<A: Authenticator> AuthenticateLayer<A> {
    /// Makes the layer.
    pub fn new(authenticator: A) -> Self {
        Self { authenticator: Arc::new(authenticator) }
    }
}

impl<A> Clone for AuthenticateLayer<A> {
    fn clone(&self) -> Self {
        Self { authenticator: self.authenticator.clone() }
    }
}

impl<S, A> Layer<S> for AuthenticateLayer<A> {
    type Service = Authenticate<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate { inner, authenticator: self.authenticator.clone() }
    }
}

/// Turns credentials into a principal, or refuses.
#[derive(Debug)]
pub struct Authenticate<S, A> {
    inner: S,
    authenticator: Arc<A>,
}

impl<S: Clone, A> Clone for Authenticate<S, A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), authenticator: self.authenticator.clone() }
    }
}

impl<S, A> Service<Connect<Credentials>> for Authenticate<S, A>
where
    S: Service<Connect<Principal>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: From<AuthError>,
    A: Authenticator,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, connect: Connect<Credentials>) -> Self::Future {
        let clone = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, clone);
        let authenticator = self.authenticator.clone();
        Box::pin(async move {
            let principal = authenticator.authenticate(&connect.peer).await?;
            let mut connect = connect.map(|_| principal);
            connect.renewal = Some(Renewal::new(move |credentials| {
                let authenticator = authenticator.clone();
                async move { authenticator.authenticate(&credentials).await }
            }));
            ready.call(connect).await
        })
    }
}
