//! The HTTP API beside the relay: what signs its tokens, and what relay and API have in common.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519};
use secrecy::ExposeSecret;
use skytale_api::{Api, ApiError, TokenIssuer};
use skytale_relay::{JwtAuthenticator, Revocations};
use skytale_store::{Accounts, ChannelRegistry};

use crate::config::{Config, ServerConfig};
use crate::{kept, secret};

/// How often relays look for what was revoked.
const REVOCATION_INTERVAL: Duration = Duration::from_secs(1);

/// How long requests to join are kept, and revocations, which no token outlives.
const REQUESTS: Duration = Duration::from_secs(7 * 86_400);
const REVOCATIONS: Duration = Duration::from_secs(2 * 86_400);

/// The name of the key that signs tokens with EdDSA.
const EDDSA_KEY: &str = "eddsa-1";

/// Makes an API over the storage that was opened.
pub type Make = Box<dyn FnOnce(TokenIssuer, &[u8]) -> Result<Api, ApiError> + Send>;

/// Makes the API that is configured.
pub fn make(config: &Config, make: Make) -> Result<Api> {
    let mut api =
        make(issuer(&config.server)?, &pepper(&config.server)?)?.with_rate_limits(config.limits.api());
    for (plan, messages) in &config.plans {
        api = api.with_plan(plan, Some(*messages).filter(|messages| *messages > 0));
    }
    Ok(api)
}

/// Makes what signs tokens.
fn issuer(config: &ServerConfig) -> Result<TokenIssuer> {
    let issuer = match config.signs_with_eddsa() {
        true => TokenIssuer::ed25519(EDDSA_KEY, &eddsa_key(config)?)?,
        false => TokenIssuer::hs256(secret::signing(config)?.expose_secret().as_bytes())?,
    };
    Ok(issuer.with_lifetime(Duration::from_secs(config.token_ttl_seconds)))
}

/// Has an authenticator accept what the API signs.
pub fn trust(authenticator: JwtAuthenticator, config: &ServerConfig) -> Result<JwtAuthenticator> {
    if !config.signs_with_eddsa() {
        return Ok(authenticator);
    }
    let key = KeyPair::try_from(eddsa_key(config)?).context("the EdDSA key cannot be read")?;
    authenticator.with_ed25519_key(EDDSA_KEY, key.public_key_raw()).context("the EdDSA key")
}

/// Returns the secret that keys are kept under, made if there is none.
fn pepper(config: &ServerConfig) -> Result<Vec<u8>> {
    if let Some(pepper) = &config.key_pepper {
        return Ok(pepper.expose_secret().as_bytes().to_vec());
    }
    kept::make_directory(&config.data_dir)?;
    Ok(kept::secret(&config.data_dir.join("key_pepper"), secret::random)?.into_bytes())
}

/// Keeps a relay told of what is revoked.
pub fn follow(accounts: Arc<dyn Accounts>) -> Revocations {
    let revocations = Revocations::new();
    tokio::spawn(revocations.clone().follow(accounts, REVOCATION_INTERVAL));
    revocations
}

/// Forgets what nobody asks for any more.
pub async fn forget(accounts: &dyn Accounts, channels: &dyn ChannelRegistry) {
    let now = SystemTime::now();
    if let Err(error) = channels.expire_requests(now - REQUESTS).await {
        tracing::error!(error = &error as &dyn std::error::Error, "old requests could not be dropped");
    }
    if let Err(error) = accounts.forget_revocations(now - REVOCATIONS).await {
        tracing::error!(error = &error as &dyn std::error::Error, "old revocations could not be dropped");
    }
}

fn eddsa_key(config: &ServerConfig) -> Result<Vec<u8>> {
    kept::make_directory(&config.data_dir)?;
    let path = config.data_dir.join("jwt_ed25519");
    let make = || Ok(STANDARD.encode(KeyPair::generate_for(&PKCS_ED25519)?.serialize_der()));
    let key = kept::secret(&path, make)?;
    let key = STANDARD.decode(key).with_context(|| format!("{} is no base64", path.display()))?;
    ensure!(!key.is_empty(), "{} is empty: delete it to get a new key", path.display());
    Ok(key)
}
