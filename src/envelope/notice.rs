//! What the server says: one meaning, written once per version.

use std::io::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{Version, is_plain};

/// Every code of a [`Rejection`]; docs/protocol.md says when.
pub const REJECTION_CODES: [&str; 6] =
    ["notJson", "notEnvelope", "unknownType", "empty", "tooLong", "badRef"];

/// What the server says, by its meaning. In V2 serde writes all but texts and counts: compact
/// JSON, keys in this order.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "camelCase")]
pub enum Notice<'n> {
    /// The first message to a new member, to it alone; V2 only.
    Welcome(&'n Welcome<'n>),
    /// Somebody sent a text.
    #[serde(skip)]
    Text(Text<'n>),
    /// Somebody came in.
    #[serde(rename = "userJoined")]
    Joined(Announced<'n>),
    /// Somebody left.
    #[serde(rename = "userLeft")]
    Left(Announced<'n>),
    /// How many members there are, where that was not announced with who came and left.
    #[serde(skip)]
    Count(usize),
    /// Somebody is writing; V2 only.
    Typing {
        /// Who.
        username: &'n str,
    },
    /// A message was not accepted, to its sender alone.
    #[serde(rename = "error")]
    Rejected(Rejection<'n>),
}

/// A chat message.
#[derive(Clone, Copy, Debug)]
pub struct Text<'n> {
    /// Its number in the room, from 1 on.
    pub id: u64,
    /// When the server took it, in milliseconds since 1970 by the wall clock.
    pub unix_ms: i64,
    /// The sender's name, as the server has resolved it.
    pub username: &'n str,
    /// The text as it was sent.
    pub text: &'n str,
}

/// Somebody who came or left.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Announced<'n> {
    /// Who.
    pub username: &'n str,
    /// Members after that.
    pub count: usize,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rejection<'n> {
    /// For programs; stable. One of [`REJECTION_CODES`].
    pub code: &'static str,
    /// For people.
    pub text: &'n str,
    /// What the client called the message.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<&'n str>,
}

/// What a new member is told first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome<'n> {
    /// The name that it got.
    pub username: &'n str,
    /// The room that it is in.
    pub room: &'n str,
    /// Ids are compared within one epoch of the room only.
    pub epoch: &'n str,
    /// The id of the room's latest message; `null` before the first.
    pub last_id: Option<String>,
    /// Whether the replay has every message since the one that was asked for.
    pub complete: bool,
    /// Who is here already; `null` where they are too many to be announced.
    pub users: Option<Vec<&'n str>>,
    /// What the server will accept.
    pub limits: ClientLimits,
}

/// The limits that a client should know before it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientLimits {
    /// Bytes of the text of a message.
    pub text_bytes: u32,
    /// Bytes of a `ref`.
    pub ref_bytes: usize,
    /// Characters of a name.
    pub username_chars: usize,
    /// Messages a second, 0 for any number.
    pub rate: u32,
    /// Messages at once.
    pub burst: u32,
}

/// Appends the JSON of `notice` to `out`; nothing where the version has no form for it.
pub fn write(notice: &Notice<'_>, version: Version, out: &mut Vec<u8>) {
    match (*notice, version) {
        (Notice::Text(text), _) => put_text(&text, version, out),
        (Notice::Count(count), _) => {
            out.extend_from_slice(br#"{"type":"userCount","payload":{"count":"#);
            put(&count, out);
            out.extend_from_slice(b"}}");
        }
        (_, Version::V2) => put(notice, out),
        (Notice::Joined(who), Version::V1) => put_system(&[who.username, " joined"], out),
        (Notice::Left(who), Version::V1) => put_system(&[who.username, " left"], out),
        (Notice::Rejected(rejection), Version::V1) => put_system(&[rejection.text], out),
        (Notice::Welcome(_) | Notice::Typing { .. }, Version::V1) => {}
    }
}

fn put_system(parts: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"system","payload":{"text":"#);
    put_string(&parts.concat(), out);
    out.extend_from_slice(b"}}");
}

/// A text, key by key: texts are most of what is written, and a serializer takes four times as
/// long.
fn put_text(text: &Text<'_>, version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"chatMessage","payload":{"#);
    if version == Version::V2 {
        // A wall clock beyond chrono's years reads as the start of 1970.
        let time = DateTime::<Utc>::from_timestamp_millis(text.unix_ms).unwrap_or_default();
        let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
        // Writing to a Vec cannot fail.
        let _ = write!(out, r#""id":"{}","time":"{time}","#, text.id);
    }
    out.extend_from_slice(br#""username":"#);
    put_string(text.username, out);
    out.extend_from_slice(br#","message":"#);
    put_string(text.text, out);
    out.extend_from_slice(b"}}");
}

fn put_string(string: &str, out: &mut Vec<u8>) {
    if !is_plain(string) {
        return put(&string, out);
    }
    out.push(b'"');
    out.extend_from_slice(string.as_bytes());
    out.push(b'"');
}

/// Appends `json`, the JSON of a text, with a `ref` as its last key: the echo to its sender has
/// that more than what everybody else gets.
pub fn write_with_reference(json: &[u8], reference: &str, out: &mut Vec<u8>) {
    const END: &[u8] = b"}}";
    out.extend_from_slice(json.strip_suffix(END).unwrap_or(json));
    out.extend_from_slice(b",\"ref\":");
    put(&reference, out);
    out.extend_from_slice(END);
}

fn put(value: &impl Serialize, out: &mut Vec<u8>) {
    // Strings and integers always serialize, and a Vec takes every byte.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(notice: &Notice<'_>, version: Version) -> String {
        let mut out = Vec::new();
        write(notice, version, &mut out);
        String::from_utf8(out).unwrap()
    }

    const TEXT: Text<'_> =
        Text { id: 7, unix_ms: 1_700_000_000_123, username: "alice", text: "Hello!" };
    const ALICE: Announced<'_> = Announced { username: "alice", count: 3 };

    #[test]
    fn v1_is_the_original_byte_for_byte() {
        let rejected = Rejection { code: "empty", text: "message is empty", reference: Some("r") };
        for (notice, text) in [
            (
                Notice::Text(TEXT),
                r#"{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}"#,
            ),
            (Notice::Joined(ALICE), r#"{"type":"system","payload":{"text":"alice joined"}}"#),
            (Notice::Left(ALICE), r#"{"type":"system","payload":{"text":"alice left"}}"#),
            (Notice::Count(3), r#"{"type":"userCount","payload":{"count":3}}"#),
            (
                Notice::Rejected(rejected),
                r#"{"type":"system","payload":{"text":"message is empty"}}"#,
            ),
            (Notice::Typing { username: "alice" }, ""),
        ] {
            assert_eq!(json(&notice, Version::V1), text);
        }
    }

    #[test]
    fn v2_has_ids_times_and_codes() {
        let rejected = Rejection { code: "empty", text: "message is empty", reference: None };
        let answered = Rejection { reference: Some("r1"), ..rejected };
        for (notice, text) in [
            (
                Notice::Text(TEXT),
                r#"{"type":"chatMessage","payload":{"id":"7","time":"2023-11-14T22:13:20.123Z","username":"alice","message":"Hello!"}}"#,
            ),
            (
                Notice::Joined(ALICE),
                r#"{"type":"userJoined","payload":{"username":"alice","count":3}}"#,
            ),
            (
                Notice::Left(ALICE),
                r#"{"type":"userLeft","payload":{"username":"alice","count":3}}"#,
            ),
            (Notice::Count(3), r#"{"type":"userCount","payload":{"count":3}}"#),
            (
                Notice::Typing { username: "alice" },
                r#"{"type":"typing","payload":{"username":"alice"}}"#,
            ),
            (
                Notice::Rejected(rejected),
                r#"{"type":"error","payload":{"code":"empty","text":"message is empty"}}"#,
            ),
            (
                Notice::Rejected(answered),
                r#"{"type":"error","payload":{"code":"empty","text":"message is empty","ref":"r1"}}"#,
            ),
        ] {
            assert_eq!(json(&notice, Version::V2), text);
        }
    }

    #[test]
    fn a_welcome_has_all_its_keys() {
        let limits = ClientLimits {
            text_bytes: 4096,
            ref_bytes: 64,
            username_chars: 64,
            rate: 50,
            burst: 1000,
        };
        let welcome = Welcome {
            username: "bob",
            room: "lobby",
            epoch: "e1",
            last_id: None,
            complete: true,
            users: Some(vec!["alice"]),
            limits,
        };
        assert_eq!(
            json(&Notice::Welcome(&welcome), Version::V2),
            r#"{"type":"welcome","payload":{"username":"bob","room":"lobby","epoch":"e1","lastId":null,"complete":true,"users":["alice"],"limits":{"textBytes":4096,"refBytes":64,"usernameChars":64,"rate":50,"burst":1000}}}"#
        );
        assert_eq!(json(&Notice::Welcome(&welcome), Version::V1), "");
    }

    #[test]
    fn an_echo_has_the_reference_of_its_sender() {
        let plain = json(&Notice::Text(TEXT), Version::V2);
        let mut out = Vec::new();
        write_with_reference(plain.as_bytes(), "a\"b", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"type":"chatMessage","payload":{"id":"7","time":"2023-11-14T22:13:20.123Z","username":"alice","message":"Hello!","ref":"a\"b"}}"#
        );
    }
}
