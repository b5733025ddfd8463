//! Authenticates the caller by an API key or a token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use skytale_core::Verb;
use skytale_core::claims::Grant;
use skytale_core::{ChannelName, Claims};
use skytale_store::{ApiKey, Revoked};
use tokio::time::Instant;

use crate::error::{Problem, Result};
use crate::key::{self, Key};
use crate::limiter::Left;
use crate::state::{Inner, State};

/// An account that asks, by one of its keys.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub account: String,
    pub key: String,
    /// What the key is limited to; `None` is nothing.
    pub scopes: Option<Vec<Grant>>,
}

/// What is left of a caller's rate, for the answer's headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct RateLeft(pub Arc<std::sync::OnceLock<Left>>);

/// How exactly it is kept when a key was last used.
const USED_GRAIN: Duration = Duration::from_secs(60);

impl Caller {
    /// Refuses a key that is limited to channels.
    pub fn whole_account(&self) -> Result<()> {
        match self.scopes {
            None => Ok(()),
            Some(_) => {
                let text = "this API key is limited to some channels: use one of the whole account";
                Err(Problem::forbidden(text))
            }
        }
    }

    /// Refuses a key that is not good for `verb` on a channel.
    pub fn scope(&self, verb: Verb, channel: &ChannelName) -> Result<()> {
        let Some(scopes) = &self.scopes else { return Ok(()) };
        let covers = |grant: &Grant| grant.verbs.contains(&verb) && grant.channels.covers(channel);
        match scopes.iter().any(covers) {
            true => Ok(()),
            false => Err(Problem::forbidden(format!("this API key may not {verb} on {channel}"))),
        }
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let address = address(parts);
        let caller = match authenticate(parts, &state.0).await {
            Ok(caller) => caller,
            Err(problem) => {
                state.0.limits.per_stranger.check(&address)?;
                return Err(problem);
            }
        };
        let left = state.0.limits.per_key.check(&caller.key)?;
        if let Some(told) = parts.extensions.get::<RateLeft>() {
            let _ = told.0.set(left);
        }
        Ok(caller)
    }
}

/// Returns where a request comes from, as far as the host says.
pub(crate) fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip())
}

async fn authenticate(parts: &Parts, api: &Inner) -> Result<Caller> {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, credential)) = header.and_then(|header| header.split_once(' ')) else {
        return Err(Problem::unauthorized("send `authorization: Bearer <API key or token>`"));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::unauthorized(
            "credentials are sent as `authorization: Bearer <API key or token>`",
        ));
    }
    let credential = credential.trim();
    match Key::is_meant(credential) {
        true => by_key(credential, api).await,
        false => by_token(credential, api).await,
    }
}

/// How long after it came a key that is not accepted is answered: longer than it takes to look one up, so that the time
/// tells nobody whether its id is known.
const REFUSED_AFTER: Duration = Duration::from_millis(5);

async fn by_key(text: &str, api: &Inner) -> Result<Caller> {
    let Some(key) = Key::parse(text) else {
        let text = "this is no API key: it is cut, mistyped, or a placeholder; keys look like sk_live_ and 46 letters \
                    and digits";
        return Err(Problem::unauthorized(text));
    };
    let came = Instant::now();
    let known = api.accounts.key(key.id()).await?;
    let digest = key.digest(&api.pepper);
    match known {
        Some(known) if key::same(&digest, &known.digest) => use_key(known, api).await,
        _ => {
            tokio::time::sleep_until(came + REFUSED_AFTER).await;
            Err(unknown_key())
        }
    }
}

async fn by_token(token: &str, api: &Inner) -> Result<Caller> {
    let invalid = || Problem::unauthorized("the token is not valid, or has expired: get a fresh one");
    let claims = api.issuer.check(token, api.clock.now()).ok_or_else(invalid)?;
    if is_revoked(&claims, api).await? {
        return Err(Problem::unauthorized("the token was revoked: get a fresh one"));
    }
    // A token ends with its key, although it has not expired.
    let key = claims.key.ok_or_else(invalid)?;
    match api.accounts.key(&key).await? {
        Some(known) if known.account == claims.sub => use_key(known, api).await,
        _ => Err(invalid()),
    }
}

async fn is_revoked(claims: &Claims, api: &Inner) -> Result<bool> {
    let Some(id) = &claims.jti else { return Ok(false) };
    Ok(api.accounts.revocation(&Revoked::Token(id.clone())).await?.is_some())
}

async fn use_key(key: ApiKey, api: &Inner) -> Result<Caller> {
    let now = api.clock.now();
    if key.expires_at.is_some_and(|expires| expires <= now) {
        return Err(Problem::unauthorized("the API key has expired: use the one that replaced it"));
    }
    let is_fresh = |used: SystemTime| now.duration_since(used).is_ok_and(|since| since < USED_GRAIN);
    if !key.last_used_at.is_some_and(is_fresh) {
        api.accounts.use_key(&key.id, now).await?;
    }
    let scopes = key.scopes.as_deref().map(serde_json::from_str).transpose();
    let scopes = scopes.map_err(|_| Problem::internal())?;
    Ok(Caller { account: key.account, key: key.id, scopes })
}

fn unknown_key() -> Problem {
    Problem::unauthorized("the API key is not known, or was revoked: make another one")
}
