//! What arrived at one subscriber.

use std::ops::Range;

use skytale_bench::histogram::Histogram;

use crate::message::{Arrived, Stamp};

/// Counts of messages, and the times of those that arrived while it was measured.
#[derive(Clone, Debug)]
pub struct Tally {
    pub received: u64,
    pub duplicates: u64,
    pub disorder: u64,
    pub untrue: u64,
    /// Whether the node ended a stream.
    pub ended: u64,
    pub times: Histogram,
    /// The last number in each channel.
    last: Vec<u64>,
}

impl Tally {
    pub fn new(channels: usize) -> Self {
        Self {
            received: 0,
            duplicates: 0,
            disorder: 0,
            untrue: 0,
            ended: 0,
            times: Histogram::default(),
            last: vec![0; channels],
        }
    }

    /// Counts a frame; tells whether it was one of the load's messages.
    pub fn count(&mut self, arrived: &Arrived, now: u64, measured: &Range<u64>) -> bool {
        match arrived {
            Arrived::Other => return false,
            Arrived::Untrue => self.untrue += 1,
            Arrived::Stamped(stamp) => self.count_stamp(*stamp),
        }
        self.received += 1;
        if let Arrived::Stamped(stamp) = arrived
            && measured.contains(&now)
        {
            self.times.record(now.saturating_sub(stamp.at));
        }
        true
    }

    fn count_stamp(&mut self, stamp: Stamp) {
        let channels = self.last.len();
        let last = &mut self.last[stamp.number as usize % channels];
        if stamp.number == *last {
            self.duplicates += 1;
        } else if stamp.number < *last {
            self.disorder += 1;
        }
        *last = stamp.number.max(*last);
    }

    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.duplicates += other.duplicates;
        self.disorder += other.disorder;
        self.untrue += other.untrue;
        self.ended += other.ended;
        self.times.add(&other.times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_what_comes_late_are_told_apart() {
        let mut tally = Tally::new(1);
        for number in [1, 2, 2, 4, 3] {
            assert!(tally.count(&Arrived::Stamped(Stamp { number, at: 0 }), 5, &(0..10)));
        }
        assert!(!tally.count(&Arrived::Other, 5, &(0..10)));
        assert_eq!((tally.received, tally.duplicates, tally.disorder), (5, 1, 1));
    }
}
