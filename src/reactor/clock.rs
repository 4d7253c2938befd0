//! The machine's clocks, read here and nowhere else.

use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Local, Utc};

use crate::clock::Now;

/// An iteration that began so much later than its poll was to end, in milliseconds, comes after a
/// stop of the process or the machine, which no work of an iteration comes near. Excess: all
/// deadlines are put off as long.
const STOPPED_MS_MIN: u64 = 1_000;

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

    /// Milliseconds since the start, without those in which the process was stopped.
    pub(super) fn mono_ms(&self) -> u64 {
        whole_ms(self.start.elapsed())
    }

    /// The time by all clocks, after a poll that was to sleep for at most so long.
    ///
    /// Where far more time has gone by, the process was stopped (SIGSTOP, a machine that was
    /// paused). Then nobody's deadline may come from it: no ping was sent and no answer read.
    pub(super) fn now(&mut self, sleep_max: Option<Duration>) -> Now {
        let wall = SystemTime::now();
        let unix_ms = DateTime::<Utc>::from(wall).timestamp_millis();
        let minute = unix_ms.div_euclid(OFFSET_MS);
        if self.minute != Some(minute) {
            self.minute = Some(minute);
            // By `TZ` or /etc/localtime; UTC where there is neither.
            self.utc_offset_s = DateTime::<Local>::from(wall).offset().local_minus_utc();
        }
        let read_at = Instant::now();
        if let Some(stopped) = stopped(read_at - self.read_at, sleep_max) {
            log::warn!("was stopped ms={} deadlines=\"put off as long\"", stopped.as_millis());
            self.start += stopped;
        }
        self.read_at = read_at;
        let mono_ms = whole_ms(self.read_at - self.start);
        Now { mono_ms, unix_ms, utc_offset_s: self.utc_offset_s }
    }

    /// Microseconds since the last [`Clock::now`].
    pub(super) fn us_since_now(&self) -> u64 {
        u64::try_from(self.read_at.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// For how long the process was stopped in an iteration that took so long, if it was.
fn stopped(took: Duration, sleep_max: Option<Duration>) -> Option<Duration> {
    let beyond = took.checked_sub(sleep_max?)?;
    (beyond >= Duration::from_millis(STOPPED_MS_MIN)).then_some(beyond)
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn an_iteration_that_took_far_longer_than_it_could_was_a_stop() {
        assert_eq!(stopped(MS(60_000), Some(MS(500))), Some(MS(59_500)));
        assert_eq!(stopped(MS(60_000), Some(MS(60_000))), None, "it slept as it was told");
        assert_eq!(stopped(MS(500 + STOPPED_MS_MIN - 1), Some(MS(500))), None, "a busy machine");
        assert_eq!(stopped(MS(60_000), None), None, "nobody has a deadline");
    }

    #[test]
    fn the_time_of_a_stop_does_not_count() {
        let mut clock = Clock::new();
        let before = clock.now(Some(MS(0))).mono_ms;
        // As if the last iteration had begun a minute ago.
        clock.start -= MS(60_000);
        clock.read_at -= MS(60_000);
        let after = clock.now(Some(MS(10))).mono_ms;
        assert!((before..before + STOPPED_MS_MIN).contains(&after), "{before} and then {after}");
    }
}
