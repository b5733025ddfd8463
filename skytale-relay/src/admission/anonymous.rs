//! Authenticators that admit peers without a token.

use skytale_core::{Permissions, Principal};

use super::authenticator::{AuthError, Authenticator};
use super::credentials::Credentials;

/// Lets every peer in as the account `anonymous`, whatever it presents.
///
/// For development, and for hosts that authenticate elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAnyone;

impl Authenticator for AllowAnyone {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal, AuthError> {
        Ok(anonymous())
    }
}

/// Lets peers without a token in as the account `anonymous`; a token that is presented must be valid.
#[derive(Clone, Debug)]
pub struct AllowAnonymous<A> {
    tokens: A,
}

impl<A: Authenticator> AllowAnonymous<A> {
    /// Makes it of the authenticator that tokens are checked with.
    pub fn beside(tokens: A) -> Self {
        Self { tokens }
    }
}

impl<A: Authenticator> Authenticator for AllowAnonymous<A> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthError> {
        match credentials.bearer {
            Some(_) => self.tokens.authenticate(credentials).await,
            None => Ok(anonymous()),
        }
    }
}

fn anonymous() -> Principal {
    Principal::new("anonymous", Permissions::All)
}
