//! API keys.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::api::Api;
use crate::cli::KeysCommand;
use crate::home::Home;
use crate::output::{Output, field, table};

pub async fn run(home: &Home, out: Output, command: KeysCommand) -> Result<()> {
    let api = Api::with(&home.load()?);
    match command {
        KeysCommand::List => {
            let keys = api.get("/v1/keys").await?;
            out.print(&keys, |keys| table(&keys["keys"], &["id", "key_prefix", "name", "last_used_at"]));
        }
        KeysCommand::Create { name, scopes, ttl } => {
            let scopes = scopes.iter().map(|scope| read_scope(scope)).collect::<Result<Vec<_>>>()?;
            let scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
            let body = json!({ "name": name, "scopes": scopes, "ttl_seconds": ttl });
            out.print(&api.post("/v1/keys", &body).await?, |key| field(key, "key").to_owned());
        }
        KeysCommand::Rotate { id, overlap } => {
            let body = json!({ "overlap_seconds": overlap });
            let key = api.post(&format!("/v1/keys/{id}/rotate"), &body).await?;
            out.print(&key, |key| field(key, "key").to_owned());
        }
        KeysCommand::Revoke { id } => {
            api.delete(&format!("/v1/keys/{id}")).await?;
            out.print(&json!({ "id": id, "status": "revoked" }), |_| format!("{id} is revoked"));
        }
    }
    Ok(())
}

fn read_scope(text: &str) -> Result<Value> {
    let (channels, verbs) =
        text.split_once('=').context("a scope is like 'acme/team/*=publish,subscribe'")?;
    Ok(json!({ "channels": channels, "verbs": verbs.split(',').collect::<Vec<_>>() }))
}
