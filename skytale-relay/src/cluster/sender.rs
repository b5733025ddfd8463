//! The bounded queue of messages to other relays.

use std::sync::Arc;

use bytes::Bytes;
use skytale_store::{Backplane, Delivery, Topic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::telemetry::Meter;

/// The bounded queue to the backplane. Offering never waits.
#[derive(Clone, Debug)]
pub(super) struct ClusterSender {
    backplane: Arc<dyn Backplane>,
    messages: mpsc::Sender<QueuedMessage>,
    room: Arc<Semaphore>,
    meter: Meter,
}

/// A message, and its share of the queue.
#[derive(Debug)]
struct QueuedMessage {
    topic: Topic,
    delivery: Delivery,
    body: Bytes,
    _room: OwnedSemaphorePermit,
}

/// How many messages, and bytes of them, wait while the engine is slow; further ones are dropped and counted, as they are
/// not archived.
const MESSAGES: usize = 16_384;
const BYTES: u32 = 64 * 1024 * 1024;

impl ClusterSender {
    pub fn start(backplane: Arc<dyn Backplane>, meter: Meter) -> Self {
        let (messages, mut queue) = mpsc::channel::<QueuedMessage>(MESSAGES);
        let room = Arc::new(Semaphore::new(BYTES as usize));
        let outgoing = Self { backplane: backplane.clone(), messages, room, meter: meter.clone() };
        tokio::spawn(async move {
            while let Some(QueuedMessage { topic, delivery, body, _room }) = queue.recv().await {
                if let Err(error) = backplane.send(topic, delivery, body).await {
                    meter.parcels_dropped.increment(1);
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a message did not reach other relays"
                    );
                }
            }
        });
        outgoing
    }

    /// Waits until what was offered before is sent.
    pub async fn flush(&self) {
        // Each message gives its share of the room back when it is sent.
        drop(self.room.acquire_many(BYTES).await);
        if let Err(error) = self.backplane.flush().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the last messages to other relays may be lost"
            );
        }
    }

    pub fn send(&self, topic: Topic, delivery: Delivery, body: Bytes) {
        let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(bytes).ok();
        let waiting = room.map(|room| QueuedMessage { topic, delivery, body, _room: room });
        match waiting.is_some_and(|waiting| self.messages.try_send(waiting).is_ok()) {
            true => self.meter.parcels_sent.increment(1),
            false => self.meter.parcels_dropped.increment(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use skytale_core::Dialect;
    use skytale_store::MemoryBackplane;

    use super::*;

    #[tokio::test]
    async fn what_was_offered_is_sent_once_flushed() {
        let here = MemoryBackplane::default();
        let other = here.join();
        let topic = Topic { channel: [1; 3], dialect: Dialect::Slim3, instance: None };
        other.listen(topic).await.expect("listens");
        let mut received = other.received();
        let outgoing = ClusterSender::start(Arc::new(here), Meter::new());
        for number in 0..100u8 {
            outgoing.send(topic, Delivery::All, Bytes::copy_from_slice(&[number]));
        }
        outgoing.flush().await;
        for number in 0..100 {
            let message = received.next().now_or_never().flatten().expect("has arrived");
            assert_eq!(message.body[..], [number]);
        }
    }
}
