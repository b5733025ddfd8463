//! The test kit of the workspace.
//!
//! Storage engines and certificates are there always; the feature `relay` adds relays over real sockets and agents of both
//! SLIM dialects, the feature `client` a relay for native agents.

#[cfg(feature = "client")]
pub mod edge;
#[cfg(feature = "relay")]
mod engine;
mod kept_port;
pub mod mls;
pub mod nats;
pub mod postgres;
#[cfg(feature = "relay")]
mod raw;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "relay")]
pub mod slim;
#[cfg(feature = "client")]
pub mod tokens;

use std::time::Duration;

#[cfg(feature = "relay")]
pub use engine::Engine;
pub use kept_port::KeptPort;
#[cfg(feature = "relay")]
pub use raw::Raw;
#[cfg(feature = "relay")]
pub use relay::RunningRelay;

/// How long a test waits for an event that must come.
pub const SOON: Duration = Duration::from_secs(10);

/// How long a test listens for an event that must not come.
pub const NEVER: Duration = Duration::from_millis(300);
