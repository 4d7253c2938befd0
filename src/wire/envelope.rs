//! The envelope `{type, payload}`: text ↔ what a client asks for and what the house has to say.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::Limits;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'t> {
    /// Say this to everybody in the room.
    ChatMessage {
        /// The text as it was sent; neither empty nor over the limit.
        message: Cow<'t, str>,
    },
}

/// What the house says, in the first dialect: compact JSON, keys in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "camelCase")]
pub enum Notice<'n> {
    /// Somebody said something.
    ChatMessage {
        /// The sender's name, as the server has resolved it.
        username: &'n str,
        /// What was said.
        message: &'n str,
    },
    /// A line from the house itself.
    System {
        /// What it says.
        text: &'n str,
    },
    /// How many are in the room.
    UserCount {
        /// Members, the receiver included.
        count: usize,
    },
}

/// What is wrong with a message. Its sender is told in these words, and lives on.
#[derive(Debug)]
pub enum EnvelopeError {
    /// The text is no JSON.
    NotJson(serde_json::Error),
    /// JSON of another shape than an envelope, or a payload of another shape than its type's.
    Shape(String),
    /// A `type` that no client may send.
    UnknownType(String),
    /// A text of no characters. White space is text: the original says it as it is.
    Empty,
    /// A text over the limit, in bytes.
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Bytes allowed.
        limit: u32,
    },
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => write!(f, "not JSON: {error}"),
            Self::Shape(what) => write!(f, "not an envelope: {what}"),
            Self::UnknownType(name) => write!(f, "unknown type {name:?}"),
            Self::Empty => write!(f, "message is empty"),
            Self::TooLong { bytes, limit } => {
                write!(f, "message is {bytes} bytes, the limit is {limit}")
            }
        }
    }
}

impl std::error::Error for EnvelopeError {}

#[derive(Deserialize)]
#[serde(expecting = "an object with \"type\" and \"payload\"")]
struct Envelope<'t> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'t, str>,
    #[serde(borrow, default)]
    payload: Option<&'t RawValue>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with \"message\"")]
struct ChatPayload<'t> {
    #[serde(borrow)]
    message: Cow<'t, str>,
}

/// Reads one message of a client.
///
/// Unknown keys are ignored, a `username` among them: nobody chooses a name after the handshake.
/// Work: linear in the text; nothing is copied unless it has escapes.
///
/// # Errors
/// In the words that its sender is told.
pub fn parse<'t>(text: &'t str, limits: &Limits) -> Result<Command<'t>, EnvelopeError> {
    let envelope: Envelope<'_> = object(text)?;
    if envelope.kind != "chatMessage" {
        return Err(EnvelopeError::UnknownType(envelope.kind.into_owned()));
    }
    let Some(payload) = envelope.payload else {
        return Err(EnvelopeError::Shape("missing field `payload`".to_owned()));
    };
    let ChatPayload { message } = object(payload.get())?;
    if message.is_empty() {
        return Err(EnvelopeError::Empty);
    }
    if message.len() > limits.text_bytes_max as usize {
        return Err(EnvelopeError::TooLong { bytes: message.len(), limit: limits.text_bytes_max });
    }
    Ok(Command::ChatMessage { message })
}

/// Reads a JSON object; serde by itself would take an array for a struct as well.
fn object<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, EnvelopeError> {
    let is_array = text.trim_start().starts_with('[');
    match serde_json::from_str(text) {
        Ok(_) if is_array => Err(EnvelopeError::Shape("it is an array".to_owned())),
        Ok(value) => Ok(value),
        Err(error) if error.is_data() => Err(EnvelopeError::Shape(error.to_string())),
        Err(error) => Err(EnvelopeError::NotJson(error)),
    }
}

/// Appends the JSON of `notice` to `out`.
pub fn write(notice: &Notice<'_>, out: &mut Vec<u8>) {
    // Strings and integers always serialize, and a Vec takes every byte.
    let written = serde_json::to_writer(out, notice);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match parse(text, &Limits::default()) {
            Ok(Command::ChatMessage { message }) => format!("ok: {message}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_answer_to_a_message() {
        let long =
            format!(r#"{{"type":"chatMessage","payload":{{"message":"{}"}}}}"#, "x".repeat(5120));
        for (text, answer) in [
            (r#"{"type":"chatMessage","payload":{"message":"Hello!"}}"#, "ok: Hello!"),
            (r#"{"payload":{"message":"Hello!"},"type":"chatMessage"}"#, "ok: Hello!"),
            (
                r#" {"type":"chatMessage","id":[{}],"payload":{"username":"eve","message":"hi"}} "#,
                "ok: hi",
            ),
            (
                r#"{"type":"chatMessage","payload":{"message":"\ud83d\ude00 \"q\""}}"#,
                "ok: 😀 \"q\"",
            ),
            (r#"{"type":"chat\u004dessage","payload":{"message":"  x "}}"#, "ok:   x "),
            (r#"{"type":"chatMessage","payload":{"message":""}}"#, "message is empty"),
            (r#"{"type":"chatMessage","payload":{"message":" "}}"#, "ok:  "),
            (&long, "message is 5120 bytes, the limit is 4096"),
            ("hello", "not JSON: expected value at line 1 column 1"),
            ("", "not JSON: EOF while parsing a value at line 1 column 0"),
            (
                r#"{"type":"chatMessage""#,
                "not JSON: EOF while parsing an object at line 1 column 21",
            ),
            (r#"{"type":"nope","payload":7}"#, r#"unknown type "nope""#),
            (r#"{"type":"system","payload":{"text":"I am root"}}"#, r#"unknown type "system""#),
            (r#"{"type":"a\u0000b"}"#, r#"unknown type "a\0b""#),
            (r#"{"payload":{}}"#, "not an envelope: missing field `type` at line 1 column 14"),
            (r#"{"type":"chatMessage"}"#, "not an envelope: missing field `payload`"),
            (
                r#"{"type":"chatMessage","payload":{}}"#,
                "not an envelope: missing field `message` at line 1 column 2",
            ),
            (
                r#"{"type":"chatMessage","payload":"hi"}"#,
                "not an envelope: invalid type: string \"hi\", expected an object with \"message\" at line 1 column 4",
            ),
            (r#"["chatMessage",{"message":"hi"}]"#, "not an envelope: it is an array"),
            (r#"{"type":"chatMessage","payload":["hi"]}"#, "not an envelope: it is an array"),
            (
                "7",
                "not an envelope: invalid type: integer `7`, expected an object with \"type\" and \"payload\" at line 1 column 1",
            ),
        ] {
            assert_eq!(said(text), answer, "{text}");
        }
    }

    #[test]
    fn the_limit_counts_bytes_of_the_text_and_not_of_its_escapes() {
        let limits = Limits { text_bytes_max: 4, ..Limits::default() };
        let text = |message: &str| {
            format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#)
        };
        assert!(parse(&text(r"\u0041\u0041\u0041\u0041"), &limits).is_ok());
        assert!(parse(&text("üü"), &limits).is_ok());
        assert!(matches!(
            parse(&text("üüx"), &limits),
            Err(EnvelopeError::TooLong { bytes: 5, limit: 4 })
        ));
    }

    #[test]
    fn nesting_without_end_is_no_stack_overflow() {
        let deep = format!(r#"{{"type":"chatMessage","x":{}"#, "[".repeat(200_000));
        assert!(said(&deep).starts_with("not JSON: "));
    }

    #[test]
    fn notices_are_the_contract_byte_for_byte() {
        for (notice, json) in [
            (
                Notice::ChatMessage { username: "alice", message: "Hello!" },
                r#"{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}"#,
            ),
            (
                Notice::System { text: "alice joined" },
                r#"{"type":"system","payload":{"text":"alice joined"}}"#,
            ),
            (Notice::UserCount { count: 3 }, r#"{"type":"userCount","payload":{"count":3}}"#),
        ] {
            let mut out = Vec::new();
            write(&notice, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), json);
        }
    }
}
