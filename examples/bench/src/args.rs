//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures a node that speaks SLIM's wire.
#[derive(Debug, Parser)]
pub struct Args {
    #[command(flatten)]
    pub node: Node,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub mode: Mode,
}

/// The node to measure.
#[derive(Clone, Debug, Parser)]
pub struct Node {
    /// Host and port of the node's endpoint; gRPC without TLS.
    #[arg(long)]
    pub endpoint: String,
    /// Connect as a SLIM agent on gRPC, or as a native agent on QUIC.
    #[arg(long, value_enum, default_value_t = Transport::Grpc)]
    pub transport: Transport,
    /// For QUIC: the relay's certificate, a PEM file.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Where subscribers connect instead, each to the next one: further nodes that act as one with it.
    #[arg(long)]
    pub subscribe_at: Vec<String>,
    /// A token, where the node wants one.
    #[arg(long)]
    pub token: Option<String>,
    /// The node's process, whose processor time and memory are reported.
    #[arg(long)]
    pub pid: Option<u32>,
}

/// The way to the node.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Transport {
    Grpc,
    Quic,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Mode {
    /// Keep a number of messages on the way: the next one is sent when one has reached every subscriber.
    Window {
        /// How many messages.
        #[arg(long, default_value_t = 256)]
        window: u64,
        #[command(flatten)]
        load: Load,
    },
    /// Send at a steady rate, whatever becomes of the messages; times count from when a message was due.
    Rate {
        /// Messages per second.
        #[arg(long, default_value_t = 2000.0)]
        rate: f64,
        #[command(flatten)]
        load: Load,
    },
    /// Let a NATS server, which the endpoint is then, carry the messages itself.
    Nats {
        /// How many messages are on the way.
        #[arg(long, default_value_t = 256)]
        window: u64,
        /// Keep them in a stream on so many servers, and count what was acknowledged.
        #[arg(long, value_name = "SERVERS")]
        kept: Option<usize>,
        #[command(flatten)]
        load: Load,
    },
    /// Open connections that do nothing but be there.
    Idle {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// Seconds to hold them before memory is read.
        #[arg(long, default_value_t = 3.0)]
        hold: f64,
    },
}

/// Who receives what, and for how long.
#[derive(Clone, Debug, Parser)]
pub struct Load {
    /// How many subscribers; with more than one every message goes to all of them.
    #[arg(long, default_value_t = 1)]
    pub subscribers: usize,
    /// How many further subscribers stop reading after they have subscribed.
    #[arg(long, default_value_t = 0)]
    pub stuck: usize,
    /// Over how many channels the messages are spread in turn; every subscriber is in all of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub channels: u32,
    /// The size of a payload, in bytes.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..))]
    pub bytes: u32,
    /// Seconds to measure.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before, which do not count.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Seconds to wait for late messages at the end.
    #[arg(long, default_value_t = 5.0)]
    pub drain: f64,
}

impl Node {
    /// Returns the node that a subscriber connects to.
    pub fn of_subscriber(&self, number: usize) -> Self {
        match self.subscribe_at.len() {
            0 => self.clone(),
            count => Self { endpoint: self.subscribe_at[number % count].clone(), ..self.clone() },
        }
    }
}
