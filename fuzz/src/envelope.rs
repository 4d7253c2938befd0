//! Text to commands, notices to text, and names.

use hallway::envelope::name::{clean, is_invisible};
use hallway::envelope::{
    self, Announced, ClientLimits, Command, EnvelopeError, Notice, REJECTION_CODES, Rejection,
    Text, Version, Welcome, parse, reference, write_with_reference,
};
use hallway::limits::{Limits, REFERENCE_BYTES_MAX};
use serde_json::{Value, from_slice, from_str, json};

use crate::input::Input;

/// Bytes of what is said of people: names are no longer, nor what an error quotes.
const PERSON_BYTES_MAX: usize = 256;

/// Target `envelope`. The first byte chooses the limits; the rest is a text, for a message and
/// for a name.
pub fn envelope(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let limits = Limits { text_bytes_max: [4096, 4][usize::from(choice) % 2], ..Limits::default() };
    let text = String::from_utf8_lossy(input.rest());
    // The oracle gives up on deep nesting and on numbers beyond an f64, which we only skip.
    let value: Option<Value> = from_str(&text).ok();
    for version in Version::ALL {
        check_command(&text, value.as_ref(), version, &limits);
    }
    check_name(&text, usize::from(choice / 2));
    // Each of these is as much work as all the rest.
    match choice % 4 {
        0 => check_notices_of_people(&text[..text.floor_char_boundary(PERSON_BYTES_MAX)]),
        1 | 2 => check_there_and_back(&text, &limits),
        _ => check_notices(&text),
    }
}

fn check_command(text: &str, value: Option<&Value>, version: Version, limits: &Limits) {
    let member = |name: &str| value?.get("payload")?.get(name);
    match parse(text, version, limits) {
        Ok(Command::Text { text: message, reference: named }) => {
            assert!(!message.is_empty() && message.len() <= limits.text_bytes_max as usize);
            if value.is_some() {
                assert_eq!(member("message").and_then(Value::as_str), Some(&*message));
            }
            assert!(named.is_none() || version == Version::V2);
            assert_eq!(named, reference(text).filter(|_| version == Version::V2));
        }
        Ok(Command::Typing) => assert_eq!(version, Version::V2),
        Err(error) => {
            assert!(!error.text.is_empty() && REJECTION_CODES.contains(&error.code));
            check_refusal(&error, value, limits);
        }
    }
    if let (Some(named), Some(_)) = (reference(text), value) {
        assert_eq!(member("ref").and_then(Value::as_str), Some(&*named));
    }
}

/// A refusal is one for the reason that it names.
fn check_refusal(error: &EnvelopeError, value: Option<&Value>, limits: &Limits) {
    let Some(value) = value else { return };
    let message = value.get("payload").and_then(|payload| payload.get("message"));
    let len = message.and_then(Value::as_str).map(str::len);
    match error.code {
        // Valid JSON is blamed for its shape; a lone surrogate is no text, which we skip in
        // places where the oracle looks.
        "notJson" => panic!("it is JSON: {error:?}"),
        "empty" => assert_eq!(len, Some(0)),
        "tooLong" => check_too_long(error, len, limits),
        "unknownType" => {
            let name = value.get("type").and_then(Value::as_str).expect("a name");
            assert_eq!(error.text, format!("unknown type {name:?}"));
            assert_ne!(name, "chatMessage");
        }
        "badRef" => assert!(value["payload"].get("ref").is_some()),
        code => assert_eq!(code, "notEnvelope"),
    }
}

fn check_too_long(error: &EnvelopeError, len: Option<usize>, limits: &Limits) {
    let (bytes, limit) = (len.expect("a text"), limits.text_bytes_max);
    assert!(bytes > limit as usize);
    assert_eq!(error.text, format!("message is {bytes} bytes, the limit is {limit}"));
}

/// What another implementation writes, with `text` as message and as `ref`, is read as that.
fn check_there_and_back(text: &str, limits: &Limits) {
    let payload = json!({"message": text, "ref": text});
    let wire = json!({"type": "chatMessage", "payload": payload}).to_string();
    for version in Version::ALL {
        let named = (version == Version::V2).then_some(text);
        match parse(&wire, version, limits) {
            Ok(Command::Text { text: message, reference }) => {
                assert_eq!((&*message, reference.as_deref()), (text, named));
            }
            Ok(command) => panic!("{command:?} is no message"),
            Err(error) => match error.code {
                "badRef" => assert!(named.is_some_and(|named| named.len() > REFERENCE_BYTES_MAX)),
                "empty" => assert_eq!(text, ""),
                "tooLong" => check_too_long(&error, Some(text.len()), limits),
                _ => panic!("{wire}: {error:?}"),
            },
        }
    }
}

/// Whatever the server says of people can be read by who gets it.
fn check_notices_of_people(text: &str) {
    let who = Announced { username: text, count: usize::MAX };
    let rejection = Rejection { code: "code", text, reference: Some(text) };
    let limits =
        ClientLimits { text_bytes: 1, ref_bytes: 2, username_chars: 3, rate: 4, burst: u32::MAX };
    let (last_id, users) = (Some(u64::MAX.to_string()), Some(vec![text, text]));
    let (username, room, epoch, complete) = (text, text, text, true);
    let welcome = Welcome { username, room, epoch, last_id, complete, users, limits };
    let system = |text: String| json!({"type": "system", "payload": {"text": text}});
    let v2 = |kind: &str, payload: Value| json!({"type": kind, "payload": payload});
    let announced = json!({"username": text, "count": usize::MAX});
    for (notice, in_v1, in_v2) in [
        (
            Notice::Joined(who),
            Some(system(format!("{text} joined"))),
            v2("userJoined", announced.clone()),
        ),
        (
            Notice::Left(who),
            Some(system(format!("{text} left"))),
            v2("userLeft", announced.clone()),
        ),
        (Notice::Typing { username: text }, None, v2("typing", json!({"username": text}))),
        (
            Notice::Rejected(rejection),
            Some(system(text.to_owned())),
            v2("error", json!({"code": "code", "text": text, "ref": text})),
        ),
        (
            Notice::Welcome(&welcome),
            None,
            v2(
                "welcome",
                json!({
                    "username": text, "room": text, "epoch": text, "users": [text, text],
                    "lastId": u64::MAX.to_string(), "complete": true,
                    "limits": {"textBytes": 1, "refBytes": 2, "usernameChars": 3, "rate": 4,
                        "burst": u32::MAX},
                }),
            ),
        ),
    ] {
        assert_eq!(read(&notice, Version::V1), in_v1);
        assert_eq!(read(&notice, Version::V2), Some(in_v2));
    }
}

/// What a client reads of a notice; `None` where its version has no words for it.
fn read(notice: &Notice<'_>, version: Version) -> Option<Value> {
    let mut wire = Vec::new();
    envelope::write(notice, version, &mut wire);
    (!wire.is_empty()).then(|| from_slice(&wire).expect("what we write is JSON"))
}

/// A message can be read by who gets it, and is no longer than the limits foresee.
fn check_notices(text: &str) {
    let message = Text { id: u64::MAX, unix_ms: 0, username: "somebody", text };
    let mut plain = Vec::new();
    for version in Version::ALL {
        plain.clear();
        envelope::write(&Notice::Text(message), version, &mut plain);
        let limits = Limits {
            text_bytes_max: u32::try_from(text.len()).expect("short"),
            ..Limits::default()
        };
        assert!(plain.len() < limits.frame_bytes_max() as usize, "longer than foreseen");
        let value: Value = from_slice(&plain).expect("what we write is JSON");
        assert_eq!(value["type"], "chatMessage");
        let payload = &value["payload"];
        assert_eq!((&payload["username"], &payload["message"]), (&"somebody".into(), &text.into()));
    }
    let mut echo = Vec::new();
    write_with_reference(&plain, text, &mut echo);
    let value: Value = from_slice(&echo).expect("what we write is JSON");
    assert_eq!(
        (&value["payload"]["message"], &value["payload"]["ref"]),
        (&text.into(), &text.into())
    );
}

fn check_name(raw: &str, chars_max: usize) {
    let visible: String = raw.chars().filter(|&char| !is_invisible(char)).collect();
    let visible = visible.trim();
    let Some(name) = clean(raw, chars_max) else {
        return assert!(visible.is_empty() || chars_max == 0, "{visible:?} is lost");
    };
    assert!(!name.is_empty() && name.len() <= raw.len() && name.chars().count() <= chars_max);
    assert!(!name.chars().any(is_invisible), "{name:?} has a forbidden character");
    assert_eq!(name.trim(), name);
    let is_cut = visible.chars().count() > chars_max;
    assert!(visible.starts_with(&name) && (is_cut || visible == name), "{visible:?}: {name:?}");
    assert_eq!(clean(&name, chars_max).as_deref(), Some(&*name), "cleaning is idempotent");
}
