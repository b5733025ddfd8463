//! What waits to be sent to other relays.

use std::sync::Arc;

use bytes::Bytes;
use skytale_store::{Backplane, Reach, Topic};
use tokio::sync::mpsc;

use crate::meter::Meter;

/// The bounded queue to the backplane. Offering never waits.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    parcels: mpsc::Sender<(Topic, Reach, Bytes)>,
    meter: Meter,
}

/// How many parcels wait while the engine is slow; further ones are dropped and counted, as they are not archived.
const WAITING: usize = 16_384;

impl Outgoing {
    pub fn start(backplane: Arc<dyn Backplane>, meter: Meter) -> Self {
        let (parcels, mut queue) = mpsc::channel::<(Topic, Reach, Bytes)>(WAITING);
        let outgoing = Self { parcels, meter: meter.clone() };
        tokio::spawn(async move {
            while let Some((topic, reach, body)) = queue.recv().await {
                if let Err(error) = backplane.send(topic, reach, body).await {
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

    pub fn send(&self, topic: Topic, reach: Reach, body: Bytes) {
        match self.parcels.try_send((topic, reach, body)) {
            Ok(()) => self.meter.parcels_sent.increment(1),
            Err(_) => self.meter.parcels_dropped.increment(1),
        }
    }
}
