//! Time as a value. Only the reactor reads a clock; everybody else is handed a [`Now`].

use chrono::{DateTime, Timelike as _};

/// One reading of the machine's clocks, taken by the reactor once an iteration.
///
/// Deadlines are counted on `mono_ms` alone, so a wall clock that jumps changes only what people
/// read. A board without a battery starts in 1970: no code may take `unix_ms` for the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the process started; never goes back.
    pub mono_ms: u64,
    /// Milliseconds since 1970-01-01 UTC by the wall clock; may jump.
    pub unix_ms: i64,
    /// The local time zone's distance to UTC, in seconds east.
    pub utc_offset_s: i32,
}

impl Now {
    /// The local time of day as `HHmmss`, for names like `Anon_142501`.
    ///
    /// A wall clock beyond chrono's years reads as the start of 1970.
    pub fn local_hhmmss(self) -> String {
        let local_ms = self.unix_ms.saturating_add(i64::from(self.utc_offset_s) * 1000);
        let local = DateTime::from_timestamp_millis(local_ms).unwrap_or_default();
        format!("{:02}{:02}{:02}", local.hour(), local.minute(), local.second())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: i64, utc_offset_s: i32) -> String {
        Now { mono_ms: 0, unix_ms, utc_offset_s }.local_hhmmss()
    }

    #[test]
    fn time_of_day_is_local() {
        assert_eq!(at(0, 0), "000000");
        assert_eq!(at(1_700_000_000_123, 0), "221320");
        assert_eq!(at(1_700_000_000_123, 3_600), "231320");
        assert_eq!(at(1_700_000_000_123, -8 * 3_600), "141320");
    }

    #[test]
    fn an_impossible_clock_is_no_panic() {
        assert_eq!(at(i64::MAX, 0), "000000");
        assert_eq!(at(i64::MIN, i32::MAX), "000000");
    }
}
