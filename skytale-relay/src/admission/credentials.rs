//! The credentials that peers present.

use std::fmt;

use zeroize::Zeroizing;

/// What a peer presents.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// The bearer token, if there is one.
    pub bearer: Option<Token>,
}

impl Credentials {
    /// Presents nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Presents a bearer token.
    pub fn bearer(token: impl Into<Token>) -> Self {
        Self { bearer: Some(token.into()) }
    }
}

/// A token that never shows in logs.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Returns the token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(Zeroizing::new(token))
    }
}

impl From<&str> for Token {
    fn from(token: &str) -> Self {
        token.to_owned().into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
