//! Histograms as the plotter of HdrHistogram and its relatives read them (`.hgrm`): in milliseconds.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Rows for each halving of the distance to the highest percentile, as elsewhere.
const TICKS_PER_HALF: u32 = 5;

const NANOS_PER_MILLI: f64 = 1e6;

/// Writes the percentiles of `histogram`, whose values are nanoseconds.
///
/// # Errors
/// Those of `out`.
pub fn write_hgrm(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    let millis = |nanos: f64| nanos / NANOS_PER_MILLI;
    writeln!(
        out,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value = millis(step.value_iterated_to() as f64);
        let quantile = step.quantile_iterated_to();
        write!(out, "{value:12.6} {quantile:2.12} {total:10}")?;
        match quantile {
            1.0.. => writeln!(out)?,
            _ => writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))?,
        }
    }
    let (mean, deviation) = (millis(histogram.mean()), millis(histogram.stdev()));
    let (max, buckets) = (millis(histogram.max() as f64), histogram.buckets());
    writeln!(out, "#[Mean    = {mean:12.6}, StdDeviation   = {deviation:12.6}]")?;
    writeln!(out, "#[Max     = {max:12.6}, Total count    = {:12}]", histogram.len())?;
    writeln!(
        out,
        "#[Buckets = {buckets:12}, SubBuckets     = {:12}]",
        histogram.distinct_values() / usize::from(buckets).max(1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_rise_to_the_last_value() {
        let mut histogram = super::super::histogram();
        (1..=100).for_each(|millis| histogram.record(millis * 1_000_000).unwrap());
        let mut text = Vec::new();
        write_hgrm(&histogram, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();

        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2]));
        let half = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((half[0] - 50.0).abs() < 0.1, "{half:?}");
        let last = rows.last().unwrap();
        assert_eq!(last[1..], [1.0, 100.0]);
        assert!(text.contains("Total count    =          100]"), "{text}");
    }
}
