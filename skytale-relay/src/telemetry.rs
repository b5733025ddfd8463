//! Counters of a relay, through the `metrics` facade; by class, never by channel or principal.

use metrics::{Counter, Gauge, counter, gauge};

use crate::close_reason::CloseReason;

/// The handles of every metric, made once with the recorder that is installed then.
#[derive(Clone)]
pub(crate) struct Meter {
    pub received: Counter,
    pub archived: Counter,
    pub delivered: Counter,
    pub delivered_bytes: Counter,
    pub replayed: Counter,
    pub unroutable: Counter,
    pub refused_commits: Counter,
    pub parcels_sent: Counter,
    pub parcels_received: Counter,
    pub parcels_dropped: Counter,
    pub sessions: Gauge,
    pub subscriptions: Gauge,
}

impl Meter {
    pub fn new() -> Self {
        Self {
            received: counter!("skytale_messages_received_total"),
            archived: counter!("skytale_messages_archived_total"),
            delivered: counter!("skytale_messages_delivered_total"),
            delivered_bytes: counter!("skytale_delivered_bytes_total"),
            replayed: counter!("skytale_messages_replayed_total"),
            unroutable: counter!("skytale_messages_without_receiver_total"),
            refused_commits: counter!("skytale_commits_refused_total"),
            parcels_sent: counter!("skytale_parcels_sent_total"),
            parcels_received: counter!("skytale_parcels_received_total"),
            parcels_dropped: counter!("skytale_parcels_dropped_total"),
            sessions: gauge!("skytale_sessions"),
            subscriptions: gauge!("skytale_subscriptions"),
        }
    }

    pub fn closed(&self, close: &CloseReason) {
        counter!("skytale_sessions_closed_total", "reason" => close.word()).increment(1);
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}
