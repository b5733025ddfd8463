//! Times, counted in steps of less than two percent.

/// How many steps a doubling has.
const STEPS: u32 = 64;

/// How often each time occurred, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    most: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; step(u64::MAX) + 1], most: 0 }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn record(&mut self, nanoseconds: u64) {
        self.counts[step(nanoseconds)] += 1;
        self.most = self.most.max(nanoseconds);
    }

    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.most = self.most.max(other.most);
    }

    /// Returns the time that a share of all did not exceed, in milliseconds; 0 where there are none.
    pub fn milliseconds(&self, share: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let rank = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank.max(1)
        });
        reached.map_or(0.0, |step| end_of(step).min(self.most) as f64 / 1e6)
    }
}

fn step(value: u64) -> usize {
    let doublings = (value / u64::from(STEPS)).checked_ilog2().map_or(0, |log| log + 1);
    let shift = doublings.saturating_sub(1);
    (shift * STEPS) as usize + (value >> shift) as usize
}

/// Returns the largest value of a step.
fn end_of(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / u64::from(STEPS)).saturating_sub(1);
    ((index - shift * u64::from(STEPS) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_and_are_narrow() {
        let mut last = 0;
        for value in (0..100_000).chain((17..40).map(|power| 3u64 << power)) {
            let index = step(value);
            assert!(index == last || value >= 100_000 || index == last + 1, "{value}");
            assert!(end_of(index) >= value && end_of(index) - value <= value / 32, "{value}");
            last = index;
        }
        assert!(step(u64::MAX) < 64 * 64);
    }

    #[test]
    fn shares_are_found() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|milli| histogram.record(milli * 1_000_000));
        assert!((490.0..=515.0).contains(&histogram.milliseconds(0.5)));
        assert!((985.0..=1000.0).contains(&histogram.milliseconds(0.99)));
        assert_eq!(Histogram::default().milliseconds(0.5), 0.0);
    }
}
