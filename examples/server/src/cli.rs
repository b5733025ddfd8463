//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use skytale_core::claims::ChannelPattern;

use crate::span;

/// Relays end-to-end-encrypted messages between agents, archives them in order, and never sees a plaintext.
///
/// With no arguments everything is on: the archive in ./data, SLIM agents on 127.0.0.1:5000, native agents by QUIC on
/// 127.0.0.1:4433, health and metrics on 127.0.0.1:8443. Settings come from a TOML file, from the environment (SKYTALE_GRPC_LISTEN_ADDR and so on), and from
/// flags; each overrides the one before.
#[derive(Debug, Parser)]
#[command(name = "skytale-server", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
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

/// Settings as flags.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// The TOML file to read [default: skytale.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the archive and the signing secret are kept [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where SLIM agents connect [default: 127.0.0.1:5000]
    #[arg(long, global = true, value_name = "ADDR")]
    pub grpc_listen_addr: Option<SocketAddr>,
    /// Where native agents connect by QUIC [default: 127.0.0.1:4433]
    #[arg(long, global = true, value_name = "ADDR")]
    pub quic_listen_addr: Option<SocketAddr>,
    /// Where health, readiness and metrics are served [default: 127.0.0.1:8443]
    #[arg(long, global = true, value_name = "ADDR")]
    pub health_listen_addr: Option<SocketAddr>,
    /// The archive: sqlite, memory, or postgres://... [default: sqlite]
    #[arg(long, global = true, value_name = "STORE")]
    pub store: Option<String>,
    /// What an archived message survives: disk (a power failure) or process (a crash) [default: disk]
    #[arg(long, global = true, value_name = "HOW")]
    pub durability: Option<String>,
    /// The messages in NATS JetStream, nats://host:4222[,...]; the rest stays in --store [default: no NATS]
    #[arg(long, global = true, value_name = "URL")]
    pub nats_url: Option<String>,
    /// On how many servers NATS keeps each message: 1, 3 or 5 [default: 1]
    #[arg(long, global = true, value_name = "COUNT")]
    pub nats_replicas: Option<usize>,
    /// Take a NATS that confirms messages before they are on its disks
    #[arg(long, global = true)]
    pub accept_relaxed_sync: bool,
    /// Whether other relays share the store: one or several [default: several with NATS, else one]
    #[arg(long, global = true, value_name = "COUNT")]
    pub relays: Option<String>,
    /// The certificate chain, PEM; needs --grpc-tls-key
    #[arg(long, global = true, value_name = "PEM")]
    pub grpc_tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM; needs --grpc-tls-cert
    #[arg(long, global = true, value_name = "PEM")]
    pub grpc_tls_key: Option<PathBuf>,
    /// What an agent that subscribes gets of the archive: off, since-last-delivery, or last:N [default: off]
    #[arg(long, global = true, value_name = "WHAT")]
    pub replay_on_subscribe: Option<String>,
    /// Let agents in that present no token
    #[arg(long, global = true)]
    pub allow_anonymous: bool,
    /// Listen beyond this machine although TLS or authentication is off
    #[arg(long, global = true)]
    pub insecure_listen: bool,
    /// Logs as text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a development token, and nothing else, on standard output
    Token(Token),
    /// List what is archived; also while the server runs
    Archive(Archive),
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
