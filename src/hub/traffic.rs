//! What members were to be told, and what became of it.

/// Frames for members, which the handshake, replays, Pings, Pongs and Closes are not.
///
/// Invariant: where no room has a turn under way, `expected` is `sent`, and what was dropped, and
/// what waits in the queues; `queued` is what has gone through a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames times members that were there to hear them.
    pub expected: u64,
    /// Frames that were queued.
    pub queued: u64,
    /// Frames that were written whole.
    pub sent: u64,
    /// Dropped: the member was given up for lagging too far.
    pub too_slow: u64,
    /// Dropped: the member's connection ended before.
    pub gone: u64,
    /// Dropped: news that somebody writes, for a member that lags.
    pub spared: u64,
}

impl Traffic {
    /// Frames that members were to be sent and were not.
    pub fn dropped(&self) -> u64 {
        self.too_slow + self.gone + self.spared
    }
}
