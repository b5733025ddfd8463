//! When the servers sync what they have acknowledged.

use std::time::Duration;

use async_nats::Client;
use futures::StreamExt;
use serde_json::Value;

/// Where each server tells about its JetStream, to accounts that may ask.
const ASK: &str = "$SYS.REQ.SERVER.PING.JSZ";

/// How long further servers may take to answer.
const WAIT: Duration = Duration::from_millis(500);

/// Tells whether at least so many servers, and all that answer, sync before they acknowledge.
pub(super) async fn is_always(client: &Client, servers: usize) -> bool {
    let answers = ask(client).await.unwrap_or_default();
    answers.len() >= servers.max(1) && answers.iter().all(syncs_always)
}

fn syncs_always(answer: &Value) -> bool {
    answer.pointer("/data/config/sync_always").and_then(Value::as_bool) == Some(true)
}

/// Returns what servers with JetStream answer; nothing where the account may not ask.
async fn ask(client: &Client) -> Result<Vec<Value>, async_nats::Error> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish_with_reply(ASK, inbox, "{}".into()).await?;
    let mut servers = Vec::new();
    while let Ok(Some(answer)) = tokio::time::timeout(WAIT, answers.next()).await {
        if answer.status.is_some() {
            break;
        }
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        if answer.pointer("/data/disabled").and_then(Value::as_bool) != Some(true) {
            servers.push(answer);
        }
    }
    Ok(servers)
}
