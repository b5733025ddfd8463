//! The registry of agents in a SQL database.

use async_trait::async_trait;
use sea_orm::{QueryResult, Value};

use crate::contract::agents::{Agent, AgentQuery, AgentRegistry};
use crate::error::Result;
use crate::sql::SqlStore;
use crate::sql::rows::{column, time_column};
use crate::sql::statements::millis;

/// Between and around the words of what an agent can do, which contain none.
const QUOTE: char = '"';

fn read(row: &QueryResult) -> Result<Agent> {
    let capabilities: String = column(row, "capabilities")?;
    Ok(Agent {
        did: column(row, "did")?,
        account: column(row, "account")?,
        display_name: column(row, "display_name")?,
        capabilities: capabilities.split(QUOTE).filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        endpoint: column(row, "endpoint")?,
        metadata: column(row, "metadata")?,
        created_at: time_column(row, "created_at")?,
        updated_at: time_column(row, "updated_at")?,
    })
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{QUOTE}{word}{QUOTE}")).collect()
}

#[async_trait]
impl AgentRegistry for SqlStore {
    async fn put_agent(&self, agent: Agent) -> Result<bool> {
        let sql = "INSERT INTO agents (did, account, display_name, capabilities, endpoint, metadata, created_at, \
                   updated_at, active) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1) ON CONFLICT (did) DO UPDATE SET \
                   display_name = $3, capabilities = $4, endpoint = $5, metadata = $6, updated_at = $8, active = 1 \
                   WHERE agents.account = $2";
        let values: [Value; 8] = [
            agent.did.into(),
            agent.account.into(),
            agent.display_name.into(),
            quoted(&agent.capabilities).into(),
            agent.endpoint.into(),
            agent.metadata.into(),
            millis(agent.created_at).into(),
            millis(agent.updated_at).into(),
        ];
        Ok(self.change(sql, values).await? > 0)
    }

    async fn agent(&self, did: &str) -> Result<Option<Agent>> {
        let sql = "SELECT * FROM agents WHERE did = $1 AND active = 1";
        self.query_one(sql, [did.into()]).await?.as_ref().map(read).transpose()
    }

    async fn agents(&self, wanted: AgentQuery) -> Result<Vec<Agent>> {
        let position = if self.statements.is_postgres() { "strpos" } else { "instr" };
        let sql = format!(
            "SELECT * FROM agents WHERE active = 1 AND ($1 = '' OR {position}(capabilities, $1) > 0) \
             AND ($2 = '' OR did = $2) ORDER BY did LIMIT $3 OFFSET $4"
        );
        let capability = wanted.capability.map(|word| quoted(&[word])).unwrap_or_default();
        let values: [Value; 4] = [
            capability.into(),
            wanted.did.unwrap_or_default().into(),
            i64::from(wanted.limit).into(),
            i64::from(wanted.offset).into(),
        ];
        self.query_all(&sql, values).await?.iter().map(read).collect()
    }

    async fn deactivate_agent(&self, account: &str, did: &str) -> Result<bool> {
        let sql = "UPDATE agents SET active = 0 WHERE did = $1 AND account = $2 AND active = 1";
        Ok(self.change(sql, [did.into(), account.into()]).await? > 0)
    }
}
