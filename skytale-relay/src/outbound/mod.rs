//! The outgoing side of a session: a bounded queue of frames, and the stream that its transport pulls.

pub(crate) mod cursor;
pub(crate) mod frame;
pub(crate) mod queue;
pub(crate) mod stream;
