//! Tokens that a relay checks.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use skytale_core::Claims;

/// The secret that signs tokens.
pub const SECRET: &[u8] = b"a secret of at least 32 bytes, for tests";

/// Makes a token of an account that lives for so many seconds and permits everything.
pub fn token(account: &str, seconds: u64) -> String {
    signed(&claims(account, now(), seconds))
}

/// Makes claims of an account that are issued at a time, in seconds since 1970, and live for so many seconds.
pub fn claims(account: &str, issued: u64, seconds: u64) -> Claims {
    Claims::new(account, issued, issued + seconds)
}

/// Signs claims.
pub fn signed(claims: &Claims) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).expect("encodes")
}

/// Returns the seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Returns the authenticator that takes such tokens, without leeway for clocks that differ.
#[cfg(feature = "relay")]
pub fn authenticator() -> skytale_relay::JwtAuthenticator {
    let authenticator = skytale_relay::JwtAuthenticator::new(SECRET).expect("long enough");
    authenticator.with_leeway(std::time::Duration::ZERO)
}
