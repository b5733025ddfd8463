//! The result of a run.

use serde::Serialize;
use skytale_bench::clock::now;
use skytale_bench::process;

/// A run. Times are in milliseconds, and how long a message took from its sending until it was heard.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub deliveries_per_second: f64,
    pub relay_us_per_delivery: Option<f64>,
    pub agents_us_per_delivery: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    pub lost: u64,
}

/// The time, the deliveries and the processor times at one moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: u64,
    delivered: u64,
    relay: Option<f64>,
    agents: Option<f64>,
}

impl Reading {
    pub fn take(relay: Option<u32>, delivered: u64) -> Self {
        Self {
            at: now(),
            delivered,
            relay: relay.and_then(process::processor_seconds),
            agents: process::processor_seconds(std::process::id()),
        }
    }

    /// Returns the figures between an earlier reading and this one.
    pub fn since(&self, before: &Self) -> Report {
        let deliveries = (self.delivered - before.delivered) as f64;
        let per_delivery = |used: Option<f64>, before: Option<f64>| {
            used.zip(before).map(|(used, before)| (used - before) * 1e6 / deliveries.max(1.0))
        };
        Report {
            deliveries_per_second: deliveries * 1e9 / (self.at - before.at) as f64,
            relay_us_per_delivery: per_delivery(self.relay, before.relay),
            agents_us_per_delivery: per_delivery(self.agents, before.agents),
            ..Report::default()
        }
    }
}
