//! `/v1/channels/join`: join requests of invited agents, and their Welcomes.

use std::time::Duration;

use axum::extract;
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skytale_core::{ChannelName, Verb};
use skytale_store::{JoinRequest, NewJoinRequest};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::channels::role;
use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Query, Segment, base64, channel, text, to_base64};
use crate::key_package::check_key_package;
use crate::state::State;
use crate::{invite, rfc3339};

/// How long a request belongs to whoever was told of it.
const LEASE: Duration = Duration::from_secs(10);

/// The most requests of one answer, and seconds to wait for one.
const MOST: u32 = 32;
const LONGEST_WAIT: u64 = 60;

/// How often another server's requests are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// The longest name of an agent, and Welcome, in bytes.
const IDENTITY: usize = 256;
const WELCOME: usize = 1024 * 1024;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Join {
    /// The channel.
    channel: String,
    /// The invite's token.
    token: String,
    /// The agent's key package, in base64.
    key_package: String,
    /// The agent, as its key package's credential has it.
    #[schema(max_length = 256)]
    identity: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Joining {
    /// Under which the answer is fetched.
    request_id: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Pending {
    /// The channel.
    channel: String,
    /// How many seconds to wait for one.
    #[param(maximum = 60)]
    wait: Option<u64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wait {
    /// How many seconds to wait for the answer.
    #[param(maximum = 60)]
    wait: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RequestView {
    id: String,
    identity: String,
    /// In base64.
    key_package: String,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Requests {
    requests: Vec<RequestView>,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Answer {
    request_id: String,
    /// The Welcome, in base64; left out where it was left at the relay.
    welcome: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Answered {
    status: Status,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Outcome {
    status: Status,
    /// The Welcome, in base64, once the request is answered; left out where it waits at the relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    welcome: Option<String>,
}

/// How far a request is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nobody has answered.
    Pending,
    /// The Welcome is there.
    Completed,
}

/// Ask to join a channel
///
/// Uses the invite once, and makes the account a member. A repetition uses nothing, and returns the same request.
#[utoipa::path(
    post, path = "/v1/channels/join", operation_id = "request_to_join", tag = "joining", request_body = Join,
    responses((status = 200, body = Joining), Problem),
)]
pub(crate) async fn join(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(join): Body<Join>,
) -> Result<Body<Joining>> {
    let name = channel(&join.channel)?;
    caller.scope(Verb::Subscribe, &name)?;
    let identity = text("identity", &join.identity, IDENTITY)?;
    refuse_borrowed(&api, &caller, &identity).await?;
    let key_package = base64("key_package", &join.key_package)?;
    check_key_package(&key_package, &identity)?;
    let refused =
        || Problem::not_found("the invite is not for this channel, or it is used up, or it has expired");
    let invite = invite::digest(&join.token).ok_or_else(refused)?;
    let id = request_id(&invite, &name, &caller.account, &key_package);
    let account = caller.account;
    let at = api.0.clock.now();
    let request =
        NewJoinRequest { id: id.clone(), channel: name, invite, account, identity, key_package, at };
    if !api.0.channels.join(request).await? {
        return Err(refused());
    }
    api.0.joins.notify_waiters();
    Ok(Body(Joining { request_id: id }))
}

/// Fetch who asks to join
///
/// A request is told to one caller at a time: it comes again after 10 seconds, unless it was answered or refused.
#[utoipa::path(
    get, path = "/v1/channels/pending", operation_id = "list_join_requests", tag = "joining", params(Pending),
    responses((status = 200, body = Requests), Problem),
)]
pub(crate) async fn pending(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Query(pending): Query<Pending>,
) -> Result<Body<Requests>> {
    let name = channel(&pending.channel)?;
    role(&api, &caller, Verb::Commit, &name).await?;
    let until = Instant::now() + wait(pending.wait)?;
    loop {
        let told = api.0.joins.notified();
        let now = api.0.clock.now();
        let requests = api.0.channels.lease_requests(&name, now, now + LEASE, MOST).await?;
        if !requests.is_empty() || Instant::now() >= until {
            return Ok(Body(Requests { requests: requests.into_iter().map(RequestView::from).collect() }));
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK)) => {}
        }
    }
}

/// Answer a request with a Welcome
///
/// The first answer stands; the same one again changes nothing.
#[utoipa::path(
    post, path = "/v1/channels/welcome", operation_id = "answer_join_request", tag = "joining", request_body = Answer,
    responses((status = 200, body = Answered), Problem),
)]
pub(crate) async fn answer(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(answer): Body<Answer>,
) -> Result<Body<Answered>> {
    let welcome = answer.welcome.as_ref().map(|welcome| base64("welcome", welcome)).transpose()?;
    if welcome.as_ref().is_some_and(|welcome| welcome.is_empty() || welcome.len() > WELCOME) {
        return Err(Problem::bad_request(format!("a Welcome has 1 to {WELCOME} bytes")));
    }
    // Kept as no bytes where it is at the relay.
    let welcome = welcome.unwrap_or_default();
    let request = of_member(&api, &caller, &answer.request_id).await?;
    let stands = api.0.channels.answer_request(&request.id, welcome.clone()).await?;
    api.0.joins.notify_waiters();
    match stands {
        Some(stands) if stands == welcome => Ok(Body(Answered { status: Status::Completed })),
        Some(_) => Err(Problem::conflict("the request was answered with another Welcome: drop yours")),
        None => Err(unknown()),
    }
}

/// Fetch the answer to a request
#[utoipa::path(
    get, path = "/v1/channels/welcome/{id}", operation_id = "get_join_answer", tag = "joining",
    params(("id" = String, Path, description = "The request's id"), Wait),
    responses((status = 200, body = Outcome), Problem),
)]
pub(crate) async fn welcome(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(id): Segment,
    Query(query): Query<Wait>,
) -> Result<Body<Outcome>> {
    let until = Instant::now() + wait(query.wait)?;
    loop {
        let told = api.0.joins.notified();
        let request = api.0.channels.request(&id).await?;
        let request = request.filter(|request| request.account == caller.account).ok_or_else(unknown)?;
        if let Some(welcome) = request.welcome {
            let welcome = Some(welcome).filter(|welcome| !welcome.is_empty());
            let welcome = welcome.map(|welcome| to_base64(&welcome));
            return Ok(Body(Outcome { status: Status::Completed, welcome }));
        }
        if Instant::now() >= until {
            return Ok(Body(Outcome { status: Status::Pending, welcome: None }));
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK)) => {}
        }
    }
}

/// Refuse a request, or take it back
#[utoipa::path(
    delete, path = "/v1/channels/requests/{id}", operation_id = "refuse_join_request", tag = "joining",
    params(("id" = String, Path, description = "The request's id")),
    responses((status = 204), Problem),
)]
pub(crate) async fn refuse(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(id): Segment,
) -> Result<StatusCode> {
    let own = api.0.channels.request(&id).await?.is_some_and(|request| request.account == caller.account);
    if !own {
        of_member(&api, &caller, &id).await?;
    }
    api.0.channels.drop_request(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns a request to a channel that the caller may answer for; any other looks unknown.
async fn of_member(api: &State, caller: &Caller, id: &str) -> Result<JoinRequest> {
    let request = api.0.channels.request(id).await?.ok_or_else(unknown)?;
    let role = role(api, caller, Verb::Commit, &request.channel).await;
    role.map(|_| request).map_err(|_| unknown())
}

/// Refuses an agent's name that another account has registered.
async fn refuse_borrowed(api: &State, caller: &Caller, identity: &str) -> Result<()> {
    let Ok(name) = ChannelName::parse(identity) else { return Ok(()) };
    match api.0.channels.channel(&name).await? {
        Some(entry) if entry.owner != caller.account => {
            Err(Problem::forbidden(format!("{name} is the name of another account's agent")))
        }
        _ => Ok(()),
    }
}

/// Makes the id of a request: the same one for the same request.
fn request_id(invite: &[u8; 32], channel: &ChannelName, account: &str, key_package: &Bytes) -> String {
    let mut hash = Sha256::new();
    hash.update(invite);
    channel.components().iter().for_each(|component| hash.update(component.to_be_bytes()));
    hash.update((account.len() as u64).to_be_bytes());
    hash.update(account);
    hash.update(key_package);
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(id).to_string()
}

fn wait(seconds: Option<u64>) -> Result<Duration> {
    let seconds = seconds.unwrap_or(0);
    match seconds <= LONGEST_WAIT {
        true => Ok(Duration::from_secs(seconds)),
        false => Err(Problem::bad_request(format!("wait is at most {LONGEST_WAIT}"))),
    }
}

fn unknown() -> Problem {
    Problem::not_found("there is no such request")
}

impl From<JoinRequest> for RequestView {
    fn from(request: JoinRequest) -> Self {
        Self {
            id: request.id,
            identity: request.identity,
            key_package: to_base64(&request.key_package),
            created_at: rfc3339::text(request.created_at),
        }
    }
}
