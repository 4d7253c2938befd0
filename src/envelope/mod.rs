//! The envelope `{type, payload}`: text → what a client asks for, and what the server has to
//! say → text, in each version of the protocol; and what people and rooms may be called.

mod command;
pub mod name;
mod notice;
mod version;

pub use command::{Command, EnvelopeError, parse, reference};
pub use notice::{
    Announced, ClientLimits, Notice, REJECTION_CODES, Rejection, Text, Welcome, write,
    write_with_reference,
};
pub use version::Version;

/// Whether `text` is written in a JSON string as it is: nothing in it must be escaped (RFC 8259,
/// section 7). Most texts are such, and then neither a reader nor a writer needs to look at one
/// character after the other. Work: linear, many bytes at a time.
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
