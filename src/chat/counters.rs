//! What has been said so far, as plain numbers that only grow.
//!
//! Texts of [`crate::conn::Counters`] = messages + typing + rejected + exited for their rate.

use crate::conn::{Family, Tally, Values};
use crate::envelope::REJECTION_CODES;

/// One number for each kind of event since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Handshakes refused because there were as many members as there may be.
    pub full: u64,
    /// Handshakes refused because they asked for one room too many.
    pub no_room: u64,
    /// Chat messages said to a room.
    pub messages: u64,
    /// News that somebody writes.
    pub typing: u64,
    /// Messages answered with an error to their sender, by its code.
    pub rejected: Tally<&'static str, { REJECTION_CODES.len() }>,
}

impl Default for Counters {
    fn default() -> Self {
        let rejected = Tally::new(&REJECTION_CODES);
        Self { full: 0, no_room: 0, messages: 0, typing: 0, rejected }
    }
}

impl Counters {
    /// Every counter: its name, what it counts, its values.
    pub(super) fn families(&self) -> Vec<Family> {
        let Self { full, no_room, messages, typing, rejected } = *self;
        let unavailable = [("members", full), ("rooms", no_room)];
        let unavailable = unavailable.map(|(of, count)| (of.to_owned(), count)).into();
        vec![
            (
                "unavailable",
                "Handshakes refused, by what there was too much of.",
                Values::By("of", unavailable),
            ),
            ("messages", "Chat messages said to a room.", Values::One(messages)),
            ("typing", "News that somebody writes.", Values::One(typing)),
            (
                "rejected",
                "Messages answered with an error to their sender.",
                rejected.labelled("code"),
            ),
        ]
    }
}
