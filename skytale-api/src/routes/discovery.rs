//! Discovery: the public keys that tokens are checked with.

use axum::extract;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::Body;
use crate::state::State;

#[derive(Serialize, ToSchema)]
pub(crate) struct KeySet {
    /// JSON Web Keys (RFC 7517); none where tokens are signed with a shared secret.
    #[schema(value_type = Vec<Object>)]
    keys: Value,
}

/// List the public keys that tokens are checked with
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "get_key_set", tag = "tokens", security(()), responses((status = 200, body = KeySet)),
)]
pub(crate) async fn key_set(extract::State(api): extract::State<State>) -> Body<KeySet> {
    let mut set = api.0.issuer.key_set();
    Body(KeySet { keys: set["keys"].take() })
}
