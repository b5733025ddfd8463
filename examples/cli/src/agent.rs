//! The agent, with the account's key.

use anyhow::{Context, Result};
use skytale_client::{Client, Credentials, StateStore};

use crate::home::Home;

/// Starts the agent whose state is in the home directory.
pub async fn start(home: &Home) -> Result<Client> {
    let kept = home.load()?;
    let mut builder = Client::builder(kept.agent.as_str(), kept.relay.as_str())
        .with_credentials(Credentials::api_key(kept.api.as_str(), kept.api_key.as_str()))
        .with_state(StateStore::directory(home.state()));
    if let Some(trust) = &kept.trust {
        let pem = std::fs::read(trust).with_context(|| format!("cannot read {}", trust.display()))?;
        builder = builder.with_trusted_certificates(&pem);
    }
    Ok(builder.start().await?)
}
