//! How long iterations of the loop took, by size.

use std::fmt::Write as _;

use crate::limits::ITERATION_US_BUCKETS;

/// Iterations of the loop, counted by how long they took.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Iterations within each bound of [`ITERATION_US_BUCKETS`] and beyond the one before it.
    counts: [u64; ITERATION_US_BUCKETS.len()],
    /// Iterations in all, also those beyond the last bound.
    count: u64,
    sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub(super) fn observe(&mut self, took_us: u64) {
        if let Some(index) = ITERATION_US_BUCKETS.iter().position(|&bound| took_us <= bound) {
            self.counts[index] += 1;
        }
        self.count += 1;
        self.sum_us += took_us;
    }

    /// Appends it as Prometheus has histograms: in seconds, each bucket with all below it.
    pub fn render(&self, name: &str, out: &mut String) {
        let mut within = 0;
        for (bound_us, count) in ITERATION_US_BUCKETS.iter().zip(self.counts) {
            within += count;
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {within}", seconds(*bound_us));
        }
        let (count, sum) = (self.count, seconds(self.sum_us));
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {count}");
    }
}

/// Microseconds as seconds: whole numbers, so that the code of floating point stays out.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_what_is_within_it_and_below() {
        let mut histogram = Histogram::default();
        for took_us in [0, 50, 51, 99_999_999] {
            histogram.observe(took_us);
        }
        let mut text = String::new();
        histogram.render("turn", &mut text);
        let expected = "turn_bucket{le=\"0.000050\"} 2\nturn_bucket{le=\"0.000100\"} 3\n";
        assert!(text.starts_with(expected), "{text}");
        let end =
            "le=\"1.000000\"} 3\nturn_bucket{le=\"+Inf\"} 4\nturn_sum 100.000100\nturn_count 4\n";
        assert!(text.ends_with(end), "{text}");
    }
}
