//! RFC 6455 for a server, section by section: each case at every split point, with the same
//! result at each, through the frame handler and through the whole server, and compared with
//! tungstenite as an oracle. The tables are in conformance/cases.rs.

#[path = "conformance/cases.rs"]
mod cases;
#[path = "conformance/judges.rs"]
mod judges;

use cases::Case;
use hallway::limits::{CLOSE_MS_MAX, Limits, REQUEST_BYTES_MAX, REQUEST_MS_MAX};
use hallway::ws::frame::{Decoder, Event};
use judges::{Answer, Said, Verdict};
use testkit::Driver;
use testkit::client::{chat, closing_code, handshake, masked};

/// Streams up to this long are cut everywhere; longer ones, whose payload is all the same, near
/// their ends and every so often between.
const CUT_EVERYWHERE_MAX: usize = 1_000;

/// Where a stream is cut in two.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    let len = bytes.len();
    match len {
        0..=CUT_EVERYWHERE_MAX => (1..len).collect(),
        _ => (1..30).chain((30..len - 30).step_by(4_093)).chain(len - 30..len).collect(),
    }
}

/// Runs `check` on every case in two pieces, cut in all ways, and in pieces of a few bytes.
fn at_every_split(case: &Case, check: impl Fn(&[&[u8]], &str)) {
    let Case { rule, bytes, .. } = case;
    check(&[bytes], rule);
    for cut in cuts(bytes) {
        check(&[&bytes[..cut], &bytes[cut..]], &format!("{rule}, cut at {cut}"));
    }
    if bytes.len() <= CUT_EVERYWHERE_MAX {
        for piece in 1..=3 {
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            check(&pieces, &format!("{rule}, in pieces of {piece}"));
        }
    }
}

#[test]
fn the_frame_handler_judges_every_case_at_every_split() {
    for case in cases::all() {
        at_every_split(&case, |pieces, which| {
            assert_eq!(judges::decoder(pieces.iter().copied()).0, case.verdict, "{which}");
        });
    }
}

/// Section 8.1 asks for it where text is no UTF-8; here it holds for all faults.
#[test]
fn each_fault_is_seen_at_its_first_byte() {
    for case in cases::all() {
        let Some(expected) = case.judged_at else { continue };
        let start = expected.saturating_sub(40);
        let (head, tail) = case.bytes.split_at(start);
        let pieces = std::iter::once(head).filter(|head| !head.is_empty()).chain(tail.chunks(1));
        let (verdict, judged_at) = judges::decoder(pieces);
        assert_eq!((verdict, judged_at), (case.verdict, expected), "{}", case.rule);
    }
}

#[test]
fn the_oracle_agrees_but_where_it_is_known_to_differ() {
    let (cases, differences) = (cases::all(), cases::differences());
    for (rule, ..) in &differences {
        assert_eq!(cases.iter().filter(|case| case.rule == *rule).count(), 1, "{rule} is a case");
    }
    for case in cases {
        let oracle = judges::oracle(&case.bytes);
        match differences.iter().find(|(rule, ..)| *rule == case.rule) {
            Some((rule, expected, why)) => {
                assert_eq!(oracle, *expected, "{rule}: {why}");
                assert_ne!(oracle, case.verdict, "{rule} is no difference any more");
            }
            None => assert_eq!(oracle, case.verdict, "{}", case.rule),
        }
    }
}

/// What an echo server answers to a stream with this verdict.
fn echoed(verdict: &Verdict) -> Answer {
    let mut answer = Answer::default();
    for said in &verdict.said {
        match said {
            Said::Text(text) => answer.messages.push((1, text.clone().into_bytes())),
            Said::Binary(bytes) => answer.messages.push((2, bytes.clone())),
            Said::Ping(body) => answer.pongs.push(body.clone()),
            Said::Pong(_) => {}
            Said::Close(code) => answer.close = Some(close_body(*code)),
        }
    }
    answer
}

/// The same code comes back (section 5.5.1), and no code where there was none.
fn close_body(code: Option<u16>) -> Vec<u8> {
    code.map_or_else(Vec::new, |code| code.to_be_bytes().to_vec())
}

/// A Close that answers a fault has a reason for people, which may be any.
fn assert_answers(answer: &Answer, case: &Case, which: &str) {
    let Some(code) = case.verdict.failed else {
        return assert_eq!(*answer, echoed(&case.verdict), "{which}");
    };
    assert_eq!(answer.close_code(), Some(code), "{which}");
    let expected = Answer { close: answer.close.clone(), failed: true, ..echoed(&case.verdict) };
    assert_eq!(*answer, expected, "{which}");
}

#[test]
fn the_server_answers_every_case_at_every_split() {
    for case in cases::all() {
        at_every_split(&case, |pieces, which| {
            assert_answers(&judges::echo(pieces.iter().copied()), &case, which);
        });
    }
}

/// Section 4.1: a client may send as soon as it has the answer; what it could not know yet it
/// may have guessed. Whatever it sent, the answer to its handshake comes first.
#[test]
fn frames_in_the_segment_of_the_request_are_answered_after_it() {
    for case in cases::all() {
        assert_answers(&judges::echo_at_once(&case.bytes), &case, &case.rule);
    }
}

/// The chat understands text only: a binary message is its own fault (section 7.4.1, 1003).
#[test]
fn the_chat_ends_every_case_the_same_at_every_split() {
    for case in cases::all() {
        let Verdict { said, failed } = &case.verdict;
        let is_binary = said.iter().any(|said| matches!(said, Said::Binary(_)));
        let whole = judges::chat([&case.bytes[..]]);
        match (is_binary, failed, said.last()) {
            (true, ..) => assert_eq!(whole.close_code(), Some(1003), "{}", case.rule),
            (_, Some(code), _) => assert_eq!(whole.close_code(), Some(*code), "{}", case.rule),
            (.., Some(Said::Close(code))) => {
                assert_eq!(whole.close, Some(close_body(*code)), "{}", case.rule);
            }
            _ => assert_eq!(whole.close, None, "{}", case.rule),
        }
        at_every_split(&case, |pieces, which| {
            assert_eq!(judges::chat(pieces.iter().copied()), whole, "{which}");
        });
    }
}

/// Section 7.4, code by code.
#[test]
fn every_close_code_is_allowed_or_not() {
    for code in 0..=u16::MAX {
        let is_allowed = matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999);
        let bytes = masked(0x88, &code.to_be_bytes());
        let (verdict, _) = judges::decoder([&bytes[..]]);
        match is_allowed {
            true => assert_eq!(verdict.said, [Said::Close(Some(code))], "{code}"),
            false => assert_eq!((verdict.said, verdict.failed), (Vec::new(), Some(1002)), "{code}"),
        }
        let theirs = Said::Close(Some(if is_allowed { code } else { 1002 }));
        assert_eq!(judges::oracle(&bytes).said, [theirs], "{code}");
    }
}

/// Section 8.1: each lead byte with followers at and beside the bounds of what may follow it.
#[test]
fn every_lead_byte_is_judged_with_what_follows_it() {
    let mut sequences: Vec<[u8; 3]> = Vec::new();
    for lead in 0x80..=0xff_u8 {
        for second in [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff] {
            for third in [0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff] {
                sequences.push([lead, second, third]);
            }
        }
    }
    for sequence in sequences {
        let bytes = masked(0x81, &sequence);
        let expected = judges::oracle(&bytes);
        assert_eq!(judges::decoder([&bytes[..]]).0, expected, "{sequence:02x?}");
        assert_eq!(judges::decoder(bytes.chunks(1)).0, expected, "{sequence:02x?} byte by byte");
    }
}

/// Section 5.5.1 and 7.1.1: a client that closes gets its code back, and then the connection
/// ends, at its hand or, where it does nothing, at the server's.
#[test]
fn a_close_of_the_client_is_answered_and_ends_the_connection() {
    for client_ends in [true, false] {
        let mut driver = Driver::new(Limits::default());
        let id = driver.join("alice");
        driver.take(id);
        driver.deliver(id, &masked(0x88, b"\x0f\xa0bye"));
        assert_eq!(driver.take(id), b"\x88\x02\x0f\xa0");
        assert!(driver.socket(id).is_some_and(|socket| socket.is_shut), "our direction is ended");
        assert_eq!(driver.server.peers().len(), 1, "the client may be the first to leave");
        match client_ends {
            true => driver.eof(id),
            false => driver.at(driver.now.mono_ms + CLOSE_MS_MAX),
        }
        driver.settle();
        assert_eq!(driver.server.peers().len(), 0);
    }
}

/// Section 7.1.2: the server closes, the client answers, and nothing more is said.
#[test]
fn a_close_of_the_server_waits_for_the_answer() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.join("alice");
    driver.take(id);
    driver.server.drain(driver.now);
    driver.settle();
    assert_eq!(closing_code(&driver.take(id)), Some(1001));
    driver.deliver(id, &[chat("late"), masked(0x89, b"?"), masked(0x88, b"\x03\xe9")].concat());
    assert!(driver.take(id).is_empty(), "a Close is the last, also before the answer to it");
    driver.eof(id);
    driver.settle();
    assert_eq!(driver.server.peers().len(), 0);
}

/// Section 7.1.7: after a fault nothing is read any more.
#[test]
fn nothing_is_understood_after_a_fault() {
    let mut driver = Driver::new(Limits::default());
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.deliver(alice, &[masked(0xc1, b"x"), chat("ghost"), masked(0x89, b"?")].concat());
    driver.deliver(alice, &chat("ghost"));
    assert_eq!(closing_code(&driver.take(alice)), Some(1002));
    let heard = driver.text(bob);
    assert!(heard.contains("alice left") && !heard.contains("ghost"), "{heard}");
}

#[test]
fn nothing_is_said_after_a_close() {
    let mut driver = Driver::new(Limits::default());
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(bob);
    driver.deliver(alice, &[masked(0x88, b"\x03\xe9"), chat("ghost"), masked(0x89, b"?")].concat());
    let stream = driver.take(alice);
    assert!(stream.ends_with(b"\x88\x02\x03\xe9"), "the same code comes back, and is the last");
    let heard = driver.text(bob);
    assert!(heard.contains("alice left") && !heard.contains("ghost"), "{heard}");
}

/// Section 5.5.3: of Pings that a Pong could not answer in time, the last is, and no older one
/// after it.
#[test]
fn the_latest_ping_is_answered_where_the_client_does_not_read() {
    let mut driver = Driver::new(Limits::default());
    let id = driver.join("alice");
    driver.take(id);
    driver.block(id);
    for body in b"12345" {
        driver.deliver(id, &masked(0x89, &[*body]));
    }
    driver.unblock(id);
    let stream = driver.take(id);
    let bodies: Vec<u8> = stream.chunks(3).map(|pong| pong[2]).collect();
    assert!(bodies.is_sorted() && bodies.ends_with(b"5") && bodies.len() <= 2, "{stream:02x?}");
}

/// Section 4.2.1, check by check: what is put in the place of what, the status, and a line of
/// the answer.
const HANDSHAKES: &[(&str, &str, &str, &str)] = &[
    ("", "", "101", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("websocket", "WebSocket", "101", "Upgrade: websocket"),
    ("Connection: Upgrade", "Connection: keep-alive, upgrade", "101", "Connection: Upgrade"),
    ("Host: box", "Host: box\r\nSec-WebSocket-Protocol: other", "101", ""),
    ("Host: box", "Host: box\r\nSec-WebSocket-Extensions: permessage-deflate", "101", ""),
    ("GET", "POST", "405", "Allow: GET"),
    ("HTTP/1.1", "HTTP/1.0", "505", ""),
    ("HTTP/1.1", "HTTP/2.0", "505", ""),
    ("Host: box\r\n", "", "400", "Host is missing"),
    ("Upgrade: websocket\r\n", "", "426", "Upgrade: websocket"),
    ("Upgrade: websocket", "Upgrade: h2c", "426", "Upgrade: websocket"),
    ("Connection: Upgrade\r\n", "", "426", "Upgrade: websocket"),
    ("Connection: Upgrade", "Connection: close", "426", "Upgrade: websocket"),
    ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", "400", "16 bytes"),
    ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTE=", "400", "16 bytes"),
    ("dGhlIHNhbXBsZSBub25jZQ==", "", "400", "Sec-WebSocket-Key is empty"),
    ("Sec-WebSocket-Key", "X", "400", "Sec-WebSocket-Key is missing"),
    ("Version: 13", "Version: 8", "426", "Sec-WebSocket-Version: 13"),
    ("Sec-WebSocket-Version: 13\r\n", "", "400", "Sec-WebSocket-Version is missing"),
    ("Host: box", "Host: box\r\nContent-Length: 1", "400", "no body"),
    ("Host: box", "Host : box", "400", "not an HTTP request"),
    ("Host: box", "Host: box\r\nOrigin: http://evil.example", "403", "--origin"),
    ("/chat?", "/elsewhere?", "404", ""),
];

/// What the server writes to a connection that sends these pieces.
fn written(pieces: &[&[u8]]) -> (Driver, Vec<u8>) {
    let mut driver = Driver::new(Limits::default());
    let id = driver.open();
    for piece in pieces {
        driver.deliver(id, piece);
    }
    let stream = driver.take(id);
    (driver, stream)
}

#[test]
fn each_fault_of_a_handshake_has_its_answer_at_every_split() {
    for (what, with, status, line) in HANDSHAKES {
        let good = handshake("username=alice", "");
        assert!(good.contains(what), "{what}");
        let request = good.replacen(what, with, 1).into_bytes();
        let (driver, whole) = written(&[&request]);
        let text = String::from_utf8_lossy(&whole);
        let start = format!("HTTP/1.1 {status} ");
        assert!(text.starts_with(&start) && text.contains(line), "{what} → {with}: {text}");
        assert_eq!(driver.server.members("lobby"), usize::from(*status == "101"));
        for cut in 1..request.len() {
            let (_, cut_in_two) = written(&[&request[..cut], &request[cut..]]);
            assert_eq!(cut_in_two, whole, "{what} → {with}, cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_request_is_refused_before_it_ends() {
    for (bytes, status) in [
        (b"\x16\x03\x01\x02\x00\x01".to_vec(), "400"),
        (b"\r\n".to_vec(), "400"),
        (vec![b'G'; REQUEST_BYTES_MAX], "431"),
    ] {
        let (_, answer) = written(&[&bytes]);
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
    }
}

#[test]
fn a_request_that_never_ends_is_given_up() {
    let mut driver = Driver::new(Limits::default());
    let (silent, slow) = (driver.open(), driver.open());
    let start = driver.now.mono_ms;
    for second in 0..REQUEST_MS_MAX / 1_000 {
        driver.at(start + second * 1_000);
        driver.deliver(slow, b"G");
    }
    assert!(driver.take(slow).is_empty());
    driver.at(start + REQUEST_MS_MAX);
    assert!(driver.take(slow).starts_with(b"HTTP/1.1 408 "), "however it is dripped");
    assert!(driver.take(silent).is_empty(), "who never asked gets no answer");
}

#[test]
fn the_first_frame_may_come_with_the_request_at_every_split() {
    let bytes = [handshake("username=alice", "").into_bytes(), chat("early")].concat();
    for cut in 0..=bytes.len() {
        let (_, stream) = written(&[&bytes[..cut], &bytes[cut..]]);
        let text = String::from_utf8_lossy(&stream);
        assert!(
            text.starts_with("HTTP/1.1 101 ") && text.contains("early"),
            "cut at {cut}: {text}"
        );
    }
}

/// Marsaglia's xorshift, from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_be_bytes()[0]).collect()
    }

    /// Frames whose headers are mostly right, so that the noise gets further.
    fn frames(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..8 {
            let first =
                [0x81, 0x01, 0x80, 0x89, 0x8a, 0x88, 0x82, 0x00][(self.next() % 8) as usize];
            let len = (self.next() % 130) as usize;
            bytes.extend(masked(first, &self.bytes(len)));
        }
        bytes
    }
}

#[test]
fn three_hundred_connections_of_random_bytes_change_nothing_for_two_who_chat() {
    let mut driver = Driver::new(Limits { rate_per_second: 0, ..Limits::default() });
    let (alice, bob) = (driver.join("alice"), driver.join("bob"));
    driver.take(alice);
    driver.take(bob);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for number in 0..300 {
        let id = driver.open();
        // A third never speaks HTTP; the others get into a room, another than the two's.
        if number % 3 > 0 {
            driver.deliver(id, handshake("room=noise", "").as_bytes());
        }
        let noise = if number % 3 == 1 { random.bytes(400) } else { random.frames() };
        for piece in noise.chunks((random.next() % 60) as usize + 1) {
            driver.deliver(id, piece);
        }
        assert!(driver.take(alice).is_empty() && driver.take(bob).is_empty(), "nobody notices");
        driver.deliver(alice, &chat(&format!("m{number}")));
        let (echo, heard) = (driver.take(alice), driver.take(bob));
        assert_eq!(echo, heard);
        assert!(String::from_utf8_lossy(&heard).contains(&format!("\"m{number}\"")));
        if number % 2 == 0 {
            driver.reset(id);
            driver.settle();
        }
    }
    assert_eq!(driver.server.members("lobby"), 2);
}

/// A message that lies whole in the input is not copied; one that comes in pieces is, and the
/// two read the same.
#[test]
fn a_message_is_borrowed_where_it_can_be() {
    let mut bytes = masked(0x81, b"hello");
    let mut input = &mut bytes[..];
    let mut decoder = Decoder::default();
    let event = decoder.decode(&mut input, &Limits::default());
    assert!(matches!(event, Ok(Some(Event::Text(std::borrow::Cow::Borrowed("hello"))))));
}
