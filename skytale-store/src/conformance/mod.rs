//! The contracts of this crate's traits as runnable checks, for any implementor.
//!
//! Each check uses channels and accounts of its own, so that all can run one after the other against one store, and
//! again. A check panics with the clause that does not hold.

mod accounts;
mod agents;
mod backplane;
mod channels;
mod directory;
mod log;
mod usage;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skytale_core::ChannelName;

pub use accounts::*;
pub use agents::*;
pub use backplane::*;
pub use channels::*;
pub use directory::*;
pub use log::*;
pub use usage::*;

use crate::contract::record::MessageId;

/// Makes a channel that no other check uses.
fn channel() -> ChannelName {
    ChannelName::from_strings(["conformance", "store", &unique("room")])
}

/// Makes a text that no other check uses.
fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("{what}-{}-{now}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns a time as stores keep it, some seconds after a fixed one.
fn second(number: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number)
}

fn id(number: u8) -> MessageId {
    MessageId([number; 16])
}
