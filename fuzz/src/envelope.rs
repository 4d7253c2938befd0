//! Text to commands, notices to text, and names.

use hallway::limits::{JSON_BYTES_PER_TEXT_BYTE, Limits};
use hallway::wire::envelope::{
    self, Command, Dialect, EnvelopeError, Notice, Said, parse, reference, write_with_reference,
};
use hallway::wire::name::{clean, is_invisible};
use serde_json::{Value, from_slice, from_str};

use crate::input::Input;

/// Target `envelope`. The first byte chooses the limits; the rest is a text, for a message and
/// for a name.
pub fn envelope(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let limits = Limits { text_bytes_max: [4096, 4][usize::from(choice) % 2], ..Limits::default() };
    let text = String::from_utf8_lossy(input.rest());
    for dialect in Dialect::ALL {
        check_command(&text, dialect, &limits);
    }
    check_notices(&text);
    check_name(&text, usize::from(choice / 2));
}

fn check_command(text: &str, dialect: Dialect, limits: &Limits) {
    // The oracle gives up on deep nesting and on numbers beyond an f64, which we only skip.
    let value: Option<Value> = from_str(text).ok();
    let member = |name: &str| value.as_ref()?.get("payload")?.get(name);
    match parse(text, dialect, limits) {
        Ok(Command::ChatMessage { message, reference: named }) => {
            assert!(!message.is_empty() && message.len() <= limits.text_bytes_max as usize);
            if value.is_some() {
                assert_eq!(member("message").and_then(Value::as_str), Some(&*message));
            }
            assert!(named.is_none() || dialect == Dialect::Second);
            assert_eq!(named, reference(text).filter(|_| dialect == Dialect::Second));
        }
        Ok(Command::Typing) => assert_eq!(dialect, Dialect::Second),
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.code().is_empty());
            check_refusal(&error, value.as_ref(), limits);
        }
    }
    if let (Some(named), Some(_)) = (reference(text), &value) {
        assert_eq!(member("ref").and_then(Value::as_str), Some(&*named));
    }
}

/// A refusal is one for the reason that it names.
fn check_refusal(error: &EnvelopeError, value: Option<&Value>, limits: &Limits) {
    let Some(value) = value else { return };
    let message = value.get("payload").and_then(|payload| payload.get("message"));
    let len = message.and_then(Value::as_str).map(str::len);
    match error {
        // Valid JSON is blamed for its shape; a lone surrogate is no text, which we skip in
        // places where the oracle looks.
        EnvelopeError::NotJson(error) => panic!("it is JSON: {error}"),
        EnvelopeError::Empty => assert_eq!(len, Some(0)),
        EnvelopeError::TooLong { bytes, limit } => {
            assert_eq!((len, *limit), (Some(*bytes), limits.text_bytes_max));
            assert!(*bytes > *limit as usize);
        }
        EnvelopeError::UnknownType(name) => {
            assert_eq!(value.get("type").and_then(Value::as_str), Some(&**name));
            assert_ne!(name, "chatMessage");
        }
        EnvelopeError::Reference => assert!(value["payload"].get("ref").is_some()),
        EnvelopeError::Shape(_) => {}
    }
}

/// Whatever is said can be read by who gets it, and is no longer than the limits foresee.
fn check_notices(text: &str) {
    let said = Said { id: u64::MAX, unix_ms: 0, username: "somebody", message: text };
    let mut plain = Vec::new();
    for dialect in Dialect::ALL {
        plain.clear();
        envelope::write(&Notice::Said(said), dialect, &mut plain);
        let limits = Limits {
            text_bytes_max: u32::try_from(text.len()).expect("short"),
            ..Limits::default()
        };
        assert!(plain.len() < limits.frame_bytes_max() as usize, "{JSON_BYTES_PER_TEXT_BYTE}");
        let value: Value = from_slice(&plain).expect("what we write is JSON");
        assert_eq!(value["type"], "chatMessage");
        assert_eq!(value["payload"]["message"], text);
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
    let Some(name) = clean(raw, chars_max) else { return };
    assert!(!name.is_empty() && name.len() <= raw.len() && name.chars().count() <= chars_max);
    assert!(!name.chars().any(is_invisible), "{name:?} has a forbidden character");
    assert_eq!(name.trim(), name);
    assert_eq!(clean(&name, chars_max).as_deref(), Some(&*name), "cleaning is idempotent");
}
