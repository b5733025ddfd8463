//! Signing and checking tokens.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use skytale_core::claims::ISSUER;
use skytale_core::{Claims, clock};
use thiserror::Error;

/// The shortest secret, in bytes.
pub const MIN_SECRET: usize = 32;

/// How long tokens are valid. Default: 15 minutes; at most a day.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);

/// How far another server's clock may be ahead, in seconds.
const SKEW: u64 = 15;

/// The longest token that is checked, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Signs tokens, and checks those it has signed.
pub struct TokenIssuer {
    algorithm: Algorithm,
    kid: Option<String>,
    signing: EncodingKey,
    checking: DecodingKey,
    /// The public half, where there is one.
    public: Option<[u8; 32]>,
    lifetime: Duration,
}

/// Why an issuer cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenIssuerError {
    /// The secret is too short to withstand guessing.
    #[error("the JWT secret has {bytes} bytes; at least {MIN_SECRET} random bytes are needed")]
    ShortSecret {
        /// The length found, in bytes.
        bytes: usize,
    },
    /// The key is no Ed25519 key in PKCS#8.
    #[error("the key is no Ed25519 private key in PKCS#8 DER of version 2, with its public half")]
    NotEd25519,
}

impl TokenIssuer {
    /// Signs with HS256, and a secret that relays have as well.
    ///
    /// # Errors
    ///
    /// [`TokenIssuerError::ShortSecret`] for a secret of less than [`MIN_SECRET`] bytes.
    pub fn hs256(secret: &[u8]) -> Result<Self, TokenIssuerError> {
        if secret.len() < MIN_SECRET {
            return Err(TokenIssuerError::ShortSecret { bytes: secret.len() });
        }
        let (signing, checking) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        let (algorithm, lifetime) = (Algorithm::HS256, LIFETIME);
        Ok(Self { algorithm, kid: None, signing, checking, public: None, lifetime })
    }

    /// Signs with EdDSA, so that relays need no secret: they take the public half from `/.well-known/jwks.json`.
    ///
    /// `pkcs8` is an Ed25519 key in PKCS#8 DER, version 2, which contains the public half.
    ///
    /// # Errors
    ///
    /// [`TokenIssuerError::NotEd25519`] for anything else.
    pub fn ed25519(kid: impl Into<String>, pkcs8: &[u8]) -> Result<Self, TokenIssuerError> {
        let public = public_half(pkcs8).ok_or(TokenIssuerError::NotEd25519)?;
        let checking = DecodingKey::from_ed_components(&URL_SAFE_NO_PAD.encode(public));
        let issuer = Self {
            algorithm: Algorithm::EdDSA,
            kid: Some(kid.into()),
            signing: EncodingKey::from_ed_der(pkcs8),
            checking: checking.map_err(|_| TokenIssuerError::NotEd25519)?,
            public: Some(public),
            lifetime: LIFETIME,
        };
        // A key that cannot sign is found here, and not by the first caller.
        let probe = issuer.sign(&Claims::new("probe", 0, 1));
        probe.map(|_| issuer).ok_or(TokenIssuerError::NotEd25519)
    }

    /// Names the key in tokens (`kid`), so that it can be told from another one.
    pub fn with_key_id(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Sets how long tokens are valid, up to a day. Default: 15 minutes.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime.clamp(Duration::from_secs(1), LONGEST_LIFETIME);
        self
    }

    /// Returns when a token that is issued now is issued, and when it expires, in seconds since 1970.
    pub(crate) fn validity(&self, now: SystemTime) -> (u64, u64) {
        let now = clock::seconds(now);
        (now, now + self.lifetime.as_secs())
    }

    /// Signs claims; `None` where the key cannot sign.
    pub(crate) fn sign(&self, claims: &Claims) -> Option<String> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.kid);
        jsonwebtoken::encode(&header, claims, &self.signing).ok()
    }

    /// Returns the claims of a token that this issuer has signed and that is valid now.
    pub(crate) fn check(&self, token: &str, now: SystemTime) -> Option<Claims> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != self.algorithm || header.kid != self.kid {
            return None;
        }
        let mut validation = Validation::new(self.algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // Its time is checked by the API's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.checking, &validation).ok()?.claims;
        let now = clock::seconds(now);
        claims.check_time(now, 0).ok()?;
        // Another server over the same store may be a moment ahead.
        (claims.iat <= now + SKEW).then_some(claims)
    }

    /// Returns the public keys, as RFC 7517 has them; empty for HS256.
    pub(crate) fn key_set(&self) -> Value {
        let key = |public: &[u8; 32]| {
            json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": self.kid, "x": URL_SAFE_NO_PAD.encode(public),
            })
        };
        json!({ "keys": self.public.iter().map(key).collect::<Vec<_>>() })
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Finds the public half in a PKCS#8 key of version 2 (RFC 5958), whose last field it is.
fn public_half(pkcs8: &[u8]) -> Option<[u8; 32]> {
    /// The tag of a primitive `[1]`, its length, and no unused bits.
    const FIELD: [u8; 3] = [0x81, 0x21, 0x00];
    let (head, public) = pkcs8.split_at_checked(pkcs8.len().checked_sub(32)?)?;
    head.ends_with(&FIELD).then(|| public.try_into().ok()).flatten()
}
