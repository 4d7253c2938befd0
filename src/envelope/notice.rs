//! What the house says: one meaning, rendered once a dialect.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::{Dialect, is_plain};

/// What the house says, by its meaning.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'n> {
    /// The first words to a newcomer, to it alone.
    Welcome(&'n Welcome<'n>),
    /// Somebody said something.
    Said(Said<'n>),
    /// Somebody came in.
    Joined(Announced<'n>),
    /// Somebody went.
    Left(Announced<'n>),
    /// How many there are, where that has not been announced with who came and went.
    Count(usize),
    /// Somebody is writing.
    Typing(&'n str),
    /// A message was not accepted, to its sender alone.
    Rejected(Rejection<'n>),
}

/// A chat message.
#[derive(Clone, Copy, Debug)]
pub struct Said<'n> {
    /// Its number in the room, from 1 on.
    pub id: u64,
    /// When the server took it, in milliseconds since 1970 by the wall clock.
    pub unix_ms: i64,
    /// The sender's name, as the server has resolved it.
    pub username: &'n str,
    /// What was said.
    pub message: &'n str,
}

/// Somebody who came or went.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'n> {
    /// Who.
    pub username: &'n str,
    /// Members after that.
    pub count: usize,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug)]
pub struct Rejection<'n> {
    /// For programs; stable.
    pub code: &'static str,
    /// For people.
    pub text: &'n str,
    /// What the client called the message.
    pub reference: Option<&'n str>,
}

/// What a newcomer of the second dialect is told first.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome<'n> {
    /// The name that it got.
    pub username: &'n str,
    /// The room that it is in.
    pub room: &'n str,
    /// In which life of the room ids count.
    pub epoch: &'n str,
    /// The id of the room's latest message; `null` before the first.
    pub last_id: Option<String>,
    /// Whether the replay lacks nothing since the point that was asked for.
    pub complete: bool,
    /// Who is here already; `null` where they are too many to be announced.
    pub users: Option<Vec<&'n str>>,
    /// What the server will accept.
    pub limits: Terms,
}

/// The limits that a client should know before it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
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

/// What a chat message of the house says, in either dialect.
#[derive(Debug, Default, Deserialize)]
pub struct SaidText<'j> {
    /// The sender's name.
    #[serde(borrow)]
    pub username: Cow<'j, str>,
    /// What was said.
    #[serde(borrow)]
    pub message: Cow<'j, str>,
}

/// Reads the JSON of a chat message that [`write()`] has written. What is none reads as empty.
pub fn read_said(json: &[u8]) -> SaidText<'_> {
    #[derive(Deserialize)]
    struct Envelope<'j> {
        #[serde(borrow)]
        payload: SaidText<'j>,
    }

    let read: Result<Envelope<'_>, _> = serde_json::from_slice(json);
    debug_assert!(read.is_ok(), "it is ours");
    read.map(|envelope| envelope.payload).unwrap_or_default()
}

/// The wire forms but for chat messages ([`put_said`]): compact JSON, keys in this order.
#[derive(Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "camelCase")]
enum Wire<'n> {
    Welcome(&'n Welcome<'n>),
    System {
        text: &'n str,
    },
    UserCount {
        count: usize,
    },
    UserJoined {
        username: &'n str,
        count: usize,
    },
    UserLeft {
        username: &'n str,
        count: usize,
    },
    Typing {
        username: &'n str,
    },
    Error {
        code: &'static str,
        text: &'n str,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'n str>,
    },
}

/// Appends the JSON of `notice` to `out`; nothing where the dialect has no words for it.
pub fn write(notice: &Notice<'_>, dialect: Dialect, out: &mut Vec<u8>) {
    match dialect {
        Dialect::First => write_first(notice, out),
        Dialect::Second => write_second(notice, out),
    }
}

fn write_first(notice: &Notice<'_>, out: &mut Vec<u8>) {
    match *notice {
        Notice::Said(said) => put_said(&said, Dialect::First, out),
        Notice::Joined(who) => {
            put(&Wire::System { text: &format!("{} joined", who.username) }, out);
        }
        Notice::Left(who) => put(&Wire::System { text: &format!("{} left", who.username) }, out),
        Notice::Count(count) => put(&Wire::UserCount { count }, out),
        Notice::Rejected(Rejection { text, .. }) => put(&Wire::System { text }, out),
        Notice::Welcome(_) | Notice::Typing(_) => {}
    }
}

fn write_second(notice: &Notice<'_>, out: &mut Vec<u8>) {
    put(
        &match *notice {
            Notice::Said(said) => return put_said(&said, Dialect::Second, out),
            Notice::Welcome(welcome) => Wire::Welcome(welcome),
            Notice::Joined(Announced { username, count }) => Wire::UserJoined { username, count },
            Notice::Left(Announced { username, count }) => Wire::UserLeft { username, count },
            Notice::Count(count) => Wire::UserCount { count },
            Notice::Typing(username) => Wire::Typing { username },
            Notice::Rejected(Rejection { code, text, reference }) => {
                Wire::Error { code, text, reference }
            }
        },
        out,
    );
}

/// A chat message, key by key: what is said most, and a fourth of what a serializer takes.
fn put_said(said: &Said<'_>, dialect: Dialect, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"type":"chatMessage","payload":{"#);
    if dialect == Dialect::Second {
        out.extend_from_slice(br#""id":""#);
        put(&said.id, out);
        out.extend_from_slice(br#"","time":""#);
        out.extend_from_slice(rfc3339(said.unix_ms).as_bytes());
        out.extend_from_slice(br#"","#);
    }
    out.extend_from_slice(br#""username":"#);
    put_text(said.username, out);
    out.extend_from_slice(br#","message":"#);
    put_text(said.message, out);
    out.extend_from_slice(b"}}");
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    if !is_plain(text) {
        return put(&text, out);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends the JSON of a chat message, `json`, with a `ref` as its last key: what the sender's
/// own echo has more than everybody else's.
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

/// UTC with milliseconds; a wall clock beyond chrono's years reads as the start of 1970.
fn rfc3339(unix_ms: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(unix_ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(notice: &Notice<'_>, dialect: Dialect) -> String {
        let mut out = Vec::new();
        write(notice, dialect, &mut out);
        String::from_utf8(out).unwrap()
    }

    const SAID: Said<'_> =
        Said { id: 7, unix_ms: 1_700_000_000_123, username: "alice", message: "Hello!" };
    const ALICE: Announced<'_> = Announced { username: "alice", count: 3 };

    #[test]
    fn the_first_dialect_is_the_original_byte_for_byte() {
        let rejected = Rejection { code: "empty", text: "message is empty", reference: Some("r") };
        for (notice, text) in [
            (
                Notice::Said(SAID),
                r#"{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}"#,
            ),
            (Notice::Joined(ALICE), r#"{"type":"system","payload":{"text":"alice joined"}}"#),
            (Notice::Left(ALICE), r#"{"type":"system","payload":{"text":"alice left"}}"#),
            (Notice::Count(3), r#"{"type":"userCount","payload":{"count":3}}"#),
            (
                Notice::Rejected(rejected),
                r#"{"type":"system","payload":{"text":"message is empty"}}"#,
            ),
            (Notice::Typing("alice"), ""),
        ] {
            assert_eq!(json(&notice, Dialect::First), text);
        }
    }

    #[test]
    fn the_second_dialect() {
        let rejected = Rejection { code: "empty", text: "message is empty", reference: None };
        let answered = Rejection { reference: Some("r1"), ..rejected };
        for (notice, text) in [
            (
                Notice::Said(SAID),
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
            (Notice::Typing("alice"), r#"{"type":"typing","payload":{"username":"alice"}}"#),
            (
                Notice::Rejected(rejected),
                r#"{"type":"error","payload":{"code":"empty","text":"message is empty"}}"#,
            ),
            (
                Notice::Rejected(answered),
                r#"{"type":"error","payload":{"code":"empty","text":"message is empty","ref":"r1"}}"#,
            ),
        ] {
            assert_eq!(json(&notice, Dialect::Second), text);
        }
    }

    #[test]
    fn a_welcome_has_all_its_keys() {
        let limits =
            Terms { text_bytes: 4096, ref_bytes: 64, username_chars: 64, rate: 50, burst: 1000 };
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
            json(&Notice::Welcome(&welcome), Dialect::Second),
            r#"{"type":"welcome","payload":{"username":"bob","room":"lobby","epoch":"e1","lastId":null,"complete":true,"users":["alice"],"limits":{"textBytes":4096,"refBytes":64,"usernameChars":64,"rate":50,"burst":1000}}}"#
        );
        assert_eq!(json(&Notice::Welcome(&welcome), Dialect::First), "");
    }

    #[test]
    fn an_echo_has_the_reference_of_its_sender() {
        let plain = json(&Notice::Said(SAID), Dialect::Second);
        let mut out = Vec::new();
        write_with_reference(plain.as_bytes(), "a\"b", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"type":"chatMessage","payload":{"id":"7","time":"2023-11-14T22:13:20.123Z","username":"alice","message":"Hello!","ref":"a\"b"}}"#
        );
    }
}
