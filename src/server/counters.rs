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

impl Counters {
    /// Every counter: its name, what it counts, its value.
    pub fn list(&self) -> [(&'static str, &'static str, u64); 13] {
        // Whoever adds a counter is told here by the compiler.
        let Self {
            accepted,
            closed,
            joined,
            left,
            served,
            refused,
            turned_away,
            messages,
            rejected,
            failed,
            over_rate,
            too_slow,
            silent,
        } = *self;
        [
            ("accepted", "Connections taken in.", accepted),
            ("closed", "Connections that are gone.", closed),
            ("joined", "Peers that joined.", joined),
            ("left", "Peers that joined and are gone from their room.", left),
            (
                "served",
                "HTTP requests answered with what they asked for, WebSocket handshakes aside.",
                served,
            ),
            ("refused", "HTTP requests and handshakes refused with a status.", refused),
            (
                "turned_away",
                "Connections turned away before their request, for want of a place.",
                turned_away,
            ),
            ("messages", "Chat messages said to a room.", messages),
            ("rejected", "Messages answered with an error to their sender.", rejected),
            ("failed", "Peers whose connection was failed for a fault in a frame.", failed),
            ("over_rate", "Peers dropped with 1008 for staying over their rate.", over_rate),
            ("too_slow", "Peers dropped with 1013 for lagging too far.", too_slow),
            ("silent", "Peers dropped because nothing was heard of them.", silent),
        ]
    }
}
