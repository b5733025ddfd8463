//! `/v1/keys`: API keys.

use std::time::Duration;

use axum::extract;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use skytale_core::claims::Grant;
use skytale_store::{ApiKey, Revocation, Revoked};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Object, Segment, text};
use crate::key::{Key, Purpose};
use crate::rfc3339;
use crate::state::State;

/// What a key is called that was not given a name.
pub(super) const DEFAULT_NAME: &str = "default";

/// The most keys of an account, and scopes of a key.
const KEYS: usize = 100;
const SCOPES: usize = 64;

/// The longest name, in bytes.
const NAME: usize = 100;

/// The longest lives of a key, and of one that is replaced, in seconds: ten years, and thirty days.
const LIFE: u64 = 10 * 365 * 86_400;
const OVERLAP: u64 = 30 * 86_400;

#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct NewKey {
    /// What it is called.
    #[schema(default = "default", min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Makes a key that begins with `sk_test_`.
    #[serde(default)]
    test: bool,
    /// What its tokens are limited to; the whole account if it is left out.
    #[schema(max_items = 64, value_type = Option<Vec<Scope>>)]
    scopes: Option<Vec<Object<Scope>>>,
    /// After how many seconds it expires; never if it is left out.
    #[schema(minimum = 1, maximum = 315360000)]
    ttl_seconds: Option<u64>,
}

/// Verbs on the channels that a pattern covers.
#[derive(Deserialize, Serialize, ToSchema)]
pub(crate) struct Scope {
    /// The channels: `org/team/room`, `org/team/*`, `org/**`.
    #[schema(example = "org/team/*")]
    channels: String,
    /// What may be done there.
    #[schema(value_type = Vec<Verbs>)]
    verbs: Vec<serde_json::Value>,
}

/// What may be done on a channel.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes what the API reads")]
pub(crate) enum Verbs {
    /// Send messages.
    Publish,
    /// Receive messages, and read what was missed.
    Subscribe,
    /// Send messages that change a group.
    Commit,
    /// Become a member by an external commit.
    Join,
}

#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct Rotation {
    /// How many seconds the old key goes on to work.
    #[serde(default)]
    #[schema(maximum = 2592000)]
    overlap_seconds: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedKey {
    id: String,
    #[schema(example = "sk_live_a1b2")]
    key_prefix: String,
    name: String,
    /// The key. It is shown this once.
    key: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: String,
    key_prefix: String,
    name: String,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// What its tokens are limited to; null is nothing.
    scopes: Option<Vec<Scope>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Keys {
    /// Newest first, without those that were revoked.
    keys: Vec<KeyView>,
}

/// Create an API key
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "create_key", tag = "keys", request_body = Option<NewKey>,
    responses((status = 200, body = CreatedKey), Problem),
)]
pub(crate) async fn create(
    extract::State(api): extract::State<State>,
    caller: Caller,
    new: Option<Body<NewKey>>,
) -> Result<Body<CreatedKey>> {
    caller.whole_account()?;
    let new = new.map(|body| body.0).unwrap_or_default();
    let name = new.name.as_deref().map_or(Ok(DEFAULT_NAME.to_owned()), |name| text("name", name, NAME))?;
    let scopes = new.scopes.map(to_stored).transpose()?;
    let life = new.ttl_seconds.map(|seconds| within("ttl_seconds", seconds, 1, LIFE)).transpose()?;
    if api.0.accounts.keys(&caller.account).await?.len() >= KEYS {
        return Err(Problem::conflict(format!("an account has at most {KEYS} keys: revoke one first")));
    }
    let purpose = if new.test { Purpose::Test } else { Purpose::Live };
    let key = Key::generate(purpose);
    let kept = ApiKey { scopes, ..kept(&key, &api, &caller.account, name, life) };
    add(&api, &key, kept).await
}

/// List the API keys
#[utoipa::path(
    get, path = "/v1/keys", operation_id = "list_keys", tag = "keys",
    responses((status = 200, body = Keys), Problem),
)]
pub(crate) async fn list(extract::State(api): extract::State<State>, caller: Caller) -> Result<Body<Keys>> {
    caller.whole_account()?;
    let keys = api.0.accounts.keys(&caller.account).await?;
    let keys = keys.into_iter().map(KeyView::try_from).collect::<Result<_>>()?;
    Ok(Body(Keys { keys }))
}

/// Replace an API key
///
/// Makes one with the same name and scopes. The old one goes on to work for as long as `overlap_seconds` says.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate", operation_id = "rotate_key", tag = "keys", request_body = Option<Rotation>,
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = CreatedKey), Problem),
)]
pub(crate) async fn rotate(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(id): Segment,
    rotation: Option<Body<Rotation>>,
) -> Result<Body<CreatedKey>> {
    caller.whole_account()?;
    let overlap = rotation.map(|body| body.0).unwrap_or_default().overlap_seconds;
    let overlap = within("overlap_seconds", overlap, 0, OVERLAP)?;
    let old = api.0.accounts.key(&id).await?.filter(|key| key.account == caller.account);
    let old = old.ok_or_else(unknown)?;
    let purpose = if old.prefix.starts_with("sk_test_") { Purpose::Test } else { Purpose::Live };
    let key = Key::generate(purpose);
    let new = ApiKey { scopes: old.scopes, ..kept(&key, &api, &caller.account, old.name, None) };
    let created = add(&api, &key, new).await?;
    let expires = api.0.clock.now() + overlap;
    if overlap.is_zero() {
        revoke_now(&api, &caller.account, &id).await?;
    } else if old.expires_at.is_none_or(|already| already > expires) {
        api.0.accounts.expire_key(&caller.account, &id, expires).await?;
    }
    Ok(created)
}

/// Revoke an API key
///
/// It and its tokens are void at once, and its agents are disconnected.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "keys", params(("id" = String, Path, description = "The key's id")),
    responses((status = 204), Problem),
)]
pub(crate) async fn revoke(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode> {
    if caller.key != id {
        caller.whole_account()?;
    }
    revoke_now(&api, &caller.account, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke_now(api: &State, account: &str, id: &str) -> Result<()> {
    if !api.0.accounts.revoke_key(account, id).await? {
        return Err(unknown());
    }
    let subject = Revoked::Key(id.to_owned());
    api.0.accounts.revoke(Revocation { subject, at: api.0.clock.now() }).await?;
    Ok(())
}

/// Makes what is kept of a key.
pub(super) fn kept(key: &Key, api: &State, account: &str, name: String, life: Option<Duration>) -> ApiKey {
    let now = api.0.clock.now();
    ApiKey {
        id: key.id().to_owned(),
        account: account.to_owned(),
        prefix: key.prefix().to_owned(),
        name,
        digest: key.digest(&api.0.pepper),
        scopes: None,
        created_at: now,
        expires_at: life.map(|life| now + life),
        last_used_at: None,
    }
}

async fn add(api: &State, key: &Key, kept: ApiKey) -> Result<Body<CreatedKey>> {
    let created = CreatedKey {
        id: kept.id.clone(),
        key_prefix: kept.prefix.clone(),
        name: kept.name.clone(),
        key: key.expose().to_owned(),
        expires_at: kept.expires_at.map(rfc3339::text),
    };
    match api.0.accounts.add_key(kept).await? {
        true => Ok(Body(created)),
        false => Err(Problem::not_found("the account is closed")),
    }
}

fn to_stored(scopes: Vec<Object<Scope>>) -> Result<String> {
    if scopes.len() > SCOPES {
        return Err(Problem::bad_request(format!("a key has at most {SCOPES} scopes")));
    }
    let scopes: Vec<Scope> = scopes.into_iter().map(|scope| scope.0).collect();
    let written = serde_json::to_string(&scopes).map_err(|_| Problem::internal())?;
    let grants: Vec<Grant> = serde_json::from_str(&written)
        .map_err(|error| Problem::bad_request(format!("scopes cannot be read: {error}")))?;
    serde_json::to_string(&grants).map_err(|_| Problem::internal())
}

fn within(what: &str, seconds: u64, least: u64, most: u64) -> Result<Duration> {
    match (least..=most).contains(&seconds) {
        true => Ok(Duration::from_secs(seconds)),
        false => Err(Problem::bad_request(format!("{what} is {least} to {most}"))),
    }
}

fn unknown() -> Problem {
    Problem::not_found("the account has no such key, or it was revoked already")
}

impl TryFrom<ApiKey> for KeyView {
    type Error = Problem;

    fn try_from(key: ApiKey) -> Result<Self> {
        let scopes = key.scopes.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            id: key.id,
            key_prefix: key.prefix,
            name: key.name,
            last_used_at: key.last_used_at.map(rfc3339::text),
            created_at: rfc3339::text(key.created_at),
            expires_at: key.expires_at.map(rfc3339::text),
            scopes: scopes.map_err(|_| Problem::internal())?,
        })
    }
}
