//! What was measured, for people and as JSON.

use serde::Serialize;

use crate::tally::Tally;

/// A run of a load. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub deliveries_per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub most: f64,
    pub expected: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub disorder: u64,
    /// Messages whose tag was wrong.
    pub untrue: u64,
    /// Streams that the node ended.
    pub ended: u64,
    pub processor_us_per_delivery: Option<f64>,
    pub peak_kib: Option<u64>,
}

impl Report {
    /// Adds what arrived of what should have.
    pub fn complete(&mut self, tally: &Tally, expected: u64) {
        self.expected = expected;
        self.lost = expected.saturating_sub(tally.received - tally.duplicates);
        (self.duplicates, self.disorder) = (tally.duplicates, tally.disorder);
        (self.untrue, self.ended) = (tally.untrue, tally.ended);
        let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|share| tally.times.milliseconds(share));
        (self.p50, self.p99, self.p999, self.most) = (p50, p99, p999, most);
    }

    pub fn show(&self, json: bool) -> String {
        if json {
            return as_json(self);
        }
        let used = self.processor_us_per_delivery;
        let used = used.map_or(String::new(), |used| format!(", {used:.2} us of processor per delivery"));
        let peak = self.peak_kib.map_or(String::new(), |kib| format!(", peak {} MiB", kib / 1024));
        format!(
            "{:.0} deliveries/s, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, at most {:.2} ms{used}{peak}\n\
             of {} deliveries: {} lost, {} duplicates, {} out of order, {} with a wrong tag; {} streams ended",
            self.deliveries_per_second,
            self.p50,
            self.p99,
            self.p999,
            self.most,
            self.expected,
            self.lost,
            self.duplicates,
            self.disorder,
            self.untrue,
            self.ended,
        )
    }
}

/// What idle connections cost.
#[derive(Clone, Debug, Serialize)]
pub struct IdleReport {
    pub connections: usize,
    pub kib_per_connection: Option<f64>,
}

impl IdleReport {
    pub fn show(&self, json: bool) -> String {
        if json {
            return as_json(self);
        }
        let each = self.kib_per_connection.map_or("?".to_owned(), |kib| format!("{kib:.1}"));
        format!("{} idle connections, {each} KiB each", self.connections)
    }
}

fn as_json(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("numbers are valid JSON")
}
