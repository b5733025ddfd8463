//! A raw client of either dialect, and a relay to talk to, over a real socket.
#![allow(dead_code, unused_imports, reason = "every test file uses a part")]

mod agent;
pub mod engines;
mod heard;
mod mac;
mod mls;
mod raw;
mod running;
mod say;

use std::time::Duration;

pub use agent::Agent;
pub use heard::Heard;
pub use mac::Mac;
pub use mls::{commit, proposal};
pub use raw::Raw;
pub use running::Running;
pub use say::{Address, Content, Say, room};

/// How long a test waits for what must come, and listens for what must not.
pub const SOON: Duration = Duration::from_secs(10);
pub const NEVER: Duration = Duration::from_millis(300);
