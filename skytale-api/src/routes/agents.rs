//! `/v1/agents`: the registry of agents.

use axum::extract;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skytale_store::{Agent, AgentQuery};
use utoipa::{IntoParams, ToSchema};

use crate::caller::Caller;
use crate::error::{Problem, Result};
use crate::extract::{Body, Query, Segment, text};
use crate::rfc3339;
use crate::state::State;

/// The longest texts, in bytes, and the most of what an agent can do.
const DID: usize = 256;
const NAME: usize = 100;
const ENDPOINT: usize = 512;
const CAPABILITY: usize = 64;
const CAPABILITIES: usize = 64;
const METADATA: usize = 16 * 1024;

/// The most agents of one page, and to leave out.
const PAGE: u32 = 100;
const FURTHEST: u32 = 1_000_000;

#[derive(Deserialize, ToSchema)]
pub(crate) struct NewAgent {
    /// The agent's decentralised identifier (W3C DID).
    #[schema(example = "did:web:agents.example.org:ada", pattern = "^did:[a-z0-9]+:[A-Za-z0-9._:%-]+$")]
    did: String,
    #[serde(flatten)]
    details: Details,
}

/// What others learn of an agent.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Details {
    /// What it is called.
    #[schema(min_length = 1, max_length = 100)]
    display_name: Option<String>,
    /// What it can do.
    #[serde(default)]
    #[schema(max_items = 64, example = json!(["search", "translate"]))]
    capabilities: Option<Vec<String>>,
    /// Where it is reached, as a channel or a URL.
    #[schema(min_length = 1, max_length = 512)]
    endpoint: Option<String>,
    /// Whatever else.
    metadata: Option<Map<String, Value>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AgentView {
    did: String,
    account_id: String,
    display_name: Option<String>,
    capabilities: Vec<String>,
    endpoint: Option<String>,
    metadata: Option<Map<String, Value>>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only agents that can do this.
    capability: Option<String>,
    /// Only the agent with this DID.
    did: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u32>,
    /// How many to leave out first.
    #[param(maximum = 1000000)]
    offset: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AgentPage {
    agents: Vec<AgentView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Deactivated {
    #[schema(example = "deactivated")]
    status: &'static str,
}

/// Register an agent
#[utoipa::path(
    post, path = "/v1/agents", operation_id = "register_agent", tag = "agents", request_body = NewAgent,
    responses((status = 200, body = AgentView), Problem),
)]
pub(crate) async fn register(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Body(new): Body<NewAgent>,
) -> Result<Body<AgentView>> {
    caller.whole_account()?;
    put(&api, caller, new.did, new.details).await
}

/// List agents
#[utoipa::path(
    get, path = "/v1/agents", operation_id = "list_agents", tag = "agents", params(Wanted),
    responses((status = 200, body = AgentPage), Problem),
)]
pub(crate) async fn list(
    extract::State(api): extract::State<State>,
    _caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Body<AgentPage>> {
    let (limit, offset) = (wanted.limit.unwrap_or(PAGE), wanted.offset.unwrap_or(0));
    if !(1..=PAGE).contains(&limit) || offset > FURTHEST {
        return Err(Problem::bad_request(format!("limit is 1 to {PAGE}, offset at most {FURTHEST}")));
    }
    let printable = |text: &String| !text.chars().any(char::is_control);
    let (capability, did) = (wanted.capability, wanted.did);
    if !capability.iter().chain(&did).all(printable) {
        return Err(Problem::bad_request("capability and did are without control characters"));
    }
    let agents = api.0.agents.agents(AgentQuery { capability, did, limit, offset }).await?;
    Ok(Body(AgentPage { agents: agents.into_iter().map(AgentView::from).collect() }))
}

/// Show an agent
#[utoipa::path(
    get, path = "/v1/agents/{did}", operation_id = "get_agent", tag = "agents", params(("did" = String, Path, description = "The agent's DID")),
    responses((status = 200, body = AgentView), Problem),
)]
pub(crate) async fn show(
    extract::State(api): extract::State<State>,
    _caller: Caller,
    Segment(did): Segment,
) -> Result<Body<AgentView>> {
    let agent = match did.contains('\0') {
        true => None,
        false => api.0.agents.agent(&did).await?,
    };
    agent.map(|agent| Body(agent.into())).ok_or_else(unknown)
}

/// Replace what is known of an agent
#[utoipa::path(
    put, path = "/v1/agents/{did}", operation_id = "replace_agent", tag = "agents", request_body = Details,
    params(("did" = String, Path, description = "The agent's DID")),
    responses((status = 200, body = AgentView), Problem),
)]
pub(crate) async fn replace(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(did): Segment,
    Body(details): Body<Details>,
) -> Result<Body<AgentView>> {
    caller.whole_account()?;
    let did = self::did(&did)?;
    let own = api.0.agents.agent(&did).await?.is_some_and(|agent| agent.account == caller.account);
    if !own {
        return Err(unknown());
    }
    put(&api, caller, did, details).await
}

/// Deactivate an agent
#[utoipa::path(
    delete, path = "/v1/agents/{did}", operation_id = "deactivate_agent", tag = "agents", params(("did" = String, Path, description = "The agent's DID")),
    responses((status = 200, body = Deactivated), Problem),
)]
pub(crate) async fn deactivate(
    extract::State(api): extract::State<State>,
    caller: Caller,
    Segment(did): Segment,
) -> Result<Body<Deactivated>> {
    caller.whole_account()?;
    let did = self::did(&did)?;
    match api.0.agents.deactivate_agent(&caller.account, &did).await? {
        true => Ok(Body(Deactivated { status: "deactivated" })),
        false => Err(unknown()),
    }
}

async fn put(api: &State, caller: Caller, did: String, details: Details) -> Result<Body<AgentView>> {
    let now = api.0.clock.now();
    let optional = |what, value: &Option<String>, most| {
        value.as_deref().map(|value| text(what, value, most)).transpose()
    };
    let agent = Agent {
        did: self::did(&did)?,
        account: caller.account,
        display_name: optional("display_name", &details.display_name, NAME)?,
        capabilities: capabilities(details.capabilities.unwrap_or_default())?,
        endpoint: optional("endpoint", &details.endpoint, ENDPOINT)?,
        metadata: details.metadata.map(metadata).transpose()?,
        created_at: now,
        updated_at: now,
    };
    let did = agent.did.clone();
    if !api.0.agents.put_agent(agent).await? {
        return Err(Problem::conflict("another account has registered this DID"));
    }
    let kept = api.0.agents.agent(&did).await?;
    kept.map(|agent| Body(agent.into())).ok_or_else(unknown)
}

fn did(text: &str) -> Result<String> {
    let wrong =
        || Problem::bad_request(format!("did is one like did:web:example.org, of at most {DID} bytes"));
    let (method, id) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
    let method_fits =
        !method.is_empty() && method.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let id_fits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:%-".contains(&b));
    (method_fits && id_fits && text.len() <= DID).then(|| text.to_owned()).ok_or_else(wrong)
}

fn capabilities(words: Vec<String>) -> Result<Vec<String>> {
    let fits = |word: &String| {
        let allowed = |c: char| !c.is_control() && c != '"';
        !word.is_empty() && word.len() <= CAPABILITY && word.chars().all(allowed)
    };
    if words.len() > CAPABILITIES || !words.iter().all(fits) {
        let text = format!(
            "capabilities are at most {CAPABILITIES} words of 1 to {CAPABILITY} bytes, without quotation marks"
        );
        return Err(Problem::bad_request(text));
    }
    Ok(words)
}

fn metadata(values: Map<String, Value>) -> Result<String> {
    let text = Value::Object(values).to_string();
    match text.len() <= METADATA && !text.contains("\\u0000") {
        true => Ok(text),
        false => {
            Err(Problem::bad_request(format!("metadata has at most {METADATA} bytes of JSON, without NUL")))
        }
    }
}

fn unknown() -> Problem {
    Problem::not_found("there is no such agent, or it is not yours to change")
}

impl From<Agent> for AgentView {
    fn from(agent: Agent) -> Self {
        Self {
            did: agent.did,
            account_id: agent.account,
            display_name: agent.display_name,
            capabilities: agent.capabilities,
            endpoint: agent.endpoint,
            metadata: agent.metadata.and_then(|text| serde_json::from_str(&text).ok()),
            created_at: rfc3339::text(agent.created_at),
            updated_at: rfc3339::text(agent.updated_at),
        }
    }
}
