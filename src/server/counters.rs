//! What has happened so far, as plain numbers that only grow.

/// One number for each kind of event since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections taken in.
    pub accepted: u64,
    /// Connections that are gone.
    pub closed: u64,
    /// Peers that joined.
    pub joined: u64,
    /// Peers that joined and are gone from their room.
    pub left: u64,
    /// HTTP requests answered with what they asked for, WebSocket handshakes aside.
    pub served: u64,
    /// HTTP requests and handshakes refused with a status.
    pub refused: u64,
    /// Connections turned away before their request, for want of a place.
    pub turned_away: u64,
    /// Chat messages said to a room.
    pub messages: u64,
    /// Messages answered with an error to their sender.
    pub rejected: u64,
    /// Peers whose connection was failed for a fault in a frame.
    pub failed: u64,
    /// Peers dropped with 1008 for staying over their rate.
    pub over_rate: u64,
    /// Peers dropped with 1013 for lagging too far.
    pub too_slow: u64,
    /// Peers dropped because nothing was heard of them.
    pub silent: u64,
}
