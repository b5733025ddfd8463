//! The test kit of the workspace.
//!
//! Storage engines, hooked stores, certificates and tokens are there always. The feature `relay` adds relays over real sockets,
//! agents of both SLIM dialects and streams of native ones, the feature `client` a relay for clients that restarts or runs in
//! a process of its own, and the feature `mls` key packages.

#[cfg(feature = "relay")]
mod account_per_token;
#[cfg(feature = "relay")]
mod any_authenticator;
pub mod certificate;
mod clock;
#[cfg(feature = "client")]
pub mod edge;
#[cfg(feature = "relay")]
mod engine;
mod eventually;
pub mod hooked_store;
mod kept_port;
#[cfg(feature = "mls")]
mod key_package;
#[cfg(feature = "relay")]
mod meters;
pub mod mls;
pub mod nats;
pub mod postgres;
#[cfg(feature = "relay")]
pub mod quic;
#[cfg(feature = "relay")]
mod raw;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "client")]
mod relay_process;
#[cfg(feature = "relay")]
pub mod slim;
#[cfg(feature = "client")]
pub mod token_api;
pub mod tokens;

use std::time::Duration;

#[cfg(feature = "relay")]
pub use account_per_token::AccountPerToken;
#[cfg(feature = "relay")]
pub use any_authenticator::AnyAuthenticator;
pub use clock::TestClock;
#[cfg(feature = "relay")]
pub use engine::Engine;
pub use eventually::{eventually, obtain};
pub use hooked_store::HookedStore;
pub use kept_port::KeptPort;
#[cfg(feature = "mls")]
pub use key_package::{key_package, key_package_for};
#[cfg(feature = "relay")]
pub use meters::Meters;
#[cfg(feature = "relay")]
pub use raw::Raw;
#[cfg(feature = "relay")]
pub use relay::{RunningRelay, limited};
#[cfg(feature = "client")]
pub use relay_process::RelayProcess;

/// How long a test waits for an event that must come.
pub const SOON: Duration = Duration::from_secs(20);

/// How long a test listens for an event that must not come.
pub const NEVER: Duration = Duration::from_millis(300);
