//! `/v1/tokens`: tokens that agents present to relays.

use axum::extract;
use http::StatusCode;
use serde::Serialize;
use skytale_core::Claims;
use skytale_store::{Day, Revocation, Revoked, Used};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Segment};
use crate::state::State;

#[derive(Serialize, ToSchema)]
pub(crate) struct Token {
    /// A JWT, to be sent to a relay as `authorization: Bearer`.
    token: String,
    /// When it expires, in seconds since 1970.
    expires_at: u64,
    /// Its id, by which it can be revoked.
    id: String,
}

/// Get a token
///
/// Exchanges an API key, or a token that has not expired, for a token. Send no body.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "create_token", tag = "tokens",
    responses((status = 200, body = Token), Problem),
)]
pub(crate) async fn create(
    extract::State(api): extract::State<State>,
    caller: Caller,
) -> Result<Body<Token>> {
    let account = api.0.accounts.account(&caller.account).await?;
    let account = account.ok_or_else(|| Problem::unauthorized("the account is closed"))?;
    let (issued, expires) = api.0.issuer.validity(api.0.clock.now());
    // An account can revoke the tokens whose ids begin with its own.
    let id = format!("{}.{}", account.id, Uuid::new_v4());
    let mut claims = Claims::new(account.id.as_str(), issued, expires)
        .with_plan(account.plan)
        .with_key(caller.key)
        .with_id(id.as_str());
    claims.grants = caller.scopes;
    let token = api.0.issuer.sign(&claims).ok_or_else(Problem::internal)?;
    let one = Used { tokens: 1, ..Used::default() };
    api.0.usage.count(&account.id, Day::of(api.0.clock.now()), one).await?;
    Ok(Body(Token { token, expires_at: expires, id }))
}

/// Revoke a token
///
/// It is void at once, and whoever is connected with it is disconnected.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens", params(("id" = String, Path, description = "The token's id")),
    responses((status = 204), Problem),
)]
pub(crate) async fn revoke(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode> {
    let own = id
        .split_once('.')
        .is_some_and(|(account, rest)| account == caller.account && Uuid::try_parse(rest).is_ok());
    if !own {
        return Err(Problem::not_found("the account has no such token"));
    }
    api.0.accounts.revoke(Revocation { subject: Revoked::Token(id), at: api.0.clock.now() }).await?;
    Ok(StatusCode::NO_CONTENT)
}
