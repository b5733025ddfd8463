//! Measures agents end to end: encrypted and stored by their sender, archived by a relay, decrypted and stored by the
//! others of their group.
//!
//! `agents --relay grpc://127.0.0.1:5000 --state DIRECTORY talk --members 50` is one agent that speaks to 49 others, all in
//! this process.

mod catch_up;
mod group;
mod report;
mod talk;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures agents of one process, end to end; prints JSON.
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    load: Load,
}

/// Where the agents are.
#[derive(Debug, Parser)]
struct Place {
    /// The relay's address, as agents write it: `grpc://127.0.0.1:5000`, `quic://localhost:4433`.
    #[arg(long)]
    relay: String,
    /// For QUIC: the relay's certificate, a PEM file.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// An empty directory for the agents' state.
    #[arg(long, value_name = "DIRECTORY")]
    state: PathBuf,
    /// The relay's process, whose processor time is reported.
    #[arg(long)]
    pid: Option<u32>,
    /// Tells the agents of this run from those of others at the same relay.
    #[arg(skip = rand::random::<u32>())]
    run: u32,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// One agent speaks; the next message is sent when one has been heard by every other.
    Talk(talk::Talk),
    /// An agent comes back after it has missed messages.
    CatchUp(catch_up::CatchUp),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let report = match &args.load {
        Load::Talk(talk) => talk.measure(&args.place).await?,
        Load::CatchUp(catch_up) => catch_up.measure(&args.place).await?,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
