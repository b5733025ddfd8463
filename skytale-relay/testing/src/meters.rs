//! The metrics of a test's relays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};

/// The metrics of the relays that were made with them.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    values: Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>,
}

impl Meters {
    /// Makes something that has metrics, which are then found here and nowhere else.
    pub fn of<T>(&self, make: impl FnOnce() -> T) -> T {
        with_local_recorder(self, make)
    }

    /// Returns the value of a counter, of all labels together where it has some; 0 where it is unknown.
    pub fn counter(&self, name: &str) -> u64 {
        self.value(name).load(Ordering::SeqCst)
    }

    /// Returns the value of a gauge; 0 where it is unknown.
    pub fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.value(name).load(Ordering::SeqCst))
    }

    fn value(&self, name: &str) -> Arc<AtomicU64> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.entry(name.to_owned()).or_default().clone()
    }
}

impl Recorder for Meters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key.name()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key.name()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
