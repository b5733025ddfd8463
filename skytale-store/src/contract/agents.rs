//! The registry of agents.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::error::Result;

/// Keeps who is there to be talked to.
#[async_trait]
pub trait AgentRegistry: fmt::Debug + Send + Sync + 'static {
    /// Adds or replaces an account's agent; `false`, and nothing changes, where another account has the DID.
    async fn put_agent(&self, agent: Agent) -> Result<bool>;

    /// Returns an agent that is active.
    async fn agent(&self, did: &str) -> Result<Option<Agent>>;

    /// Lists active agents by DID.
    async fn agents(&self, wanted: AgentQuery) -> Result<Vec<Agent>>;

    /// Deactivates an account's agent; `false` where it has none of that DID.
    async fn deactivate_agent(&self, account: &str, did: &str) -> Result<bool>;
}

/// An agent as others find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its decentralised identifier.
    pub did: String,
    /// Whose it is.
    pub account: String,
    /// What it is called.
    pub display_name: Option<String>,
    /// What it can do, in words without quotation marks.
    pub capabilities: Vec<String>,
    /// Where it is reached.
    pub endpoint: Option<String>,
    /// Whatever else, as JSON.
    pub metadata: Option<String>,
    /// When it was added, to the millisecond.
    pub created_at: SystemTime,
    /// When it was changed, to the millisecond.
    pub updated_at: SystemTime,
}

/// A filter for the list of agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentQuery {
    /// Only those that can do this.
    pub capability: Option<String>,
    /// Only the one with this DID.
    pub did: Option<String>,
    /// How many at most.
    pub limit: u32,
    /// How many to leave out first.
    pub offset: u32,
}
