//! `/v1/channels`: registered channels, their members and invites.

use std::time::Duration;

use axum::extract;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use skytale_core::{ChannelName, Verb};
use skytale_store::{ChannelEntry, Invite, Member, Revocation, Revoked, Role};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Query, channel};
use crate::state::State;
use crate::{invite, rfc3339};

/// The most entries of one page.
const PAGE: u32 = 100;

/// How long an invite is valid, and how often it may be used, at most.
const LONGEST: u64 = 30 * 86_400;
const MOST_USES: u32 = 10_000;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewChannel {
    /// The name, `organisation/team/room`. An agent's own name is registered in the same way.
    #[schema(example = "acme/support/tickets", max_length = 194)]
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelView {
    #[schema(format = Uuid)]
    id: String,
    name: String,
    role: RoleView,
}

/// What the account is to a channel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RoleView {
    /// It registered the channel.
    Owner,
    /// It was invited.
    Member,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Continues after this name.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ChannelPage {
    channels: Vec<ChannelView>,
    /// What to continue after; null at the end.
    next: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfChannel {
    /// The channel.
    channel: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfMember {
    /// The channel.
    channel: String,
    /// The account.
    account_id: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MemberView {
    account_id: String,
    role: RoleView,
    #[schema(format = DateTime)]
    since: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Members {
    members: Vec<MemberView>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewInvite {
    /// The channel.
    channel: String,
    /// How often it may be used.
    #[schema(default = 1, minimum = 1, maximum = 10000)]
    max_uses: Option<u32>,
    /// After how many seconds it expires; a day if it is left out.
    #[schema(default = 86400, minimum = 1, maximum = 2592000)]
    ttl_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InviteView {
    /// What lets its bearer in. It is shown this once.
    #[schema(example = "skt_inv_...")]
    token: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Register a channel
///
/// It belongs to the account that registers it first; a repetition changes nothing.
#[utoipa::path(
    post, path = "/v1/channels", operation_id = "register_channel", tag = "channels", request_body = NewChannel,
    responses((status = 200, body = ChannelView), Problem),
)]
pub(crate) async fn register(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(new): Body<NewChannel>,
) -> Result<Body<ChannelView>> {
    let name = channel(&new.name)?;
    caller.scope(Verb::Commit, &name)?;
    let entry = ChannelEntry {
        id: Uuid::new_v4().to_string(),
        name: name.clone(),
        owner: caller.account.clone(),
        created_at: api.0.clock.now(),
    };
    let stands = api.0.channels.register_channel(entry).await?;
    match api.0.channels.role(&name, &caller.account).await? {
        Some(role) => Ok(Body(ChannelView::new(stands, role))),
        None => Err(Problem::conflict(format!("{name} is taken: choose another name, or ask for an invite"))),
    }
}

/// List the account's channels
#[utoipa::path(
    get, path = "/v1/channels", operation_id = "list_channels", tag = "channels", params(Page),
    responses((status = 200, body = ChannelPage), Problem),
)]
pub(crate) async fn list(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Body<ChannelPage>> {
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {PAGE}")));
    }
    let after = page.after.unwrap_or_default();
    let mut listed = api.0.channels.channels_of(&caller.account, &after, limit + 1).await?;
    let more = listed.len() > limit as usize;
    listed.truncate(limit as usize);
    let next = listed.last().filter(|_| more).map(|(entry, _)| entry.name.to_string());
    let channels = listed.into_iter().map(|(entry, role)| ChannelView::new(entry, role)).collect();
    Ok(Body(ChannelPage { channels, next }))
}

/// List the accounts of a channel
#[utoipa::path(
    get, path = "/v1/channels/members", operation_id = "list_channel_members", tag = "channels", params(OfChannel),
    responses((status = 200, body = Members), Problem),
)]
pub(crate) async fn members(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Query(of): Query<OfChannel>,
) -> Result<Body<Members>> {
    let name = channel(&of.channel)?;
    role(&api, &caller, Verb::Subscribe, &name).await?;
    let members = api.0.channels.members(&name).await?;
    Ok(Body(Members { members: members.into_iter().map(MemberView::from).collect() }))
}

/// End an account's membership
///
/// The owner ends anybody's, others their own. The account's agents are disconnected; remove them from the group, too.
#[utoipa::path(
    delete, path = "/v1/channels/members", operation_id = "remove_channel_member", tag = "channels", params(OfMember),
    responses((status = 204), Problem),
)]
pub(crate) async fn remove_member(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Query(of): Query<OfMember>,
) -> Result<StatusCode> {
    let name = channel(&of.channel)?;
    let role = role(&api, &caller, Verb::Commit, &name).await?;
    let may = role == Role::Owner || of.account_id == caller.account;
    if !may || !api.0.channels.remove_member(&name, &of.account_id).await? {
        return Err(Problem::not_found("the channel has no such member that you may remove"));
    }
    let subject = Revoked::Account(of.account_id);
    api.0.accounts.revoke(Revocation { subject, at: api.0.clock.now() }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Invite to a channel
///
/// Whoever has the invite's token can ask to join. Only the channel's owner invites.
#[utoipa::path(
    post, path = "/v1/channels/invites", operation_id = "create_invite", tag = "channels", request_body = NewInvite,
    responses((status = 200, body = InviteView), Problem),
)]
pub(crate) async fn invite(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(new): Body<NewInvite>,
) -> Result<Body<InviteView>> {
    let name = channel(&new.channel)?;
    if role(&api, &caller, Verb::Commit, &name).await? != Role::Owner {
        return Err(Problem::forbidden("only the account that registered the channel invites to it"));
    }
    let (uses, ttl) = (new.max_uses.unwrap_or(1), new.ttl_seconds.unwrap_or(86_400));
    if !(1..=MOST_USES).contains(&uses) || !(1..=LONGEST).contains(&ttl) {
        let text = format!("max_uses is 1 to {MOST_USES}, ttl_seconds 1 to {LONGEST}");
        return Err(Problem::bad_request(text));
    }
    let token = invite::generate();
    let digest = invite::digest(&token).ok_or_else(Problem::internal)?;
    let expires_at = api.0.clock.now() + Duration::from_secs(ttl);
    api.0.channels.add_invite(Invite { digest, channel: name, uses, expires_at }).await?;
    Ok(Body(InviteView { token, expires_at: rfc3339::text(expires_at) }))
}

/// Returns what the caller is to a channel; an unknown channel looks as one of somebody else.
pub(super) async fn role(api: &State, caller: &Caller, verb: Verb, name: &ChannelName) -> Result<Role> {
    caller.scope(verb, name)?;
    let role = api.0.channels.role(name, &caller.account).await?;
    role.ok_or_else(|| Problem::not_found(format!("the account has no channel {name}")))
}

impl ChannelView {
    fn new(entry: ChannelEntry, role: Role) -> Self {
        Self { id: entry.id, name: entry.name.to_string(), role: role.into() }
    }
}

impl From<Role> for RoleView {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Member => Self::Member,
        }
    }
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self { account_id: member.account, role: member.role.into(), since: rfc3339::text(member.since) }
    }
}
