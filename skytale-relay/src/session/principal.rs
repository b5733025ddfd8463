//! The principal of a session, which changes when it presents further credentials.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwap;
use skytale_core::{Clock, Principal, clock};
use tokio::sync::Notify;

use crate::admission::authenticator::AuthError;
use crate::admission::credentials::Credentials;
use crate::admission::renewal::Renewal;

/// A session's principal, and how the next one is verified.
#[derive(Debug)]
pub(crate) struct SessionPrincipal {
    principal: ArcSwap<Principal>,
    renewal: Option<Renewal>,
    renewed: Notify,
}

impl SessionPrincipal {
    pub fn new(principal: Principal, renewal: Option<Renewal>) -> Self {
        Self { principal: ArcSwap::from_pointee(principal), renewal, renewed: Notify::new() }
    }

    /// Returns who the session acts for.
    pub fn current(&self) -> Arc<Principal> {
        self.principal.load_full()
    }

    /// Returns when the credentials expire, in seconds since 1970; 0 if never.
    pub fn expires(&self) -> u64 {
        let expires = self.principal.load().expires;
        let since_1970 = expires.and_then(|expires| expires.duration_since(UNIX_EPOCH).ok());
        since_1970.map_or(0, |since| since.as_secs())
    }

    pub fn account(&self) -> Arc<str> {
        self.principal.load().account.clone()
    }

    /// Verifies further credentials; they have to be of the same account.
    pub async fn verify(&self, credentials: Credentials) -> Result<Principal, AuthError> {
        let renewal = self.renewal.as_ref().ok_or(AuthError::Unavailable)?;
        let principal = renewal.verify(credentials).await?;
        if principal.account != self.account() {
            return Err(AuthError::Invalid("it is of another account than the session"));
        }
        Ok(principal)
    }

    /// Goes on as a principal that was verified.
    pub fn renew(&self, principal: Principal) {
        self.principal.store(Arc::new(principal));
        self.renewed.notify_one();
    }

    /// Waits until the credentials have expired and none have followed.
    pub async fn expired(&self, clock: &dyn Clock) {
        loop {
            let expires = self.principal.load().expires;
            let until = async {
                match expires {
                    Some(expires) => {
                        let left = expires.duration_since(clock.now()).unwrap_or_default();
                        clock::sleep(clock, left, tokio::time::sleep).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.renewed.notified() => {}
                () = until => return,
            }
        }
    }
}
