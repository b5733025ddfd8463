//! The receiver of messages from other relays.

use bytes::Bytes;
use skytale_core::SequenceNumber;
use skytale_store::Topic;

/// Delivers what other relays send to the sessions of this one.
pub(crate) trait ClusterReceiver: Send + Sync + 'static {
    /// Takes a message that another relay forwards; `after` is the channel's record that precedes it.
    fn arrive(&self, topic: Topic, after: SequenceNumber, number: Option<SequenceNumber>, frame: Bytes);

    /// Queues a frame of the relay's own for every native session of this relay that is subscribed to a name.
    fn tell_here(&self, name: [u64; 3], frame: &Bytes);
}
