//! JSON Web Tokens, signed with HS256 or EdDSA.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use skytale_core::claims::{ISSUER, OutOfTime};
use skytale_core::{Claims, Clock, Permissions, Principal, SystemClock, clock};
use thiserror::Error;

use super::authenticator::{AuthError, Authenticator};
use super::credentials::Credentials;

/// The shortest secret, in bytes.
pub const MIN_SECRET: usize = 32;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// How far clocks may be apart. Default: 15 s.
const LEEWAY: Duration = Duration::from_secs(15);

/// Why an authenticator cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JwtError {
    /// The secret is too short to withstand guessing.
    #[error("the JWT secret has {bytes} bytes; at least {MIN_SECRET} random bytes are needed")]
    ShortSecret {
        /// The length found, in bytes.
        bytes: usize,
    },
    /// The public key cannot be one.
    #[error("an Ed25519 public key has 32 bytes, not {bytes}")]
    NotEd25519 {
        /// The length found, in bytes.
        bytes: usize,
    },
}

/// Accepts tokens that were signed with HS256 and one of its secrets, or with EdDSA and one of its keys, by the issuer
/// `static-api`.
///
/// A token needs `sub`, `iss`, `iat` and `exp`. Several secrets make rotation possible: a token that names a key (`kid`)
/// is checked with that key alone, one that names none with the secret that has no id.
pub struct JwtAuthenticator {
    keys: HashMap<Option<String>, (Algorithm, DecodingKey)>,
    validation: Validation,
    leeway: Duration,
    clock: Arc<dyn Clock>,
    without_grants: Permissions,
}

impl JwtAuthenticator {
    /// Makes an authenticator with a secret for tokens that name no key.
    ///
    /// # Errors
    ///
    /// [`JwtError::ShortSecret`] for a secret of less than [`MIN_SECRET`] bytes.
    pub fn new(secret: &[u8]) -> Result<Self, JwtError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // They are checked by this authenticator's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let (without_grants, clock) = (Permissions::All, Arc::new(SystemClock));
        Self { keys: HashMap::new(), validation, leeway: LEEWAY, clock, without_grants }.with(None, secret)
    }

    /// Adds a secret for tokens that name the key `kid`.
    ///
    /// # Errors
    ///
    /// [`JwtError::ShortSecret`] for a secret of less than [`MIN_SECRET`] bytes.
    pub fn with_key(self, kid: impl Into<String>, secret: &[u8]) -> Result<Self, JwtError> {
        self.with(Some(kid.into()), secret)
    }

    /// Adds the public half of an Ed25519 key, for tokens that name it and are signed with EdDSA.
    ///
    /// # Errors
    ///
    /// [`JwtError::NotEd25519`] for anything but 32 bytes.
    pub fn with_ed25519_key(mut self, kid: impl Into<String>, public: &[u8]) -> Result<Self, JwtError> {
        let wrong = JwtError::NotEd25519 { bytes: public.len() };
        if public.len() != 32 {
            return Err(wrong);
        }
        let key = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(public)).map_err(|_| wrong)?;
        self.keys.insert(Some(kid.into()), (Algorithm::EdDSA, key));
        Ok(self)
    }

    /// Sets how far clocks may be apart; at most 60 s. Default: 15 s.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = Duration::from_secs(leeway.as_secs().min(60));
        self
    }

    /// Sets the clock by which tokens expire. Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Demands that tokens are meant for an audience (`aud`).
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.validation.set_audience(&[audience]);
        self.validation.required_spec_claims.insert("aud".to_owned());
        self
    }

    /// Sets what a token without grants permits. Default: everything, as in the contract of the published API, whose
    /// tokens speak for their whole account.
    pub fn with_default_permissions(mut self, permissions: Permissions) -> Self {
        self.without_grants = permissions;
        self
    }

    fn with(mut self, kid: Option<String>, secret: &[u8]) -> Result<Self, JwtError> {
        if secret.len() < MIN_SECRET {
            return Err(JwtError::ShortSecret { bytes: secret.len() });
        }
        self.keys.insert(kid, (Algorithm::HS256, DecodingKey::from_secret(secret)));
        Ok(self)
    }

    fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        if token.len() > MAX_TOKEN {
            return Err(AuthError::Invalid("it is longer than 8 KiB"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid("it is no JWT"))?;
        if !matches!(header.alg, Algorithm::HS256 | Algorithm::EdDSA) {
            return Err(AuthError::Invalid("it is signed with neither HS256 nor EdDSA"));
        }
        let (algorithm, key) =
            self.keys.get(&header.kid).ok_or(AuthError::Invalid("its key is not known"))?;
        if header.alg != *algorithm {
            return Err(AuthError::Invalid("its key is meant for another algorithm"));
        }
        let mut validation = self.validation.clone();
        validation.algorithms = vec![*algorithm];
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(explain)?.claims;
        let (now, leeway) = (clock::seconds(self.clock.now()), self.leeway.as_secs());
        claims.check_time(now, leeway).map_err(|out| match out {
            OutOfTime::Expired => AuthError::Expired,
            _ => AuthError::Invalid("it is not valid yet"),
        })?;
        if claims.iat > now.saturating_add(leeway) {
            return Err(AuthError::Invalid("it was issued in the future"));
        }
        Ok(self.principal(claims))
    }

    fn principal(&self, claims: Claims) -> Principal {
        let permissions = match claims.grants {
            Some(grants) => Permissions::Only(grants.into()),
            None => self.without_grants.clone(),
        };
        let lifetime = Duration::from_secs(claims.exp.saturating_add(self.leeway.as_secs()));
        let mut principal = Principal::new(claims.sub, permissions);
        principal.issued = UNIX_EPOCH.checked_add(Duration::from_secs(claims.iat));
        principal.plan = claims.plan.map(Into::into);
        principal.key = claims.key.map(Into::into);
        if let Some(expires) = UNIX_EPOCH.checked_add(lifetime) {
            principal = principal.with_expiry(expires);
        }
        match claims.jti {
            Some(id) => principal.with_token(id),
            None => principal,
        }
    }
}

fn explain(error: jsonwebtoken::errors::Error) -> AuthError {
    AuthError::Invalid(match error.kind() {
        ErrorKind::InvalidSignature => "its signature does not fit",
        ErrorKind::InvalidIssuer => "its issuer is not static-api",
        ErrorKind::InvalidAudience => "it is meant for another audience",
        ErrorKind::MissingRequiredClaim(_) => "a required claim is missing (sub, iss, iat, exp)",
        _ => "its content cannot be read",
    })
}

impl Authenticator for JwtAuthenticator {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, AuthError> {
        self.verify(credentials.bearer.as_ref().ok_or(AuthError::Missing)?.expose())
    }
}

impl fmt::Debug for JwtAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthenticator").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
