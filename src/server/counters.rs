//! What has happened so far, as plain numbers that only grow.
//!
//! They add up, and [`super::Server::check_invariants`] and the soak hold them to it:
//!
//! - accepted = open + closed, by reason;
//! - joined = members + left, by reason;
//! - texts = messages + typing + rejected + left for their rate;
//! - frames expected = sent + dropped + waiting ([`Traffic`]).

use std::fmt::Display;

use super::ending::Ending;
use crate::hub::Traffic;
use crate::wire::envelope::REJECTION_CODES;
use crate::wire::response::REFUSAL_STATUSES;

/// One number for each of a few reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally<R: 'static, const N: usize> {
    reasons: &'static [R; N],
    counts: [u64; N],
}

impl<R: Copy + PartialEq + Display, const N: usize> Tally<R, N> {
    const fn new(reasons: &'static [R; N]) -> Self {
        Self { reasons, counts: [0; N] }
    }

    /// Counts one more. Work: a look at each reason.
    pub(super) fn count(&mut self, reason: R) {
        let index = self.reasons.iter().position(|each| *each == reason);
        debug_assert!(index.is_some(), "{reason} is no reason that was thought of");
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

    fn labelled(&self, label: &'static str) -> Values {
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
    /// Connections turned away before their request, for want of a place.
    pub turned_away: u64,
    /// The same, for want of a descriptor.
    pub surplus: u64,
    /// Connections that are gone.
    pub closed: Endings,
    /// Peers that joined.
    pub joined: u64,
    /// Peers that joined and are gone from their room; their Close may be on its way yet.
    pub left: Endings,
    /// HTTP requests answered with what they asked for, WebSocket handshakes aside.
    pub served: u64,
    /// HTTP requests and handshakes refused, by status.
    pub refused: Tally<u16, { REFUSAL_STATUSES.len() }>,
    /// Handshakes among them that met a full house.
    pub full: u64,
    /// Handshakes among them that asked for one room too many.
    pub no_room: u64,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Text messages that came in whole.
    pub texts: u64,
    /// Pings that came in.
    pub pings: u64,
    /// Pongs that came in.
    pub pongs: u64,
    /// Chat messages said to a room.
    pub messages: u64,
    /// News that somebody writes.
    pub typing: u64,
    /// Messages answered with an error to their sender, by its code.
    pub rejected: Tally<&'static str, { REJECTION_CODES.len() }>,
    /// Pings sent to silent members.
    pub pinged: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// What members were to be told, and what became of it.
    pub frames: Traffic,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            accepted: 0,
            turned_away: 0,
            surplus: 0,
            closed: Tally::new(&Ending::ALL),
            joined: 0,
            left: Tally::new(&Ending::ALL),
            served: 0,
            refused: Tally::new(&REFUSAL_STATUSES),
            full: 0,
            no_room: 0,
            received_bytes: 0,
            texts: 0,
            pings: 0,
            pongs: 0,
            messages: 0,
            typing: 0,
            rejected: Tally::new(&REJECTION_CODES),
            pinged: 0,
            sent_bytes: 0,
            frames: Traffic::default(),
        }
    }
}

/// The values of one family of counters.
pub(super) enum Values {
    One(u64),
    /// One for each value of a label.
    By(&'static str, Vec<(String, u64)>),
}

impl Counters {
    /// Members whose connection was failed for a fault in a frame.
    pub fn failed(&self) -> u64 {
        Ending::FAULTS.into_iter().map(|fault| self.left.of(fault)).sum()
    }

    /// Every counter: its name, what it counts, its values.
    pub(super) fn families(&self) -> Vec<(&'static str, &'static str, Values)> {
        use Values::One;
        let by = |label, values: &[(&str, u64)]| {
            Values::By(label, values.iter().map(|&(value, n)| (value.to_owned(), n)).collect())
        };
        // Whoever adds a counter is told here by the compiler.
        let Self {
            accepted,
            turned_away,
            surplus,
            closed,
            joined,
            left,
            served,
            refused,
            full,
            no_room,
            received_bytes,
            texts,
            pings,
            pongs,
            messages,
            typing,
            rejected,
            pinged,
            sent_bytes,
            frames: Traffic { expected, queued, sent, too_slow, gone, spared },
        } = *self;
        vec![
            ("accepted", "Connections taken in.", One(accepted)),
            (
                "turned_away",
                "Connections turned away before their request, by what was wanting.",
                by("want", &[("place", turned_away), ("descriptor", surplus)]),
            ),
            ("closed", "Connections that are gone, by why.", closed.labelled("reason")),
            ("joined", "Peers that joined.", One(joined)),
            ("left", "Peers that are gone from their room, by why.", left.labelled("reason")),
            (
                "served",
                "HTTP requests answered with what they asked for, WebSocket handshakes aside.",
                One(served),
            ),
            ("refused", "HTTP requests and handshakes refused.", refused.labelled("status")),
            (
                "unavailable",
                "Handshakes among them, by what there was too much of.",
                by("of", &[("members", full), ("rooms", no_room)]),
            ),
            ("received_bytes", "Bytes that came in.", One(received_bytes)),
            (
                "received",
                "Messages that came in whole.",
                by("kind", &[("text", texts), ("ping", pings), ("pong", pongs)]),
            ),
            ("messages", "Chat messages said to a room.", One(messages)),
            ("typing", "News that somebody writes.", One(typing)),
            (
                "rejected",
                "Messages answered with an error to their sender.",
                rejected.labelled("code"),
            ),
            ("pinged", "Pings sent to silent members.", One(pinged)),
            ("sent_bytes", "Bytes that went out.", One(sent_bytes)),
            ("frames_expected", "Frames that members were to be sent.", One(expected)),
            ("frames_queued", "Frames queued for members.", One(queued)),
            ("frames_sent", "Frames written whole to members' sockets.", One(sent)),
            (
                "frames_dropped",
                "Frames that members were to be sent and were not.",
                by("reason", &[("too_slow", too_slow), ("gone", gone), ("spared", spared)]),
            ),
        ]
    }
}
