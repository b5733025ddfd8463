//! The policy by which the servers sync what they have acknowledged.

use std::time::Duration;

use async_nats::Client;
use futures::StreamExt;
use serde_json::Value;

use crate::error::{BoxError, Result, StoreError};

/// Where each server tells about its JetStream, to accounts that may ask.
const ASK: &str = "$SYS.REQ.SERVER.PING.JSZ";

const SILENT: &str =
    "the NATS servers did not tell in time whether they sync, or do not let this account ask";

/// How long the first server may take to answer.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How long further servers may take to answer.
const WAIT: Duration = Duration::from_millis(500);

/// Tells whether at least so many servers, and all that answer, sync before they acknowledge.
///
/// # Errors
///
/// [`StoreError::Unavailable`] where no server answers, not even that there is nobody to ask.
pub(crate) async fn is_always(client: &Client, servers: usize) -> Result<bool> {
    let answers = ask(client).await.map_err(StoreError::unavailable)?;
    Ok(answers.len() >= servers.max(1) && answers.iter().all(syncs_always))
}

fn syncs_always(answer: &Value) -> bool {
    answer.pointer("/data/config/sync_always").and_then(Value::as_bool) == Some(true)
}

/// Returns what servers with JetStream answer; nothing where the account may not ask.
async fn ask(client: &Client) -> Result<Vec<Value>, BoxError> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(ASK, inbox, "{}".into()).await?;
    let mut servers = Vec::new();
    let mut next = tokio::time::timeout(FIRST_WAIT, answers.next()).await.map_err(|_| SILENT)?;
    while let Some(answer) = next {
        if answer.status.is_some() {
            break;
        }
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        if answer.pointer("/data/disabled").and_then(Value::as_bool) != Some(true) {
            servers.push(answer);
        }
        next = tokio::time::timeout(WAIT, answers.next()).await.unwrap_or_default();
    }
    Ok(servers)
}
