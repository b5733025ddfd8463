//! The registry of agents in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::MemoryStore;
use crate::contract::agents::{Agent, AgentQuery, AgentRegistry};
use crate::error::Result;

/// Agents by DID, each with whether it is active.
#[derive(Debug, Default)]
pub(super) struct AgentTable(Mutex<BTreeMap<String, (Agent, bool)>>);

impl AgentTable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Agent, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AgentRegistry for MemoryStore {
    async fn put_agent(&self, mut agent: Agent) -> Result<bool> {
        let mut agents = self.agents.lock();
        if let Some((known, _)) = agents.get(&agent.did) {
            if known.account != agent.account {
                return Ok(false);
            }
            agent.created_at = known.created_at;
        }
        agents.insert(agent.did.clone(), (agent, true));
        Ok(true)
    }

    async fn agent(&self, did: &str) -> Result<Option<Agent>> {
        let agents = self.agents.lock();
        Ok(agents.get(did).filter(|(_, active)| *active).map(|(agent, _)| agent.clone()))
    }

    async fn agents(&self, wanted: AgentQuery) -> Result<Vec<Agent>> {
        let agents = self.agents.lock();
        let has = |agent: &Agent| {
            wanted.capability.as_ref().is_none_or(|capability| agent.capabilities.contains(capability))
                && wanted.did.as_ref().is_none_or(|did| *did == agent.did)
        };
        let found = agents.values().filter(|(agent, active)| *active && has(agent));
        let page = found.skip(wanted.offset as usize).take(wanted.limit as usize);
        Ok(page.map(|(agent, _)| agent.clone()).collect())
    }

    async fn deactivate_agent(&self, account: &str, did: &str) -> Result<bool> {
        let mut agents = self.agents.lock();
        let found = agents.get_mut(did).filter(|(agent, active)| *active && agent.account == account);
        Ok(found.map(|(_, active)| *active = false).is_some())
    }
}
