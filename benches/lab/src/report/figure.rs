//! Single figures, and how they are written.

use hdrhistogram::Histogram;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Nanos,
    Bytes,
    Count,
    PerSecond,
    Percent,
}

impl Unit {
    /// How JSON calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::PerSecond => "1/s",
            Self::Percent => "percent",
        }
    }

    /// A value to be read by people.
    pub fn write(self, value: f64) -> String {
        let (divisor, suffix) = self.prefix(value);
        format!("{}{suffix}", self.digits(value / divisor))
    }

    /// A value and the least and the most that it was, with one prefix for all three.
    pub fn write_spread(self, value: f64, least: f64, most: f64) -> String {
        let (divisor, suffix) = self.prefix(value);
        let [value, least, most] = [value, least, most].map(|value| self.digits(value / divisor));
        format!("{value}{suffix} ({least} to {most})")
    }

    /// Three digits; all of what has been counted.
    fn digits(self, value: f64) -> String {
        let decimals = match value.abs() {
            _ if self == Self::Count => usize::from(value.fract() != 0.0),
            0.0 | 99.95.. => 0,
            9.995.. => 1,
            _ => 2,
        };
        format!("{value:.decimals$}")
    }

    /// What a value is divided by, and what the result is called.
    fn prefix(self, value: f64) -> (f64, &'static str) {
        let prefixes: &[(f64, &str)] = match self {
            Self::Nanos => &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")],
            Self::Bytes => &[(1048576.0, " MiB"), (1024.0, " KiB"), (1.0, " B")],
            Self::PerSecond => &[(1e6, " M"), (1e3, " k"), (1.0, "")],
            Self::Count => &[(1.0, "")],
            Self::Percent => &[(1.0, " %")],
        };
        let fits = |(divisor, _): &&(f64, &str)| value.abs() >= *divisor;
        *prefixes.iter().find(fits).unwrap_or(&prefixes[prefixes.len() - 1])
    }
}

/// One figure of one run.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    pub unit: Unit,
    pub value: f64,
}

/// All that one run of one step has given.
#[derive(Debug, Default)]
pub struct Measurement {
    pub figures: Vec<Figure>,
    /// Latencies in nanoseconds, by name.
    pub histograms: Vec<(&'static str, Histogram<u64>)>,
    /// What a reader of the figures must know.
    pub notes: Vec<String>,
}

impl Measurement {
    pub fn add(&mut self, name: &str, unit: Unit, value: f64) {
        self.figures.push(Figure { name: name.to_owned(), unit, value });
    }

    /// Adds a figure where there is a value.
    pub fn add_known(&mut self, name: &str, unit: Unit, value: Option<f64>) {
        if let Some(value) = value {
            self.add(name, unit, value);
        }
    }

    /// Adds what is usually asked of latencies, and keeps the histogram itself.
    pub fn add_latencies(&mut self, name: &'static str, histogram: Histogram<u64>) {
        for (quantile, value) in quantiles(&histogram) {
            self.add(&format!("{name}, {quantile}"), Unit::Nanos, value);
        }
        self.histograms.push((name, histogram));
    }
}

/// The quantiles of a report, by name.
pub fn quantiles(histogram: &Histogram<u64>) -> [(&'static str, f64); 5] {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64;
    [
        ("p50", at(0.5)),
        ("p90", at(0.9)),
        ("p99", at(0.99)),
        ("p99.9", at(0.999)),
        ("max", histogram.max() as f64),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_prefix() {
        for (unit, value, text) in [
            (Unit::Nanos, 68.4, "68.4 ns"),
            (Unit::Nanos, 1_234.0, "1.23 µs"),
            (Unit::Nanos, 12_340_000.0, "12.3 ms"),
            (Unit::Nanos, 2e9, "2.00 s"),
            (Unit::Bytes, 320.0, "320 B"),
            (Unit::Bytes, 1_023.0, "1023 B"),
            (Unit::Bytes, 138_000.0, "135 KiB"),
            (Unit::Bytes, 3.0 * 1048576.0, "3.00 MiB"),
            (Unit::Nanos, 0.0, "0 ns"),
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 12_345.0, "12345"),
            (Unit::Count, 1.5, "1.5"),
            (Unit::PerSecond, 1_234_567.0, "1.23 M"),
            (Unit::PerSecond, 50_000.0, "50.0 k"),
            (Unit::Percent, 97.0, "97.0 %"),
        ] {
            assert_eq!(unit.write(value), text);
        }
        assert_eq!(Unit::Nanos.write_spread(1e6, 950_000.0, 2e6), "1.00 ms (0.95 to 2.00)");
    }

    #[test]
    fn quantiles_are_of_the_values() {
        let mut histogram = super::super::histogram();
        (1..=1000).for_each(|value| histogram.record(value).unwrap());
        let values = quantiles(&histogram).map(|(_, value)| value);
        assert_eq!(values, [500.0, 900.0, 990.0, 999.0, 1000.0]);
    }
}
