//! How fast one peer, and all from one address, may send.
//!
//! Excess is not refused but read later. A message is taken on credit, and the next one is not
//! decoded until the token for the one before is there. So what is sent too fast waits in the
//! kernel, and TCP slows its sender down.

/// How many tokens a bucket holds, and how fast they come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    interval_ns: u64,
    burst: u64,
}

const NS_PER_MS: u64 = 1_000_000;

impl Rate {
    /// `tokens` come back in each `period_ms`, and `burst` are there at once; `None` for any
    /// number where `tokens` is 0.
    pub(super) fn new(tokens: u32, period_ms: u64, burst: u32) -> Option<Self> {
        let interval_ns = (period_ms * NS_PER_MS).checked_div(tokens.into())?;
        Some(Self { interval_ns, burst: burst.into() })
    }

    /// The same for so many peers together.
    pub(super) fn times(self, peers: u32) -> Self {
        let peers = u64::from(peers);
        Self { interval_ns: self.interval_ns / peers, burst: self.burst * peers }
    }
}

/// A token bucket.
///
/// Kept as the time at which it would be full again (the generic cell rate algorithm, ITU-T I.371,
/// annex A), so one that nobody draws from costs nothing to refill.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Draws a token, on credit where there is none. From when on the next may be drawn, in
    /// milliseconds: those who draw on credit from the same bucket come one after the other.
    pub(super) fn draw(&mut self, now_ms: u64, rate: Rate) -> u64 {
        self.full_at_ns = self.full_at_ns.max(now_ms * NS_PER_MS) + rate.interval_ns;
        self.ready_ms(rate)
    }

    /// From when on a token may be drawn, in milliseconds.
    pub(super) fn ready_ms(&self, rate: Rate) -> u64 {
        let next_ns = self.full_at_ns + rate.interval_ns;
        next_ns.saturating_sub(rate.interval_ns * rate.burst).div_ceil(NS_PER_MS)
    }

    /// Whether nothing is drawn that has not come back.
    pub(super) fn is_full(&self, now_ms: u64) -> bool {
        self.full_at_ns <= now_ms * NS_PER_MS
    }
}

/// How fast one peer has sent. Made with its first message.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pub(super) bucket: Bucket,
    /// When its next message may be decoded, in milliseconds.
    pub(super) ready_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` draws are ready at once.
    fn ready(bucket: &mut Bucket, rate: Rate, now_ms: u64, count: usize) -> usize {
        let mut passed = 0;
        while passed < count && bucket.ready_ms(rate) <= now_ms {
            bucket.draw(now_ms, rate);
            passed += 1;
        }
        passed
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate::new(10, 1_000, 3).unwrap();
        let mut bucket = Bucket::default();
        assert_eq!(ready(&mut bucket, rate, 5_000, 9), 3);
        assert_eq!(bucket.ready_ms(rate), 5_100);
        assert_eq!(ready(&mut bucket, rate, 5_099, 9), 0);
        assert_eq!(ready(&mut bucket, rate, 5_100, 9), 1);
        assert!(!bucket.is_full(5_399) && bucket.is_full(5_400));
        assert_eq!(ready(&mut bucket, rate, 60_000, 9), 3);
    }

    #[test]
    fn who_draws_on_credit_comes_one_after_the_other() {
        let rate = Rate::new(1, 1_000, 1).unwrap().times(2);
        let mut bucket = Bucket::default();
        let draws: Vec<u64> = (0..4).map(|_| bucket.draw(0, rate)).collect();
        assert_eq!(draws, [0, 500, 1_000, 1_500]);
    }

    #[test]
    fn no_rate_is_no_limit() {
        assert!(Rate::new(0, 1_000, 3).is_none());
    }
}
