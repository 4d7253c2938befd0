//! How fast one peer may send.

use crate::limits::{Limits, RATE_GRACE_MS, RATE_PAUSE_MS};

/// What becomes of one more message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Within,
    /// It is refused.
    Over,
    /// It is refused, and so was so much before it that the peer must go.
    TooLong,
}

/// The token bucket of one peer: `burst` messages, refilled at `rate_per_second`.
///
/// Kept as the time at which the bucket would be full again (the generic cell rate algorithm,
/// ITU-T I.371, annex A), so a bucket that nobody draws from costs nothing to refill.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at_us: u64,
    /// When the spell of refused messages began, and when the latest was; 0 and 0 for never.
    over_since_ms: u64,
    over_last_ms: u64,
}

impl Bucket {
    /// Draws one message from the bucket.
    pub(super) fn draw(&mut self, now_ms: u64, limits: &Limits) -> Verdict {
        if limits.rate_per_second == 0 {
            return Verdict::Within;
        }
        let interval_us = 1_000_000 / u64::from(limits.rate_per_second);
        let now_us = now_ms * 1000;
        let full_at_us = self.full_at_us.max(now_us) + interval_us;
        if full_at_us - now_us <= interval_us * u64::from(limits.burst) {
            self.full_at_us = full_at_us;
            return Verdict::Within;
        }
        if now_ms - self.over_last_ms > RATE_PAUSE_MS {
            self.over_since_ms = now_ms;
        }
        self.over_last_ms = now_ms;
        if now_ms - self.over_since_ms < RATE_GRACE_MS { Verdict::Over } else { Verdict::TooLong }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits = || Limits { rate_per_second: 10, burst: 3, ..Limits::default() };

    fn draws(bucket: &mut Bucket, now_ms: u64, count: usize) -> Vec<Verdict> {
        (0..count).map(|_| bucket.draw(now_ms, &LIMITS())).collect()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        use Verdict::{Over, Within};
        let mut bucket = Bucket::default();
        assert_eq!(draws(&mut bucket, 5_000, 4), [Within, Within, Within, Over]);
        assert_eq!(draws(&mut bucket, 5_099, 1), [Over]);
        assert_eq!(draws(&mut bucket, 5_100, 2), [Within, Over]);
        assert_eq!(draws(&mut bucket, 60_000, 4), [Within, Within, Within, Over]);
    }

    #[test]
    fn ten_seconds_over_the_rate_are_too_long() {
        let mut bucket = Bucket::default();
        for now_ms in (0..10_000).step_by(50) {
            assert!(!draws(&mut bucket, now_ms, 3).contains(&Verdict::TooLong), "at {now_ms}");
        }
        assert!(draws(&mut bucket, 10_050, 3).contains(&Verdict::TooLong));
    }

    #[test]
    fn a_pause_forgives() {
        let mut bucket = Bucket::default();
        draws(&mut bucket, 0, 9);
        draws(&mut bucket, 9_000, 9);
        assert!(!draws(&mut bucket, 10_500, 9).contains(&Verdict::TooLong));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let limits = Limits { rate_per_second: 0, ..LIMITS() };
        let mut bucket = Bucket::default();
        assert!((0..100_000).all(|_| bucket.draw(0, &limits) == Verdict::Within));
    }
}
