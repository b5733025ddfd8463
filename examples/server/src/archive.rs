//! Listing what is archived.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use secrecy::ExposeSecret;
use serde_json::json;
use skytale_core::{ChannelName, Envelope, FrameLimits};
use skytale_store::{Head, Record, SqlOptions, SqlStore, Store};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::Archive;
use crate::config::{Config, ServerConfig};
use crate::storage;

/// Prints the channels, or the records of one or all.
pub async fn print(config: &Config, wanted: &Archive) -> Result<()> {
    let store = open(&config.server).await?;
    let mut channels: Vec<_> = store.channels().try_collect().await?;
    if let Some(name) = &wanted.channel {
        channels.retain(|(channel, _)| channel.to_string() == *name);
        if channels.is_empty() {
            bail!("the archive has no channel {name:?}; `skytale-server archive` lists the channels");
        }
    }
    match (wanted.json, &wanted.channel) {
        (false, None) => print_channels(&channels),
        (json, _) => print_records(&store, &channels, json).await?,
    }
    Ok(())
}

async fn open(config: &ServerConfig) -> Result<Arc<dyn Store>> {
    if let Some(servers) = &config.nats_url {
        return Ok(Arc::new(storage::connect_nats(config, servers.expose_secret()).await?));
    }
    match config.store.expose_secret() {
        "memory" => bail!("the memory store ends with its server; there is no archive to list"),
        "sqlite" => {
            let path = config.data_dir.join("skytale.db");
            let opened = SqlStore::open_sqlite_read_only(&path).await;
            Ok(Arc::new(opened.with_context(|| format!("there is no archive at {}", path.display()))?))
        }
        url => Ok(Arc::new(SqlStore::connect_postgres(url, SqlOptions::default()).await?)),
    }
}

fn print_channels(channels: &[(ChannelName, Head)]) {
    println!("{:>12}  {:>12}  CHANNEL", "FIRST", "LAST");
    for (channel, head) in channels {
        println!("{:>12}  {:>12}  {channel}", head.floor.next(), head.last);
    }
}

async fn print_records(store: &Arc<dyn Store>, channels: &[(ChannelName, Head)], json: bool) -> Result<()> {
    if !json {
        println!("{:>12}  {:<30}  {:<14}  {:<12}  {:>9}", "SEQUENCE", "TIME", "KIND", "DIALECT", "BYTES");
    }
    for (channel, head) in channels {
        let mut records = store.read(channel, head.floor);
        while let Some(record) = records.try_next().await? {
            print_record(channel, &record, json)?;
        }
    }
    Ok(())
}

fn print_record(channel: &ChannelName, record: &Record, as_json: bool) -> Result<()> {
    let time = OffsetDateTime::from(record.appended_at).format(&Rfc3339)?;
    let (sequence, bytes, kind) = (record.sequence.0, record.body.len(), kind(record));
    if as_json {
        let dialect = record.dialect.number();
        let channel = channel.to_string();
        println!(
            "{}",
            json!({"channel": channel, "sequence": sequence, "appended_at": time, "kind": kind, "dialect": dialect, "bytes": bytes})
        );
    } else {
        println!("{sequence:>12}  {time:<30}  {kind:<14}  {:<12}  {bytes:>9}", record.dialect.to_string());
    }
    Ok(())
}

fn kind(record: &Record) -> String {
    let envelope = Envelope::parse(record.body.clone(), record.dialect, &FrameLimits::default());
    let kind = envelope.ok().and_then(|envelope| envelope.publish().map(|publish| publish.session.kind));
    kind.map_or_else(|| "unreadable".to_owned(), |kind| kind.to_string())
}
