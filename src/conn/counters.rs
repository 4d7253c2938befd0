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
pub struct Tally<R: 'static, const N: usize> {
    reasons: &'static [R; N],
    counts: [u64; N],
}

impl<R: Copy + PartialEq + Display, const N: usize> Tally<R, N> {
    /// Nothing counted yet.
    pub const fn new(reasons: &'static [R; N]) -> Self {
        Self { reasons, counts: [0; N] }
    }

    /// Counts one more. Work: a look at each reason.
    pub fn count(&mut self, reason: R) {
        let index = self.reasons.iter().position(|each| *each == reason);
        debug_assert!(index.is_some(), "{reason} is not in the list");
        if let Some(index) = index {
            self.counts[index] += 1;
        }
    }

    /// How many for this reason.
    pub fn of(&self, reason: R) -> u64 {
        self.iter().find(|(each, _)| *each == reason).map_or(0, |(_, count)| count)
    }

    /// How many in all.
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each reason and its number.
    pub fn iter(&self) -> impl Iterator<Item = (R, u64)> {
        self.reasons.iter().copied().zip(self.counts)
    }

    /// Its numbers as the values of a family, by this label.
    pub fn labelled(&self, label: &'static str) -> Values {
        Values::By(label, self.iter().map(|(reason, count)| (reason.to_string(), count)).collect())
    }
}

/// Why connections have ended.
pub type Endings = Tally<Ending, { Ending::ALL.len() }>;

/// One number for each kind of event since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    pub refused: Tally<u16, { REFUSAL_STATUSES.len() }>,
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
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: 0,
            turned_away: 0,
            over_fd_limit: 0,
            closed: Tally::new(&Ending::ALL),
            joined: 0,
            exited: Tally::new(&Ending::ALL),
            served: 0,
            refused: Tally::new(&REFUSAL_STATUSES),
            received_bytes: 0,
            texts: 0,
            pings: 0,
            pongs: 0,
            pinged: 0,
            sent_bytes: 0,
        }
    }
}

/// Counters of one name: the name, what they count, and their values.
pub type Family = (&'static str, &'static str, Values);

/// The values of one family of counters.
#[derive(Debug)]
pub enum Values {
    /// One number.
    One(u64),
    /// One for each value of a label.
    By(&'static str, Vec<(String, u64)>),
}

impl Counters {
    /// Every counter: its name, what it counts, its values.
    pub fn families(&self) -> Vec<Family> {
        use Values::One;
        let by = |label, values: &[(&str, u64)]| {
            Values::By(label, values.iter().map(|&(value, n)| (value.to_owned(), n)).collect())
        };
        // Whoever adds a counter is told here by the compiler.
        let Self {
            accepted,
            turned_away,
            over_fd_limit,
            closed,
            joined,
            exited,
            served,
            refused,
            received_bytes,
            texts,
            pings,
            pongs,
            pinged,
            sent_bytes,
        } = *self;
        vec![
            ("accepted", "Connections taken in.", One(accepted)),
            (
                "turned_away",
                "Connections turned away before their request, by what was wanting.",
                by("want", &[("slot", turned_away), ("descriptor", over_fd_limit)]),
            ),
            ("closed", "Connections that are gone, by why.", closed.labelled("reason")),
            ("joined", "Connections that became WebSockets.", One(joined)),
            ("exited", "WebSockets that have ended, by why.", exited.labelled("reason")),
            (
                "served",
                "HTTP requests answered with what they asked for, WebSocket handshakes aside.",
                One(served),
            ),
            ("refused", "HTTP requests and handshakes refused.", refused.labelled("status")),
            ("received_bytes", "Bytes that came in.", One(received_bytes)),
            (
                "received",
                "Messages and control frames that came in whole.",
                by("kind", &[("text", texts), ("ping", pings), ("pong", pongs)]),
            ),
            ("pinged", "Pings sent to silent WebSockets.", One(pinged)),
            ("sent_bytes", "Bytes that went out.", One(sent_bytes)),
        ]
    }
}
