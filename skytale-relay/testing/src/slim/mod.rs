//! Agents of both SLIM dialects, independent of the relay's own code.

mod agent;
mod attempt;
mod heard;
mod mac;
mod say;

pub use agent::Agent;
pub(crate) use agent::dial;
pub use attempt::Attempt;
pub use heard::Heard;
pub use mac::Mac;
pub use say::{Address, Content, Say, room};
