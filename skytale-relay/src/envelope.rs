//! Envelopes: which of them are for one receiver of several, and how a stored one is read again.

use bytes::Bytes;
use skytale_core::{Dialect, Envelope, FrameLimits};
use skytale_store::MessageId;

/// SLIM's number for "any one receiver".
const ANY_ONE: u32 = 1;

/// Tells whether any one of those that listen to a name is meant.
pub(crate) fn is_for_any_one(envelope: &Envelope) -> bool {
    envelope.publish().is_some_and(|publish| publish.header.fanout == ANY_ONE)
}

/// Tells whether one of several receivers has to be chosen: one instance needs no choice.
pub(crate) fn is_for_any_instance(envelope: &Envelope) -> bool {
    let instance = envelope.publish().and_then(|publish| publish.header.destination.name.id);
    is_for_any_one(envelope) && instance.is_none()
}

/// Reads a message that was checked when it came in.
pub(crate) fn reread(body: Bytes, dialect: Dialect, id: Option<MessageId>) -> Option<Envelope> {
    let limits = FrameLimits::default().with_frame_bytes(usize::MAX).with_name_bytes(usize::MAX);
    let envelope = Envelope::parse(body, dialect, &limits.with_elements(usize::MAX)).ok()?;
    Some(match id {
        Some(id) => envelope.with_message_id(id.0),
        None => envelope,
    })
}
