//! An authenticator for tests in which each token is an account.

use skytale_core::{Permissions, Principal};
use skytale_relay::{AuthError, Authenticator, Credentials};

/// Takes every token for the name of an account that may do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccountPerToken {
    /// The account of those without a token; without one they are refused.
    pub otherwise: Option<&'static str>,
}

impl Authenticator for AccountPerToken {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthError> {
        let token = credentials.bearer.as_ref().map(|token| token.expose());
        let account = token.or(self.otherwise).ok_or(AuthError::Missing)?;
        Ok(Principal::new(account, Permissions::All))
    }
}
