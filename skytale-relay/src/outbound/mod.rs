//! The outgoing side of a session: a bounded queue of frames, and the stream that its transport pulls.

mod budget;
pub(crate) mod cursor;
pub(crate) mod frame;
pub(crate) mod queue;
pub(crate) mod session_id;
mod stall;
pub(crate) mod stream;
