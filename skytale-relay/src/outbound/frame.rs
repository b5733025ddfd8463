//! A frame on its way out.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use skytale_core::{Envelope, Hop};

/// Bytes for one peer, written straight into the transport's buffer.
///
/// A message is shared by everybody who gets it; only the few header bytes of the hop are each receiver's own.
#[derive(Clone, Debug)]
pub struct Frame(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Whole(Bytes),
    Message { envelope: Arc<Envelope>, hop: Hop, tail: Option<Bytes> },
}

impl Frame {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(bytes))
    }

    pub(crate) fn message(envelope: Arc<Envelope>, hop: Hop, tail: Option<Bytes>) -> Self {
        Self(Inner::Message { envelope, hop, tail })
    }

    /// Returns the length, in bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Inner::Whole(bytes) => bytes.len(),
            Inner::Message { envelope, hop, tail } => {
                envelope.len_after(hop) + tail.as_ref().map_or(0, Bytes::len)
            }
        }
    }

    /// Tells whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the bytes.
    pub fn put(&self, target: &mut impl BufMut) {
        match &self.0 {
            Inner::Whole(bytes) => target.put_slice(bytes),
            Inner::Message { envelope, hop, tail } => {
                envelope.put(hop, target);
                if let Some(tail) = tail {
                    target.put_slice(tail);
                }
            }
        }
    }

    /// Returns the bytes, for transports that cannot take them in place.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.len());
        self.put(&mut bytes);
        bytes.freeze()
    }
}
