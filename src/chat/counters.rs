//! What has been said so far, as plain numbers that only grow.
//!
//! Texts of [`crate::conn::Counters`] = messages + typing + rejected.

use crate::conn::Tally;
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
        let rejected = Tally::new(REJECTION_CODES);
        Self { full: 0, no_room: 0, messages: 0, typing: 0, rejected }
    }
}
