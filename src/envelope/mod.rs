//! The envelope `{type, payload}`: text ↔ what a client asks for and what the house has to say,
//! in two dialects.

mod command;
mod notice;

pub use command::{Command, EnvelopeError, parse, reference};
pub use notice::{
    Announced, Notice, Rejection, Said, SaidText, Terms, Welcome, read_said, write,
    write_with_reference,
};

/// How a client and the house speak to each other; chosen in the handshake, for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The original's, byte for byte, for whoever asks for no subprotocol.
    #[default]
    First,
    /// `hallway.v2`: ids, times, acknowledgements, resuming.
    Second,
}

/// Every code of a [`Rejection`] in the second dialect; docs/protocol.md says when.
pub const REJECTION_CODES: [&str; 7] =
    ["notJson", "notEnvelope", "unknownType", "empty", "tooLong", "badRef", "tooFast"];

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

/// Whether `text` stands in a JSON string as it is: it has nothing that must be escaped
/// (RFC 8259, section 7). Most of what people say is so, and neither reading nor writing it
/// needs to look at one character after the other. Work: linear, many bytes at a time.
fn is_plain(text: &str) -> bool {
    // Without an early end, so that the compiler makes vectors of it.
    !text.bytes().fold(false, |found, byte| found | matches!(byte, ..b' ' | b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_what_no_serializer_changes() {
        for char in '\0'..='\u{800}' {
            let text = format!("some {char} text");
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(is_plain(&text), json == format!("\"{text}\""), "{char:?}");
        }
    }
}
