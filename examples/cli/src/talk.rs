//! Saying and hearing.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use skytale_client::{Channel, Event};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::agent;
use crate::cli::{Receive, Send};
use crate::home::Home;
use crate::output::{Output, field};

pub async fn send(home: &Home, out: Output, wanted: Send) -> Result<()> {
    let client = agent::start(home).await?;
    let channel = client.open_channel(&wanted.channel).await?;
    match wanted.text {
        Some(text) => say(&channel, out, text).await?,
        None => {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Some(line) = lines.next_line().await? {
                say(&channel, out, line).await?;
            }
        }
    }
    client.close().await;
    Ok(())
}

async fn say(channel: &Channel, out: Output, text: String) -> Result<()> {
    let sequence = channel.send(text).await?;
    out.print(&json!({ "sequence": sequence }), |_| sequence.to_string());
    Ok(())
}

pub async fn receive(home: &Home, out: Output, wanted: Receive) -> Result<()> {
    let client = agent::start(home).await?;
    let channel = client.open_channel(&wanted.channel).await?;
    channel.auto_admit();
    let outcome = print_events(&channel, out, wanted.count).await;
    client.close().await;
    outcome
}

async fn print_events(channel: &Channel, out: Output, count: Option<u64>) -> Result<()> {
    let mut events = channel.events();
    let mut heard = 0;
    while count.is_none_or(|count| heard < count) {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(event) = event.transpose()? else { return Ok(()) };
        heard += u64::from(matches!(event, Event::Message(_)));
        print(out, &event);
        if let Event::TokenRefused { reason } = event {
            bail!("cut off: {reason}");
        }
    }
    // The last one was dealt with, too.
    let _ = tokio::time::timeout(Duration::ZERO, events.next()).await;
    Ok(())
}

fn print(out: Output, event: &Event) {
    out.print(&describe(event), |event| match field(event, "event") {
        "message" => format!("{} {}: {}", event["sequence"], field(event, "sender"), field(event, "text")),
        _ => format!("* {event}"),
    });
}

fn describe(event: &Event) -> Value {
    match event {
        Event::Message(message) => json!({
            "event": "message", "sequence": message.sequence, "sender": message.sender, "text": message.text(),
        }),
        Event::Joined { agent, sequence } => {
            json!({ "event": "joined", "agent": agent, "sequence": sequence })
        }
        Event::Left { agent, sequence } => json!({ "event": "left", "agent": agent, "sequence": sequence }),
        Event::Epoch { epoch, sequence } => json!({ "event": "epoch", "epoch": epoch, "sequence": sequence }),
        Event::Evicted { sequence } => json!({ "event": "evicted", "sequence": sequence }),
        Event::Gap { from, to } => json!({ "event": "gap", "from": from, "to": to }),
        Event::TokenRefused { reason } => json!({ "event": "unauthorized", "reason": reason }),
        Event::Disconnected => json!({ "event": "disconnected" }),
        Event::Reconnected => json!({ "event": "reconnected" }),
        other => json!({ "event": "other", "what": format!("{other:?}") }),
    }
}
