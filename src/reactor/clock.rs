//! The machine's clocks, read here and nowhere else.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{Local, Offset, TimeZone};

use crate::clock::Now;

/// Zones change their offset on whole minutes, so once a minute is often enough to ask.
const OFFSET_MS: i64 = 60_000;

/// Reads the time.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// When it was last read by all clocks.
    read_at: Instant,
    /// The minute that `utc_offset_s` was looked up for.
    minute: Option<i64>,
    utc_offset_s: i32,
}

impl Clock {
    /// A clock whose monotonic time starts now.
    pub(super) fn new() -> Self {
        let start = Instant::now();
        Self { start, read_at: start, minute: None, utc_offset_s: 0 }
    }

    /// Milliseconds since the start.
    pub(super) fn mono_ms(&self) -> u64 {
        whole_ms(self.start.elapsed())
    }

    /// The time by all clocks.
    pub(super) fn now(&mut self) -> Now {
        let unix_ms = unix_ms();
        let minute = unix_ms.div_euclid(OFFSET_MS);
        if self.minute != Some(minute) {
            self.minute = Some(minute);
            self.utc_offset_s = utc_offset_s(unix_ms);
        }
        self.read_at = Instant::now();
        let mono_ms = whole_ms(self.read_at - self.start);
        Now { mono_ms, unix_ms, utc_offset_s: self.utc_offset_s }
    }

    /// Microseconds since the last [`Clock::now`].
    pub(super) fn us_since_now(&self) -> u64 {
        u64::try_from(self.read_at.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock; before 1970 it reads negative.
fn unix_ms() -> i64 {
    let whole = |ms: u128| i64::try_from(ms).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => whole(since.as_millis()),
        Err(before) => -whole(before.duration().as_millis()),
    }
}

/// The local zone's offset by `TZ` or /etc/localtime; UTC where there is neither.
fn utc_offset_s(unix_ms: i64) -> i32 {
    let local = Local.timestamp_millis_opt(unix_ms).earliest();
    local.map_or(0, |time| time.offset().fix().local_minus_utc())
}
