//! What connections cost that do nothing.

use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use skytale_bench::process;

use crate::args::Node;
use crate::connection::Connection;
use crate::message::slim::name;
use crate::report::IdleReport;

/// How many connections are opened at the same time.
const OPENING: usize = 16;

/// Opens connections, each with one subscription, and reads the node's memory before and after.
pub async fn measure(node: &Node, connections: usize, hold: f64) -> anyhow::Result<IdleReport> {
    let before = node.pid.and_then(process::resident_kib);
    let opened = stream::iter(0..connections).map(|number| async move {
        let own = name(["skytale", "bench", &format!("idle-{number}")], number as u64 + 1);
        let mut connection = Connection::open(node).await?;
        connection.subscribe(&own, &own).await?;
        anyhow::Ok(connection)
    });
    let opened: Vec<_> =
        opened.buffer_unordered(OPENING).try_collect().await.context("an idle connection")?;
    tokio::time::sleep(Duration::from_secs_f64(hold)).await;
    let after = node.pid.and_then(process::resident_kib);
    let grown = after.zip(before).map(|(after, before)| after.saturating_sub(before) as f64);
    Ok(IdleReport {
        connections: opened.len(),
        kib_per_connection: grown.map(|kib| kib / opened.len() as f64),
    })
}
