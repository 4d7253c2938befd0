//! The envelope `{type, payload}`: text ↔ what a client asks for and what the house has to say,
//! in two dialects.

mod command;
mod notice;

pub use command::{Command, EnvelopeError, parse, reference};
pub use notice::{Announced, Notice, Rejection, Said, Terms, Welcome, write, write_with_reference};

/// How a client and the house speak to each other; chosen in the handshake, for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The original's, byte for byte, for whoever asks for no subprotocol.
    #[default]
    First,
    /// `hallway.v2`: ids, times, acknowledgements, resuming.
    Second,
}

impl Dialect {
    /// All of them, by [`Dialect::index`].
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// Its place in what is kept once a dialect.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The subprotocol that asks for it (RFC 6455, section 1.9).
    pub fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::First => None,
            Self::Second => Some("hallway.v2"),
        }
    }
}
