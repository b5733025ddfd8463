//! What the command line says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Talk on end-to-end-encrypted channels, and manage the account that they belong to.
///
/// `signup` makes an account and keeps its API key in a file that only you can read; `login` uses a key that exists.
/// Everything after that needs no further settings.
#[derive(Debug, Parser)]
#[command(name = "skytale", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Where the credentials and the agent's keys are kept [default: ~/.skytale]
    #[arg(long, global = true, env = "SKYTALE_HOME", value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  skytale signup --email ada@example.org --agent acme/agents/ada
  skytale channel create acme/team/plans
  skytale channel invite acme/team/plans           print an invite for one agent
  skytale receive acme/team/plans                  print what is said, and let in who was invited
  skytale channel join acme/team/plans skt_inv_... join, from another account
  skytale send acme/team/plans 'hello'             say something
  skytale keys revoke ID                           cut off whoever uses a key";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account, and keep its first API key
    Signup(Signup),
    /// Use an API key that exists
    Login(Login),
    /// Show, rename or close the account
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Manage API keys
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Print a token for a relay, and nothing else
    Token,
    /// Show what was used in a month
    Usage {
        /// The month, like 2026-02 [default: this one]
        #[arg(long)]
        month: Option<String>,
    },
    /// Make channels, invite to them, join them
    Channel {
        #[command(subcommand)]
        command: ChannelCommand,
    },
    /// Say something on a channel, and print its number
    Send(Send),
    /// Print what happens on a channel, and let in who was invited
    Receive(Receive),
}

/// Where to connect, and as whom.
#[derive(Debug, Args)]
pub struct Place {
    /// The API server
    #[arg(long, default_value = "http://127.0.0.1:8443", value_name = "URL")]
    pub api: String,
    /// The relay
    #[arg(long, default_value = "quic://127.0.0.1:4433", value_name = "URL")]
    pub relay: String,
    /// A PEM file with the certificates to trust, such as the server's data/quic_cert.pem [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// The agent's name, like acme/agents/ada
    #[arg(long, value_name = "NAME")]
    pub agent: String,
}

#[derive(Debug, Args)]
pub struct Signup {
    /// Where you are reached
    #[arg(long)]
    pub email: String,
    /// What the account is called (default: the address before the @)
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Login {
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Show the account
    Show,
    /// Rename it
    Rename {
        /// The new name
        name: String,
    },
    /// Close it: its keys and tokens are void at once
    Close {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys
    List,
    /// Make a key, and print it this once
    Create {
        /// What it is called
        #[arg(long)]
        name: Option<String>,
        /// What it is limited to, like 'acme/team/*=publish,subscribe'; may be repeated
        #[arg(long = "scope", value_name = "PATTERN=VERBS")]
        scopes: Vec<String>,
        /// After how many seconds it expires [default: never]
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
    },
    /// Replace a key; the old one goes on to work for a while
    Rotate {
        /// The key's id
        id: String,
        /// How many seconds the old one works
        #[arg(long, default_value_t = 0, value_name = "SECONDS")]
        overlap: u64,
    },
    /// Revoke a key: whoever uses it is cut off
    Revoke {
        /// The key's id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Make a channel, with this agent as its only member
    Create {
        /// Its name, like acme/team/plans
        name: String,
    },
    /// List the account's channels
    List,
    /// Print an invite; it lets in while somebody receives on the channel
    Invite {
        /// The channel
        name: String,
        /// How many agents it lets in
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// For how many seconds
        #[arg(long, default_value_t = 86_400, value_name = "SECONDS")]
        ttl: u64,
    },
    /// Join a channel by an invite; waits until a member has let this agent in
    Join {
        /// The channel
        name: String,
        /// The invite
        invite: String,
    },
    /// List the agents on a channel
    Members {
        /// The channel
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Send {
    /// The channel
    pub channel: String,
    /// What to say; without it, each line of standard input
    pub text: Option<String>,
}

#[derive(Debug, Args)]
pub struct Receive {
    /// The channel
    pub channel: String,
    /// End after so many messages [default: never]
    #[arg(long)]
    pub count: Option<u64>,
}
