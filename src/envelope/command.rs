//! What a client asks for.

use std::borrow::Cow;
use std::fmt::Display;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Version, is_plain};
use crate::limits::{Limits, REFERENCE_BYTES_MAX};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'t> {
    /// Say this to everybody in the room.
    Text {
        /// The text as it was sent; neither empty nor over the limit.
        text: Cow<'t, str>,
        /// What the client calls the message, to know its echo; V2 only.
        reference: Option<Cow<'t, str>>,
    },
    /// Tell the others that I am writing; V2 only.
    Typing,
}

/// What is wrong with a message. Its sender is told this and stays connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeError {
    /// For programs; stable. One of [`super::REJECTION_CODES`].
    pub code: &'static str,
    /// For people.
    pub text: String,
}

impl EnvelopeError {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// JSON of another shape than an envelope, or a payload of another shape than its type's.
    fn shape(what: impl Display) -> Self {
        Self::new("notEnvelope", format!("not an envelope: {what}"))
    }

    /// A `ref` that is no string, or a long one.
    fn reference() -> Self {
        Self::new("badRef", format!("ref is not a string of at most {REFERENCE_BYTES_MAX} bytes"))
    }
}

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
    #[serde(borrow, default, rename = "ref")]
    reference: Option<&'t RawValue>,
}

/// The one key that is read of a message that was not accepted.
#[derive(Deserialize)]
struct ReferencePayload<'t> {
    #[serde(borrow, rename = "ref")]
    reference: Cow<'t, str>,
}

/// Reads one message of a client.
///
/// Unknown keys are ignored, a `username` among them: nobody chooses a name after the handshake.
/// In V1, what only V2 knows is unknown too. Work: linear in the text; the message is not copied
/// unless it has escapes.
///
/// # Errors
/// In the words that its sender is told.
pub fn parse<'t>(
    text: &'t str,
    version: Version,
    limits: &Limits,
) -> Result<Command<'t>, EnvelopeError> {
    if let Some((text, reference)) = usual(text) {
        let reference = reference.filter(|_| version == Version::V2).map(Cow::Borrowed);
        return check_text(text.into(), reference, limits);
    }
    let envelope: Envelope<'_> = object(text)?;
    match (&*envelope.kind, version) {
        ("chatMessage", _) => {
            let missing = || EnvelopeError::shape("missing field `payload`");
            let payload = envelope.payload.ok_or_else(missing)?.get();
            let ChatPayload { message, reference } = object(payload)?;
            let reference = reference.filter(|_| version == Version::V2);
            let reference = reference.map(|raw| serde_json::from_str(raw.get())).transpose();
            check_text(message, reference.map_err(|_| EnvelopeError::reference())?, limits)
        }
        ("typing", Version::V2) => Ok(Command::Typing),
        (kind, _) => Err(EnvelopeError::new("unknownType", format!("unknown type {kind:?}"))),
    }
}

/// The text, and the `ref` if there is one, of an envelope as nearly all are: written by
/// `JSON.stringify` or its like, without escapes. `None` where serde must read it; serde reads
/// the usual form too, and to the same result.
///
/// Measured: 140 instructions in place of 1,800 for a message of 17 bytes (`crowded` of
/// benches/sans_io.rs).
fn usual(text: &str) -> Option<(&str, Option<&str>)> {
    let body = text.strip_prefix(r#"{"type":"chatMessage","payload":{"message":""#)?;
    let body = body.strip_suffix(r#""}}"#)?;
    if is_plain(body) {
        return Some((body, None));
    }
    let (message, reference) = body.split_once(r#"","ref":""#)?;
    (is_plain(message) && is_plain(reference)).then_some((message, Some(reference)))
}

fn check_text<'t>(
    text: Cow<'t, str>,
    reference: Option<Cow<'t, str>>,
    limits: &Limits,
) -> Result<Command<'t>, EnvelopeError> {
    if reference.as_ref().is_some_and(|reference| reference.len() > REFERENCE_BYTES_MAX) {
        return Err(EnvelopeError::reference());
    }
    let (bytes, limit) = (text.len(), limits.text_bytes_max);
    if bytes == 0 {
        // White space is text: the original sends it as it is.
        return Err(EnvelopeError::new("empty", "message is empty"));
    }
    if bytes > limit as usize {
        let what = format!("message is {bytes} bytes, the limit is {limit}");
        return Err(EnvelopeError::new("tooLong", what));
    }
    Ok(Command::Text { text, reference })
}

/// The `ref` of a message that was not accepted, if it has a proper one.
pub fn reference(text: &str) -> Option<Cow<'_, str>> {
    let envelope: Envelope<'_> = object(text).ok()?;
    let payload: ReferencePayload<'_> = object(envelope.payload?.get()).ok()?;
    Some(payload.reference).filter(|reference| reference.len() <= REFERENCE_BYTES_MAX)
}

/// Reads a JSON object. serde alone would take an array for a struct, and call one with too many
/// elements a syntax error.
fn object<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, EnvelopeError> {
    if text.trim_start().starts_with('[') {
        let IgnoredAny = read(text)?;
        return Err(EnvelopeError::shape("it is an array"));
    }
    read(text)
}

fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, EnvelopeError> {
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => EnvelopeError::shape(error),
        false => EnvelopeError::new("notJson", format!("not JSON: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> String {
        match parse(text, Version::V1, &Limits::default()) {
            Ok(Command::Text { text, reference: None }) => format!("ok: {text}"),
            Ok(command) => panic!("not of V1: {command:?}"),
            Err(error) => error.text,
        }
    }

    #[test]
    fn every_answer_to_a_message() {
        let long =
            format!(r#"{{"type":"chatMessage","payload":{{"message":"{}"}}}}"#, "x".repeat(5120));
        for (text, expected) in [
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
            ("[]", "not an envelope: it is an array"),
            (r#"["chatMessage",{},0,{}]"#, "not an envelope: it is an array"),
            ("[", "not JSON: EOF while parsing a list at line 1 column 1"),
            (
                "7",
                "not an envelope: invalid type: integer `7`, expected an object with \"type\" and \"payload\" at line 1 column 1",
            ),
        ] {
            assert_eq!(answer(text), expected, "{text}");
        }
    }

    #[test]
    fn the_limit_counts_bytes_of_the_text_and_not_of_its_escapes() {
        let limits = Limits { text_bytes_max: 4, ..Limits::default() };
        let text = |message: &str| {
            format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#)
        };
        let parse = |text: &str| parse(text, Version::V1, &limits).map(|_| ());
        assert!(parse(&text(r"\u0041\u0041\u0041\u0041")).is_ok());
        assert!(parse(&text("üü")).is_ok());
        let error = parse(&text("üüx")).unwrap_err();
        assert_eq!((error.code, &*error.text), ("tooLong", "message is 5 bytes, the limit is 4"));
    }

    #[test]
    fn nesting_without_end_is_no_stack_overflow() {
        let deep = format!(r#"{{"type":"chatMessage","x":{}"#, "[".repeat(200_000));
        assert!(answer(&deep).starts_with("not JSON: "));
    }

    #[test]
    fn a_reference_is_a_short_string_of_v2() {
        let limits = Limits::default();
        let text = |reference: &str| {
            format!(r#"{{"type":"chatMessage","payload":{{"message":"x","ref":{reference}}}}}"#)
        };
        let long = format!("\"{}\"", "r".repeat(REFERENCE_BYTES_MAX + 1));
        for (raw, expected) in
            [(r#""r1""#, Some("r1")), (r#""a\nb""#, Some("a\nb")), ("7", None), (&long, None)]
        {
            let text = text(raw);
            let second = parse(&text, Version::V2, &limits);
            match expected {
                Some(_) => assert!(
                    matches!(&second, Ok(Command::Text { reference, .. }) if reference.as_deref() == expected),
                    "{raw}: {second:?}"
                ),
                None => assert_eq!(second.unwrap_err().code, "badRef", "{raw}"),
            }
            let first = parse(&text, Version::V1, &limits);
            assert!(matches!(first, Ok(Command::Text { reference: None, .. })), "{raw}");
        }
    }

    #[test]
    fn the_reference_of_a_bad_message_is_found() {
        assert_eq!(
            reference(r#"{"type":"chatMessage","payload":{"message":"","ref":"r1"}}"#).as_deref(),
            Some("r1")
        );
        assert_eq!(reference(r#"{"type":"nope","payload":{"ref":"r1"}}"#).as_deref(), Some("r1"));
        assert_eq!(reference(r#"{"type":"nope","payload":{"ref":1}}"#), None);
        assert_eq!(reference("[]"), None);
    }

    #[test]
    fn the_usual_form_comes_to_the_same_as_any_other() {
        let limits = Limits { text_bytes_max: 64, ..Limits::default() };
        let (longest, too_long) = ("r".repeat(REFERENCE_BYTES_MAX), "x".repeat(65));
        for payload in [
            r#""message":"plain""#,
            r#""message":"""#,
            &format!(r#""message":"{too_long}""#),
            r#""message":"größer 😀""#,
            r#""message":"tab\tand \"quotes\" and \u0041""#,
            "\"message\":\"a raw \t tab\"",
            r#""message":"x","ref":"r1""#,
            r#""message":"x","ref":"""#,
            &format!(r#""message":"x","ref":"{longest}""#),
            &format!(r#""message":"x","ref":"{longest}r""#),
            &format!(r#""message":"{too_long}","ref":"{longest}r""#),
            r#""message":"x","ref":"r\n1""#,
            r#""message":"x","ref":"r","ref":"r""#,
            r#""message":"x","ref":"r","more":"y""#,
            r#""message":"x","message":"y""#,
            r#""message":"x"},"payload":{"message":"y""#,
        ] {
            for version in Version::ALL {
                let usual = format!(r#"{{"type":"chatMessage","payload":{{{payload}}}}}"#);
                let other = format!(r#" {{"type":"chatMessage","payload":{{{payload}}}}}"#);
                // Where a fault is told by its place, the space has moved it.
                let told = |text: &str| {
                    let told = format!("{:?}", parse(text, version, &limits));
                    told.split("column").next().map(str::to_owned)
                };
                assert_eq!(told(&usual), told(&other), "{usual}");
            }
        }
    }

    #[test]
    fn typing_is_of_v2() {
        let limits = Limits::default();
        let text = r#"{"type":"typing"}"#;
        assert!(matches!(parse(text, Version::V2, &limits), Ok(Command::Typing)));
        assert_eq!(answer(text), r#"unknown type "typing""#);
    }
}
