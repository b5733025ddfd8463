//! `/v1/accounts`: accounts and their plans.

use axum::extract;
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use skytale_store::{Account, Revocation, Revoked};
use utoipa::ToSchema;
use uuid::Uuid;

use super::keys;
use crate::caller::{self, Caller};
use crate::error::{Problem, Result};
use crate::extract::{Body, text};
use crate::key::{Key, Purpose};
use crate::rfc3339;
use crate::state::State;

/// The plan that accounts begin with.
const FIRST_PLAN: &str = "free";

/// The longest e-mail address (RFC 5321) and name, in bytes.
const EMAIL: usize = 254;
const NAME: usize = 100;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewAccount {
    /// Where its owner is reached.
    #[schema(example = "ada@example.org", min_length = 3, max_length = 254)]
    email: String,
    /// What it is called; the part of the address before the @ if it is left out.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AccountView {
    #[schema(format = Uuid)]
    id: String,
    email: String,
    name: String,
    #[schema(example = "free")]
    plan_tier: String,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Created {
    account: AccountView,
    /// The account's first API key. It is shown this once.
    #[schema(example = "sk_live_3fG9...")]
    api_key: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Changes {
    /// What the account is to be called.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// Create an account
///
/// Returns its first API key, which is shown this once. An address may have several accounts, so that nobody learns
/// whether one has any.
#[utoipa::path(
    post, path = "/v1/accounts", operation_id = "create_account", tag = "accounts", request_body = NewAccount, security(()),
    responses((status = 200, body = Created), Problem),
)]
pub(crate) async fn create(
    extract::State(api): extract::State<State>,
    parts: Parts,
    Body(new): Body<NewAccount>,
) -> Result<Body<Created>> {
    api.0.limits.sign_ups.check(&caller::address(&parts))?;
    let email = email(&new.email)?;
    let name = match &new.name {
        Some(name) => text("name", name, NAME)?,
        None => email.split('@').next().unwrap_or_default().to_owned(),
    };
    let (id, created_at) = (Uuid::new_v4().to_string(), api.0.clock.now());
    let account = Account { id: id.clone(), email, name, plan: FIRST_PLAN.to_owned(), created_at };
    let key = Key::generate(Purpose::Live);
    let kept = keys::kept(&key, &api, &id, keys::DEFAULT_NAME.to_owned(), None);
    api.0.accounts.create_account(account.clone(), kept).await?;
    Ok(Body(Created { account: account.into(), api_key: key.expose().to_owned() }))
}

/// Show the account
#[utoipa::path(
    get, path = "/v1/accounts/me", operation_id = "get_account", tag = "accounts",
    responses((status = 200, body = AccountView), Problem),
)]
pub(crate) async fn show(
    extract::State(api): extract::State<State>,
    caller: Caller,
) -> Result<Body<AccountView>> {
    let account = api.0.accounts.account(&caller.account).await?;
    account.map(|account| Body(account.into())).ok_or_else(closed)
}

/// Rename the account
#[utoipa::path(
    patch, path = "/v1/accounts/me", operation_id = "rename_account", tag = "accounts", request_body = Changes,
    responses((status = 200, body = AccountView), Problem),
)]
pub(crate) async fn change(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(changes): Body<Changes>,
) -> Result<Body<AccountView>> {
    caller.whole_account()?;
    let name = text("name", &changes.name, NAME)?;
    api.0.accounts.rename_account(&caller.account, &name).await?;
    let account = api.0.accounts.account(&caller.account).await?;
    account.map(|account| Body(account.into())).ok_or_else(closed)
}

/// Close the account
///
/// Its keys and tokens are void at once, and its agents are disconnected. This cannot be undone.
#[utoipa::path(
    delete, path = "/v1/accounts/me", operation_id = "close_account", tag = "accounts",
    responses((status = 204), Problem),
)]
pub(crate) async fn close(extract::State(api): extract::State<State>, caller: Caller) -> Result<StatusCode> {
    caller.whole_account()?;
    api.0.accounts.close_account(&caller.account).await?;
    let subject = Revoked::Account(caller.account);
    api.0.accounts.revoke(Revocation { subject, at: api.0.clock.now() }).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        let Account { id, email, name, plan, created_at } = account;
        Self { id, email, name, plan_tier: plan, created_at: rfc3339::text(created_at) }
    }
}

fn closed() -> Problem {
    Problem::not_found("the account is closed")
}

/// Reads an e-mail address; only a message to it would tell whether it is one.
fn email(address: &str) -> Result<String> {
    let address = text("email", address, EMAIL)?;
    let looks_right = address
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !looks_right || address.contains(char::is_whitespace) {
        return Err(Problem::bad_request("email is an address like ada@example.org"));
    }
    Ok(address)
}
