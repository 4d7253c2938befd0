//! What was measured, over all rounds and servers, and how it is told.

mod figure;
mod heading;
mod hgrm;
mod json;
mod plot;
mod summary;
mod table;

pub use figure::{Measurement, Unit, quantiles};
pub use heading::Heading;
pub use hgrm::write_hgrm;
pub use json::Lines;
pub use plot::draw;
pub use summary::{Run, Summary};
pub use table::table;

use hdrhistogram::Histogram;

use crate::client::{Nanos, SECOND};

/// Latencies are told apart to three digits, up to a minute.
const DIGITS: u8 = 3;
const LATENCY_MAX: Nanos = 60 * SECOND;

/// A histogram of nanoseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("bounds that fit together")
}
