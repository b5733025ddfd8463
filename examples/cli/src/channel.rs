//! Channels: made, listed, invited to, joined.

use anyhow::Result;
use serde_json::{Value, json};

use crate::agent;
use crate::api::Api;
use crate::cli::ChannelCommand;
use crate::home::Home;
use crate::output::{Output, field, table};

pub async fn run(home: &Home, out: Output, command: ChannelCommand) -> Result<()> {
    match command {
        ChannelCommand::Create { name } => create(home, out, &name).await,
        ChannelCommand::List => list(home, out).await,
        ChannelCommand::Invite { name, uses, ttl } => {
            let body = json!({ "channel": name, "max_uses": uses, "ttl_seconds": ttl });
            let invite = Api::with(&home.load()?).post("/v1/channels/invites", &body).await?;
            out.print(&invite, |invite| field(invite, "token").to_owned());
            Ok(())
        }
        ChannelCommand::Join { name, invite } => join(home, out, &name, &invite).await,
        ChannelCommand::Members { name } => members(home, out, &name).await,
    }
}

async fn create(home: &Home, out: Output, name: &str) -> Result<()> {
    let client = agent::start(home).await?;
    let channel = client.create_channel(name).await?;
    out.print(&json!({ "name": name, "epoch": channel.epoch() }), |_| format!("{name} is there"));
    client.close().await;
    Ok(())
}

async fn list(home: &Home, out: Output) -> Result<()> {
    let api = Api::with(&home.load()?);
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let query: String = url::form_urlencoded::byte_serialize(after.as_bytes()).collect();
        let page = api.get(&format!("/v1/channels?after={query}")).await?;
        all.extend(page["channels"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    out.print(&json!({ "channels": all }), |list| table(&list["channels"], &["name", "role"]));
    Ok(())
}

async fn join(home: &Home, out: Output, name: &str, invite: &str) -> Result<()> {
    let client = agent::start(home).await?;
    out.progress("waiting until a member lets this agent in (one that receives on the channel)");
    let channel = client.join(name, invite).await?;
    let members: Vec<Value> = channel.members().into_iter().map(|member| member.agent.into()).collect();
    out.print(&json!({ "name": name, "epoch": channel.epoch(), "members": members }), |joined| {
        let members = joined["members"].as_array().map_or(0, Vec::len);
        format!("joined {name}, with {members} members")
    });
    client.close().await;
    Ok(())
}

async fn members(home: &Home, out: Output, name: &str) -> Result<()> {
    let client = agent::start(home).await?;
    let members = client.open_channel(name).await?.members();
    let members: Vec<Value> = members
        .into_iter()
        .map(|member| json!({ "agent": member.agent, "leaf": member.leaf.to_string() }))
        .collect();
    out.print(&json!({ "members": members }), |list| table(&list["members"], &["agent"]));
    client.close().await;
    Ok(())
}
