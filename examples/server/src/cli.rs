//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use skytale_core::claims::ChannelPattern;

use crate::config::Flags;
use crate::span;

/// Relays end-to-end-encrypted messages between agents, archives them in order, and never sees a plaintext.
///
/// With no arguments everything is on: the archive in ./data, SLIM agents on 127.0.0.1:5000, native agents by QUIC on
/// 127.0.0.1:4433, health and metrics on 127.0.0.1:8443. Settings come from a TOML file, from the environment (SKYTALE_GRPC_LISTEN_ADDR and so on), and from
/// flags; each overrides the one before.
#[derive(Parser)]
#[command(name = "skytale-server", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The TOML file to read [default: skytale.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Settings that override the file and the environment.
    #[command(flatten)]
    pub flags: Flags,
}

const EXAMPLES: &str = "\
Examples:
  skytale-server                                     serve on this machine, archive in ./data
  skytale-server token --account alice --ttl 8h      print a token for an agent
  skytale-server token --channel 'org/team/*'        print one for some channels only
  skytale-server archive                             list the channels in the archive
  skytale-server archive --channel org/team/room     list a channel's records
  skytale-server --store postgres://… --relays several   one of several relays over one database
  skytale-server --allow-anonymous                   let agents in without a token (this machine only)";

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a development token, and nothing else, on standard output
    Token(Token),
    /// List what is archived; also while the server runs
    Archive(Archive),
    /// Print every setting with its flag, default and meaning, as a Markdown table
    Settings,
}

/// What the token is for.
#[derive(Debug, Args)]
pub struct Token {
    /// The account that the token speaks for
    #[arg(long, default_value = "dev")]
    pub account: String,
    /// The channels it permits, as org/team/room, org/team/*, org/**; may be repeated [default: all]
    #[arg(long = "channel", value_name = "PATTERN")]
    pub channels: Vec<ChannelPattern>,
    /// How long it is valid, like 15m, 1h or 7d
    #[arg(long, default_value = "1h", value_parser = span::parse)]
    pub ttl: Duration,
}

/// What to list.
#[derive(Debug, Args)]
pub struct Archive {
    /// The channel whose records to list; without it, the channels
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// One JSON object a line; without --channel the records of all channels
    #[arg(long)]
    pub json: bool,
}
