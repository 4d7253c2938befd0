//! What has happened so far, as plain numbers that only grow.
//!
//! They add up, and [`super::Connections::check_invariants`] and the soak hold them to it:
//!
//! - accepted = connections + closed, by reason;
//! - joined = WebSockets + exited, by reason.

use std::fmt::Display;

use super::ending::Ending;
use crate::http::REFUSAL_STATUSES;

/// One number for each of a few reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally<R, const N: usize>([(R, u64); N]);

impl<R: Copy + PartialEq + Display, const N: usize> Tally<R, N> {
    /// Nothing counted yet.
    pub fn new(reasons: [R; N]) -> Self {
        Self(reasons.map(|reason| (reason, 0)))
    }

    /// Counts one more. Work: a look at each reason.
    pub fn count(&mut self, reason: R) {
        let found = self.0.iter_mut().find(|(each, _)| *each == reason);
        debug_assert!(found.is_some(), "{reason} is not in the list");
        if let Some((_, count)) = found {
            *count += 1;
        }
    }

    /// How many for this reason.
    pub fn of(&self, reason: R) -> u64 {
        self.iter().find(|(each, _)| *each == reason).map_or(0, |(_, count)| count)
    }

    /// How many in all.
    pub fn sum(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// Each reason and its number.
    pub fn iter(&self) -> impl Iterator<Item = (R, u64)> {
        self.0.into_iter()
    }
}

/// Why connections have ended.
pub type Endings = Tally<Ending, { Ending::ALL.len() }>;

impl Default for Endings {
    fn default() -> Self {
        Self::new(Ending::ALL)
    }
}

/// The statuses with which requests were refused.
pub type Refusals = Tally<u16, { REFUSAL_STATUSES.len() }>;

impl Default for Refusals {
    fn default() -> Self {
        Self::new(REFUSAL_STATUSES)
    }
}

/// How long an iteration may take for each number of [`Iterations::within`], in microseconds: from
/// one message on a fast machine to what people notice on a slow one.
pub const ITERATION_US_BUCKETS: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 250_000, 1_000_000];

/// Iterations of the loop, counted by how long they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Iterations {
    /// Those within each bound of [`ITERATION_US_BUCKETS`], those within a lower one among them.
    pub within: [u64; ITERATION_US_BUCKETS.len()],
    /// All of them, also those beyond the last bound.
    pub count: u64,
    /// How long they took together, in microseconds.
    pub sum_us: u64,
}

impl Iterations {
    /// Counts one.
    pub(super) fn count(&mut self, took_us: u64) {
        for (within, bound_us) in self.within.iter_mut().zip(ITERATION_US_BUCKETS) {
            *within += u64::from(took_us <= bound_us);
        }
        self.count += 1;
        self.sum_us += took_us;
    }
}

/// One number for each kind of event since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections taken in.
    pub accepted: u64,
    /// Connections turned away before their request, for want of a slot.
    pub turned_away: u64,
    /// The same, for want of a descriptor.
    pub over_fd_limit: u64,
    /// Connections that are gone.
    pub closed: Endings,
    /// Connections that became WebSockets.
    pub joined: u64,
    /// WebSockets that have ended; their Close may be on its way yet.
    pub exited: Endings,
    /// HTTP requests answered with what they asked for, WebSocket handshakes aside.
    pub served: u64,
    /// HTTP requests and handshakes refused, by status.
    pub refused: Refusals,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Text messages that came in whole.
    pub texts: u64,
    /// Pings that came in.
    pub pings: u64,
    /// Pongs that came in.
    pub pongs: u64,
    /// Pings sent to silent WebSockets.
    pub pinged: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// How often memory was short, and something went for it.
    pub memory_short: u64,
    /// How long iterations of the loop took.
    pub iterations: Iterations,
}
