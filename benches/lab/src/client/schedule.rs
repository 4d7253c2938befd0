//! When each message of an open loop is due. Times are absolute, so that a late one delays no other
//! and its lateness is part of what is measured.

/// Nanoseconds since the load's clock started.
pub type Nanos = u64;

pub const SECOND: Nanos = 1_000_000_000;

/// Messages at a fixed rate.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Nanos,
    rate: u32,
    /// Messages that are sent but not counted.
    warmup: u32,
    total: u32,
}

impl Schedule {
    /// `rate` messages a second from `start` on, for `warmup` and then `seconds` seconds.
    pub fn new(start: Nanos, rate: u32, warmup: f64, seconds: f64) -> Self {
        let messages = |seconds: f64| (f64::from(rate) * seconds).ceil() as u32;
        let warmup = messages(warmup);
        Self { start, rate, warmup, total: warmup + messages(seconds).max(1) }
    }

    /// When message `sequence` is to be sent.
    pub fn due(&self, sequence: u32) -> Nanos {
        self.start + (u128::from(sequence) * u128::from(SECOND) / u128::from(self.rate)) as Nanos
    }

    /// Messages in all.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// The first message that counts.
    pub fn first_counted(&self) -> u32 {
        self.warmup
    }

    /// Messages that count.
    pub fn counted(&self) -> u32 {
        self.total - self.warmup
    }

    /// When the last message has had its time.
    pub fn end(&self) -> Nanos {
        self.due(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_and_do_not_drift() {
        let schedule = Schedule::new(500, 3, 0.0, 1_000_000.0);
        assert_eq!(schedule.due(0), 500);
        assert_eq!(schedule.due(1), 500 + 333_333_333);
        assert_eq!(schedule.due(3), 500 + SECOND);
        assert_eq!(schedule.due(3_000_000), 500 + 1_000_000 * SECOND);
        assert_eq!(schedule.end(), schedule.due(3_000_000));
    }

    #[test]
    fn the_warmup_is_sent_and_not_counted() {
        let schedule = Schedule::new(0, 50, 1.0, 10.0);
        assert_eq!(
            (schedule.total(), schedule.first_counted(), schedule.counted()),
            (550, 50, 500)
        );
        assert_eq!(schedule.due(schedule.first_counted()), SECOND);
        // However short, something is measured.
        assert_eq!(Schedule::new(0, 1, 0.0, 0.0).counted(), 1);
    }
}
