//! Development tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use jsonwebtoken::{EncodingKey, Header, encode};
use secrecy::ExposeSecret;
use skytale_core::{Claims, Grant};

use crate::cli::Token;
use crate::config::Config;
use crate::secret;

/// Prints a token, and nothing else.
pub fn print(config: &Config, wanted: &Token) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut channels = wanted.channels.clone();
    if channels.is_empty() {
        channels.push("**".parse()?);
    }
    let claims = Claims::new(wanted.account.as_str(), now, now.saturating_add(wanted.ttl.as_secs()))
        .with_plan("free")
        .with_id(uuid::Uuid::new_v4().to_string())
        .with_grants(channels.into_iter().map(Grant::everything_on).collect());
    let secret = secret::signing(&config.server)?;
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    println!("{}", encode(&Header::default(), &claims, &key)?);
    Ok(())
}
