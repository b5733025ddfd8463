//! The QUIC edge: the same frames and sessions as on gRPC, one session per stream.
//!
//! An agent opens a bidirectional stream for each channel, so that none waits for another. The first frame of a stream
//! presents the token; frames are length-delimited ([`skytale_core::frame`]).

pub(crate) mod config;
mod gate;
mod server;
mod stream;

pub use config::{ALPN, QuicConfigError, QuicLimits, server_config};
pub use server::serve;
