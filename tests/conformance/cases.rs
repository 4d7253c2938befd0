//! The tables: RFC 6455 in its own order, for what a client may send and for what it may not.

use crate::judges::{Said, Verdict};
use testkit::client::masked;

/// One rule, by its section, and a stream that obeys or breaks it.
pub(crate) struct Case {
    pub(crate) rule: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) verdict: Verdict,
    /// Bytes that suffice to see the fault, and not one less.
    pub(crate) judged_at: Option<usize>,
}

fn good(rule: &str, frames: &[Vec<u8>], said: &[Said]) -> Case {
    let verdict = Verdict { said: said.to_vec(), failed: None };
    Case { rule: rule.to_owned(), bytes: frames.concat(), verdict, judged_at: None }
}

/// Where the first fault is in the last of `frames`, whose bytes are counted from 1.
fn bad(rule: &str, frames: &[Vec<u8>], said: &[Said], code: u16, judged_at: usize) -> Case {
    let before: usize = frames[..frames.len() - 1].iter().map(Vec::len).sum();
    let verdict = Verdict { said: said.to_vec(), failed: Some(code) };
    let judged_at = Some(before + judged_at);
    Case { rule: rule.to_owned(), bytes: frames.concat(), verdict, judged_at }
}

fn text(text: &str) -> Said {
    Said::Text(text.to_owned())
}

/// Bytes of the shortest header of a client, and so the place of its first byte of payload.
const HEADER: usize = 6;

/// A frame whose header is written by hand, with a mask of zeros.
fn raw(header: &[u8], payload: &[u8]) -> Vec<u8> {
    [header, &[0; 4], payload].concat()
}

/// A frame of any length, in its shortest form.
fn long(first: u8, len: u32) -> Vec<u8> {
    let header = match len {
        0..=0xffff => [&[first, 0xfe][..], &len.to_be_bytes()[2..]].concat(),
        _ => [&[first, 0xff, 0, 0, 0, 0][..], &len.to_be_bytes()].concat(),
    };
    raw(&header, &vec![b'x'; len as usize])
}

fn xs(len: usize) -> Said {
    Said::Text("x".repeat(len))
}

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let tables =
        [masking(), lengths(), fragments(), control(), closing(), close_codes(), text_cases()];
    tables.into_iter().flatten().chain(first_bytes()).chain(size_limits()).collect()
}

/// Where tungstenite judges otherwise: the rule, what it says, and why we do not.
pub(crate) fn differences() -> Vec<(&'static str, Verdict, &'static str)> {
    let says = |said: &[Said]| Verdict { said: said.to_vec(), failed: None };
    let fails = |code| Verdict { said: Vec::new(), failed: Some(code) };
    let any_form = "it takes a length in any form; the RFC demands the shortest (section 5.2)";
    let mut differences = vec![
        ("5.2 a length of 5 in 16 bits", says(&[text("hello")]), any_form),
        ("5.2 a length of 125 in 16 bits", says(&[xs(125)]), any_form),
        ("5.2 a length of 5 in 64 bits", says(&[text("hello")]), any_form),
        ("5.2 a length of 65,535 in 64 bits", says(&[xs(65_535)]), any_form),
        ("5.5 a Ping of 1 byte in 16 bits", says(&[Said::Ping(vec![b'x'])]), any_form),
        (
            "5.2 a length with its highest bit set",
            fails(1009),
            "it compares with its limit first; the RFC forbids the length itself",
        ),
        (
            "5.5 a Ping of 65,537 bytes",
            fails(1009),
            "it compares with its limit first; no Ping of this kind is allowed under any limit",
        ),
        (
            "10.4 one fragment too many",
            says(&[text("")]),
            "it counts no fragments, so that a peer can keep it busy with empty ones for ever",
        ),
        (
            "7.4.1 code 1005 before a reason that is not UTF-8",
            fails(1007),
            "it looks at the reason before the code; we judge bytes in their order",
        ),
    ];
    for (rule, _) in FORBIDDEN_CODES {
        differences.push((
            rule,
            says(&[Said::Close(Some(1002))]),
            "it reports the code that it answers, as if the client had sent it",
        ));
    }
    differences
}

fn masking() -> Vec<Case> {
    vec![
        good("5.1 a masked frame", &[masked(0x81, b"hello")], &[text("hello")]),
        good("5.3 a key of zeros", &[raw(&[0x81, 0x85], b"hello")], &[text("hello")]),
        good(
            "5.7 the RFC's own masked \"Hello\"",
            &[vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]],
            &[text("Hello")],
        ),
        bad("5.1 an unmasked text", &[vec![0x81, 0x01, b'x']], &[], 1002, 2),
        bad("5.1 an unmasked Ping", &[vec![0x89, 0x00]], &[], 1002, 2),
        bad("5.1 an unmasked Close", &[vec![0x88, 0x00]], &[], 1002, 2),
        bad(
            "5.1 an unmasked frame after a masked one",
            &[masked(0x81, b"a"), vec![0x81, 0x01, b'x']],
            &[text("a")],
            1002,
            2,
        ),
    ]
}

/// Section 5.2: FIN, RSV and opcode, each of the 256 first bytes, at the start of a message and
/// inside of one.
fn first_bytes() -> Vec<Case> {
    let mut cases = Vec::new();
    for first in 0..=0xff {
        let frame = masked(first, b"");
        let rule = format!("5.2 first byte {first:#04x}");
        cases.push(match first {
            0x81 => good(&rule, &[frame], &[text("")]),
            0x82 => good(&rule, &[frame], &[Said::Binary(Vec::new())]),
            0x01 | 0x02 => good(&rule, &[frame], &[]),
            0x88 => good(&rule, &[frame], &[Said::Close(None)]),
            0x89 => good(&rule, &[frame], &[Said::Ping(Vec::new())]),
            0x8a => good(&rule, &[frame], &[Said::Pong(Vec::new())]),
            _ => bad(&rule, &[frame], &[], 1002, 1),
        });
        let (frame, begun) = (masked(first, b""), masked(0x01, b"a"));
        let rule = format!("5.4 first byte {first:#04x} inside of a message");
        cases.push(match first {
            0x00 => good(&rule, &[begun, frame], &[]),
            0x80 => good(&rule, &[begun, frame], &[text("a")]),
            0x88 => good(&rule, &[begun, frame], &[Said::Close(None)]),
            0x89 => good(&rule, &[begun, frame], &[Said::Ping(Vec::new())]),
            0x8a => good(&rule, &[begun, frame], &[Said::Pong(Vec::new())]),
            _ => bad(&rule, &[begun, frame], &[], 1002, 1),
        });
    }
    cases
}

fn lengths() -> Vec<Case> {
    vec![
        good("5.2 a length of 0", &[masked(0x81, b"")], &[text("")]),
        good("5.2 a length of 125", &[masked(0x81, &[b'x'; 125])], &[xs(125)]),
        good("5.2 a length of 126", &[long(0x81, 126)], &[xs(126)]),
        good("5.2 a length of 65,535", &[long(0x81, 65_535)], &[xs(65_535)]),
        good("5.2 a length of 65,536", &[long(0x81, 65_536)], &[xs(65_536)]),
        bad("5.2 a length of 5 in 16 bits", &[raw(&[0x81, 0xfe, 0, 5], b"hello")], &[], 1002, 4),
        bad(
            "5.2 a length of 125 in 16 bits",
            &[raw(&[0x81, 0xfe, 0, 125], &[b'x'; 125])],
            &[],
            1002,
            4,
        ),
        bad(
            "5.2 a length of 5 in 64 bits",
            &[raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5], b"hello")],
            &[],
            1002,
            10,
        ),
        bad(
            "5.2 a length of 65,535 in 64 bits",
            &[raw(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], &[b'x'; 65_535])],
            &[],
            1002,
            10,
        ),
        bad(
            "5.2 a length with its highest bit set",
            &[raw(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], b"")],
            &[],
            1002,
            10,
        ),
    ]
}

/// Section 10.4: messages and fragments at the limit, and one beyond.
fn size_limits() -> Vec<Case> {
    let bytes = |count: u64| [&[0x82, 0xff][..], &count.to_be_bytes()].concat();
    let empty = || masked(0x00, b"");
    let mut fragments = vec![masked(0x01, b"")];
    fragments.resize_with(7, empty);
    let at_most = [&fragments[..], &[masked(0x80, b"")]].concat();
    let beyond = [&fragments[..], &[empty(), masked(0x80, b"")]].concat();
    vec![
        bad("10.4 a message of one byte too many", &[long(0x81, 65_537)], &[], 1009, 14),
        good(
            "10.4 a message at the limit in fragments",
            &[long(0x01, 65_000), long(0x80, 536)],
            &[xs(65_536)],
        ),
        bad(
            "10.4 a message of one byte too many in fragments",
            &[long(0x01, 65_000), long(0x80, 537)],
            &[],
            1009,
            8,
        ),
        bad("10.4 a length of 2^32", &[raw(&bytes(1 << 32), b"")], &[], 1009, 14),
        bad("10.4 a length of 2^32 + 1", &[raw(&bytes((1 << 32) + 1), b"x")], &[], 1009, 14),
        bad("10.4 the longest length", &[raw(&bytes(i64::MAX as u64), b"")], &[], 1009, 14),
        good("10.4 as many fragments as are allowed", &at_most, &[text("")]),
        // The header of the ninth is enough.
        bad("10.4 one fragment too many", &beyond, &[], 1009, HEADER),
    ]
}

fn fragments() -> Vec<Case> {
    vec![
        good(
            "5.4 three fragments",
            &[masked(0x01, b"a"), masked(0x00, b"b"), masked(0x80, b"c")],
            &[text("abc")],
        ),
        good(
            "5.4 binary in fragments",
            &[masked(0x02, &[0xff]), masked(0x80, &[0xfe])],
            &[Said::Binary(vec![0xff, 0xfe])],
        ),
        good(
            "5.4 empty fragments",
            &[masked(0x01, b""), masked(0x00, b""), masked(0x00, b"x"), masked(0x80, b"")],
            &[text("x")],
        ),
        good(
            "5.4 control frames between fragments",
            &[masked(0x01, b"a"), masked(0x89, b"?"), masked(0x8a, b"!"), masked(0x80, b"b")],
            &[Said::Ping(b"?".to_vec()), Said::Pong(b"!".to_vec()), text("ab")],
        ),
        good(
            "5.4 a Close between fragments",
            &[masked(0x01, b"a"), masked(0x88, b"\x03\xe8")],
            &[Said::Close(Some(1000))],
        ),
        good(
            "5.4 a message after a fragmented one",
            &[masked(0x01, b"a"), masked(0x80, b"b"), masked(0x81, b"c"), masked(0x82, b"d")],
            &[text("ab"), text("c"), Said::Binary(b"d".to_vec())],
        ),
        bad(
            "5.4 a continuation after a final frame",
            &[masked(0x81, b"a"), masked(0x80, b"b")],
            &[text("a")],
            1002,
            1,
        ),
        bad(
            "5.4 a continuation after a fragmented message",
            &[masked(0x01, b"a"), masked(0x80, b"b"), masked(0x00, b"c")],
            &[text("ab")],
            1002,
            1,
        ),
        bad(
            "5.4 a fault inside of a message after a Ping",
            &[masked(0x01, b"a"), masked(0x89, b"?"), masked(0x81, b"b")],
            &[Said::Ping(b"?".to_vec())],
            1002,
            1,
        ),
    ]
}

fn control() -> Vec<Case> {
    let body: Vec<u8> = (0..125).collect();
    vec![
        good("5.5 a Ping of 125 bytes", &[masked(0x89, &body)], &[Said::Ping(body.clone())]),
        good("5.5 a Pong of 125 bytes", &[masked(0x8a, &body)], &[Said::Pong(body)]),
        bad("5.5 a Ping of 126 bytes", &[long(0x89, 126)], &[], 1002, 2),
        bad("5.5 a Pong of 126 bytes", &[long(0x8a, 126)], &[], 1002, 2),
        bad("5.5 a Close of 126 bytes", &[long(0x88, 126)], &[], 1002, 2),
        bad("5.5 a Ping of 65,536 bytes", &[long(0x89, 65_536)], &[], 1002, 2),
        bad("5.5 a Ping of 65,537 bytes", &[long(0x89, 65_537)], &[], 1002, 2),
        bad("5.5 a Ping of 1 byte in 16 bits", &[raw(&[0x89, 0xfe, 0, 1], b"x")], &[], 1002, 2),
        good(
            "5.5.2 two Pings",
            &[masked(0x89, b"1"), masked(0x89, b"2")],
            &[Said::Ping(b"1".to_vec()), Said::Ping(b"2".to_vec())],
        ),
        good(
            "5.5.2 a Ping of bytes that are no text",
            &[masked(0x89, &[0xff])],
            &[Said::Ping(vec![0xff])],
        ),
        good(
            "5.5.3 a Pong that nobody asked for",
            &[masked(0x8a, b"x"), masked(0x81, b"a")],
            &[Said::Pong(b"x".to_vec()), text("a")],
        ),
    ]
}

fn closing() -> Vec<Case> {
    let reason = [b"\x03\xe8".to_vec(), vec![b'x'; 123]].concat();
    let close = |code| [Said::Close(Some(code))];
    vec![
        good("5.5.1 a Close without a body", &[masked(0x88, b"")], &[Said::Close(None)]),
        good("5.5.1 a Close with a code", &[masked(0x88, b"\x03\xe9")], &close(1001)),
        good("5.5.1 a reason", &[masked(0x88, b"\x03\xe8bye \xc3\xbc")], &close(1000)),
        good("5.5.1 the longest reason", &[masked(0x88, &reason)], &close(1000)),
        good(
            "5.5.1 data after a Close",
            &[masked(0x81, b"a"), masked(0x88, b"\x03\xe8"), masked(0x81, b"b")],
            &[text("a"), Said::Close(Some(1000))],
        ),
        good("5.5.1 a Close after a Close", &vec![masked(0x88, b"\x03\xe8"); 2], &close(1000)),
        good(
            "5.5.1 faults after a Close",
            &[masked(0x88, b"\x03\xe8"), vec![0xff; 20]],
            &close(1000),
        ),
        bad("5.5.1 a body of one byte", &[masked(0x88, b"\x03")], &[], 1002, HEADER + 1),
        bad("5.5.1 a reason that is not UTF-8", &[masked(0x88, b"\x03\xe8\xff")], &[], 1007, 9),
        bad("5.5.1 a reason that is cut", &[masked(0x88, b"\x03\xe8a\xe2\x82")], &[], 1007, 11),
        bad(
            "7.4.1 code 1005 before a reason that is not UTF-8",
            &[masked(0x88, b"\x03\xed\xff")],
            &[],
            1002,
            9,
        ),
    ]
}

/// Section 7.4: codes that no endpoint may send. 1014 is IANA's, for gateways only.
const FORBIDDEN_CODES: [(&str, u16); 14] = [
    ("7.4.2 code 0", 0),
    ("7.4.2 code 999", 999),
    ("7.4.1 code 1004", 1004),
    ("7.4.1 code 1005", 1005),
    ("7.4.1 code 1006", 1006),
    ("7.4 code 1014", 1014),
    ("7.4.1 code 1015", 1015),
    ("7.4.2 code 1016", 1016),
    ("7.4.2 code 1100", 1100),
    ("7.4.2 code 2000", 2000),
    ("7.4.2 code 2999", 2999),
    ("7.4.2 code 5000", 5000),
    ("7.4.2 code 32,768", 32_768),
    ("7.4.2 code 65,535", 65_535),
];

/// Section 7.4: codes that an endpoint may send.
const ALLOWED_CODES: [u16; 15] =
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999];

fn close_codes() -> Vec<Case> {
    let forbidden = FORBIDDEN_CODES
        .iter()
        .map(|(rule, code)| bad(rule, &[masked(0x88, &code.to_be_bytes())], &[], 1002, HEADER + 2));
    let allowed = ALLOWED_CODES.iter().map(|code| {
        let rule = format!("7.4 code {code}");
        good(&rule, &[masked(0x88, &code.to_be_bytes())], &[Said::Close(Some(*code))])
    });
    forbidden.chain(allowed).collect()
}

/// Code points at the bounds of their length in UTF-8 and beside the surrogates; noncharacters
/// are characters here.
const CHARACTERS: [char; 16] = [
    '\0',
    '\u{7f}',
    '\u{80}',
    '\u{7ff}',
    '\u{800}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{fdd0}',
    '\u{feff}',
    '\u{fffd}',
    '\u{fffe}',
    '\u{ffff}',
    '\u{10000}',
    '\u{1ffff}',
    '\u{10fffe}',
    '\u{10ffff}',
];

/// Sequences that are no UTF-8, and at which of their bytes that is clear (Unicode, table 3-7);
/// what follows them in each case is an "x".
const NO_UTF8: [(&str, &[u8], usize); 26] = [
    ("a lone continuation byte", b"\x80", 1),
    ("the last continuation byte alone", b"\xbf", 1),
    ("two bytes for one", b"\xc0\x80", 1),
    ("two bytes for the slash", b"\xc0\xaf", 1),
    ("two bytes for U+007F", b"\xc1\xbf", 1),
    ("two bytes without the second", b"\xc2", 2),
    ("two bytes with another lead", b"\xc2\xc2", 2),
    ("three bytes for one", b"\xe0\x80\xaf", 2),
    ("three bytes for U+07FF", b"\xe0\x9f\xbf", 2),
    ("three bytes without the second", b"\xe1", 2),
    ("three bytes without the third", b"\xe1\x80", 3),
    ("three bytes with another lead", b"\xe1\x80\xe1", 3),
    ("the first surrogate", b"\xed\xa0\x80", 2),
    ("the last surrogate", b"\xed\xbf\xbf", 2),
    ("a pair of surrogates", b"\xed\xa0\xbd\xed\xb8\x80", 2),
    ("four bytes for one", b"\xf0\x80\x80\xaf", 2),
    ("four bytes for U+FFFF", b"\xf0\x8f\xbf\xbf", 2),
    ("four bytes without the second", b"\xf1", 2),
    ("four bytes without the third", b"\xf1\x80", 3),
    ("four bytes without the fourth", b"\xf1\x80\x80", 4),
    ("beyond U+10FFFF", b"\xf4\x90\x80\x80", 2),
    ("far beyond U+10FFFF", b"\xf5\x80\x80\x80", 1),
    ("five bytes", b"\xf8\x88\x80\x80\x80", 1),
    ("six bytes", b"\xfc\x84\x80\x80\x80\x80", 1),
    ("0xfe", b"\xfe", 1),
    ("0xff", b"\xff", 1),
];

/// Characters that the end of the text cuts.
const CUT: [&[u8]; 6] = [b"\xc2", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98"];

fn text_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for char in CHARACTERS {
        let said = char.to_string();
        let rule = format!("5.6 U+{:04X}", u32::from(char));
        cases.push(good(&rule, &[masked(0x81, said.as_bytes())], &[text(&said)]));
        for cut in 1..said.len() {
            let (head, tail) = said.as_bytes().split_at(cut);
            let rule = format!("5.6 U+{:04X} cut at {cut} by fragments", u32::from(char));
            let frames = [masked(0x01, head), masked(0x00, b""), masked(0x80, tail)];
            cases.push(good(&rule, &frames, &[text(&said)]));
        }
    }
    for (what, sequence, judged_at) in NO_UTF8 {
        cases.extend(no_utf8(what, sequence, judged_at));
    }
    for cut in CUT {
        let end = HEADER + 1 + cut.len();
        let payload = [b"a", cut].concat();
        let rule = format!("8.1 the text ends after {cut:02x?}");
        cases.push(bad(&rule, &[masked(0x81, &payload)], &[], 1007, end));
        // An empty last fragment is judged with its header.
        let frames = [masked(0x01, &payload), masked(0x80, b"")];
        cases.push(bad(&format!("{rule} in a fragment"), &frames, &[], 1007, HEADER));
    }
    cases
}

/// A sequence in the middle of a frame, in a later fragment, and cut by fragments.
fn no_utf8(what: &str, sequence: &[u8], judged_at: usize) -> Vec<Case> {
    let payload = [b"\xc3\xbc", sequence, b"x and more"].concat();
    let place = HEADER + 2 + judged_at;
    let mut cases = vec![
        bad(&format!("8.1 {what}"), &[masked(0x81, &payload)], &[], 1007, place),
        bad(
            &format!("8.1 {what} in a later fragment"),
            &[masked(0x01, b"ok"), masked(0x00, &payload)],
            &[],
            1007,
            place,
        ),
    ];
    // Cut before the byte that is judged, so that the second fragment has it.
    for cut in 1..judged_at {
        let (head, tail) = payload.split_at(2 + cut);
        let frames = [masked(0x01, head), masked(0x80, tail)];
        let rule = format!("8.1 {what} cut at {cut} by fragments");
        cases.push(bad(&rule, &frames, &[], 1007, HEADER + judged_at - cut));
    }
    cases
}
