//! `/v1/key-packages`: key packages, by which others add an agent while it is offline.

use axum::extract;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skytale_core::{ChannelName, Verb};
use skytale_store::Role;
use utoipa::{IntoParams, ToSchema};

use super::channels::role;
use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Query, base64, channel, to_base64};
use crate::key_package::check_key_package;
use crate::state::State;

/// How many key packages of an agent are kept, and at how many more are asked for.
const STOCK: u32 = 100;
const LOW: u32 = 50;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Upload {
    /// The agent, whose name the account has registered.
    agent: String,
    /// Key packages for one use each, in base64.
    #[serde(default)]
    #[schema(max_items = 100)]
    key_packages: Vec<String>,
    /// A key package that is given when there is no other, in base64.
    last_resort: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfAgent {
    /// The agent.
    agent: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Stock {
    /// How many are left.
    left: u32,
    /// How many more the agent should leave; 0 while there are enough.
    wanted: u32,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Claim {
    /// The agent that is to be added.
    agent: String,
    /// The channel that it is to be added to, which the account has registered.
    channel: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Claimed {
    /// In base64. Nobody else is given it, unless it is the last resort.
    key_package: String,
    /// Whether others were, or will be, given the same one.
    last_resort: bool,
}

/// Leave key packages
///
/// Those that are held already are passed over, so that a request whose answer was lost can be repeated.
#[utoipa::path(
    post, path = "/v1/key-packages", operation_id = "upload_key_packages", tag = "key packages", request_body = Upload,
    responses((status = 200, body = Stock), Problem),
)]
pub(crate) async fn upload(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(upload): Body<Upload>,
) -> Result<Body<Stock>> {
    let agent = own(&api, &caller, &upload.agent).await?;
    let read = |text: &String| -> Result<Bytes> {
        let bytes = base64("a key package", text)?;
        check_key_package(&bytes, &agent.to_string())?;
        Ok(bytes)
    };
    let key_packages = upload.key_packages.iter().map(read).collect::<Result<Vec<_>>>()?;
    let last_resort = upload.last_resort.as_ref().map(read).transpose()?;
    let key_packages = api.0.directory.unheld_key_packages(&agent, key_packages).await?;
    let left = api.0.directory.count_key_packages(&agent).await?;
    if left as usize + key_packages.len() > STOCK as usize {
        let text = format!("{STOCK} key packages are kept for an agent; there are {left}");
        return Err(Problem::conflict(text));
    }
    let left = api.0.directory.add_key_packages(&agent, key_packages, last_resort).await?;
    Ok(Body(Stock { left, wanted: wanted(left) }))
}

/// Count the key packages that are left
#[utoipa::path(
    get, path = "/v1/key-packages", operation_id = "count_key_packages", tag = "key packages", params(OfAgent),
    responses((status = 200, body = Stock), Problem),
)]
pub(crate) async fn count(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Query(of): Query<OfAgent>,
) -> Result<Body<Stock>> {
    let agent = own(&api, &caller, &of.agent).await?;
    let left = api.0.directory.count_key_packages(&agent).await?;
    Ok(Body(Stock { left, wanted: wanted(left) }))
}

/// Claim an agent's key package
///
/// Each is given once. An agent of another account has to be a member of the channel.
#[utoipa::path(
    post, path = "/v1/key-packages/claim", operation_id = "claim_key_package", tag = "key packages", request_body = Claim,
    responses((status = 200, body = Claimed), Problem),
)]
pub(crate) async fn claim(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(claim): Body<Claim>,
) -> Result<Body<Claimed>> {
    let (agent, room) = (channel(&claim.agent)?, channel(&claim.channel)?);
    if role(&api, &caller, Verb::Commit, &room).await? != Role::Owner {
        return Err(Problem::forbidden("only the account that registered the channel adds agents to it"));
    }
    let none = || Problem::not_found(format!("{agent} has left no key package that you may claim"));
    let entry = api.0.channels.channel(&agent).await?.ok_or_else(none)?;
    api.0.channels.role(&room, &entry.owner).await?.ok_or_else(none)?;
    api.0.limits.claims_per_account.check(&(caller.account, agent.components()))?;
    api.0.limits.claims_per_agent.check(&agent.components())?;
    let claimed = api.0.directory.claim_key_package(&agent).await?.ok_or_else(none)?;
    let (key_package, last_resort) = (to_base64(&claimed.key_package), claimed.is_last_resort);
    Ok(Body(Claimed { key_package, last_resort }))
}

/// Reads the name of an agent that the account has registered.
async fn own(api: &State, caller: &Caller, text: &str) -> Result<ChannelName> {
    let agent = channel(text)?;
    match role(api, caller, Verb::Subscribe, &agent).await? {
        Role::Owner => Ok(agent),
        Role::Member => Err(Problem::forbidden(format!("{agent} is no agent of this account"))),
    }
}

fn wanted(left: u32) -> u32 {
    if left <= LOW { STOCK - left } else { 0 }
}
