//! RFC 6455 for a server, section by section: each case at every split point, with the same
//! result at each, and compared with tungstenite's own codec as an oracle.

mod common;

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use common::{House, chat, closing_code, handshake, masked};
use hallway::limits::Limits;
use hallway::wire::frame::{Decoder, Event};
use tungstenite::Message;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

/// What a stream of frames comes to: what was said, and the code it fails with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    said: Vec<String>,
    failed: Option<u16>,
}

fn ok(said: &[&str]) -> Verdict {
    Verdict { said: said.iter().map(|&one| one.to_owned()).collect(), failed: None }
}

fn fails(code: u16) -> Verdict {
    Verdict { said: Vec::new(), failed: Some(code) }
}

/// Ours, with the stream cut into the given pieces.
fn ours<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Verdict {
    let mut verdict = ok(&[]);
    let mut decoder = Decoder::default();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.decode(&mut input, &Limits::default()) {
                Ok(Some(event)) => verdict.said.push(name(&event)),
                Ok(None) => break,
                Err(error) => {
                    verdict.failed = Some(error.close_code().into());
                    return verdict;
                }
            }
        }
    }
    verdict
}

fn name(event: &Event<'_>) -> String {
    match event {
        Event::Text(text) => format!("text {text}"),
        Event::Binary(bytes) => format!("binary {bytes:?}"),
        Event::Ping(bytes) => format!("ping {bytes:?}"),
        Event::Pong(bytes) => format!("pong {bytes:?}"),
        Event::Close(code) => format!("close {:?}", code.map(u16::from)),
    }
}

/// A stream that has some bytes to read and takes all that is written.
struct Memory(VecDeque<u8>);

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// tungstenite's: what was said, and whether the stream failed.
fn oracle(bytes: &[u8]) -> (Vec<String>, bool) {
    let limit = Limits::default().message_bytes_max as usize;
    let config =
        WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit));
    let stream = Memory(bytes.iter().copied().collect());
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut said = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => said.push(format!("text {text}")),
            Ok(Message::Binary(bytes)) => said.push(format!("binary {:?}", &bytes[..])),
            Ok(Message::Ping(bytes)) => said.push(format!("ping {:?}", &bytes[..])),
            Ok(Message::Pong(bytes)) => said.push(format!("pong {:?}", &bytes[..])),
            Ok(Message::Close(frame)) => {
                said.push(format!("close {:?}", frame.map(|frame| u16::from(frame.code))));
            }
            Ok(Message::Frame(_)) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (said, false);
            }
            Err(tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed) => {
                return (said, false);
            }
            Err(_) => return (said, true),
        }
    }
}

/// One case: the section that it is about, the bytes, and what they come to.
type Case = (&'static str, Vec<u8>, Verdict);

/// Cases in which tungstenite judges differently, each for its reason.
const DIFFERENCES: [(&str, &str); 3] = [
    ("5.2 a length of 125 in 16 bits", "tungstenite takes any form of a length"),
    ("5.2 a length of 65,535 in 64 bits", "tungstenite takes any form of a length"),
    ("7.4.2 code 1005", "tungstenite reports it and answers with 1002"),
];

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![
        ("5.2 text", masked(0x81, b"hello"), ok(&["text hello"])),
        ("5.2 empty text", masked(0x81, b""), ok(&["text "])),
        ("5.2 binary", masked(0x82, &[1, 2]), ok(&["binary [1, 2]"])),
        ("5.2 RSV1", masked(0xc1, b"x"), fails(1002)),
        ("5.2 RSV2", masked(0xa1, b"x"), fails(1002)),
        ("5.2 RSV3", masked(0x91, b"x"), fails(1002)),
        ("5.2 a length of 126", masked(0x82, &[0; 126]), ok(&[&format!("binary {:?}", [0; 126])])),
        ("5.2 a length of 125 in 16 bits", vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], fails(1002)),
        (
            "5.2 a length of 65,535 in 64 bits",
            vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            fails(1002),
        ),
        (
            "5.2 a length with its highest bit set",
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            fails(1002),
        ),
        (
            "10.4 a length beyond all limits",
            vec![0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            fails(1009),
        ),
        ("5.1 no mask", vec![0x81, 0x01, b'x'], fails(1002)),
        (
            "5.4 three fragments",
            [masked(0x01, b"a"), masked(0x00, b"b"), masked(0x80, b"c")].concat(),
            ok(&["text abc"]),
        ),
        (
            "5.4 a ping and a pong between fragments",
            [masked(0x01, b"a"), masked(0x89, b"?"), masked(0x8a, b"!"), masked(0x80, b"b")]
                .concat(),
            ok(&["ping [63]", "pong [33]", "text ab"]),
        ),
        ("5.4 a continuation of nothing", masked(0x80, b"x"), fails(1002)),
        (
            "5.4 a new text in a text",
            [masked(0x01, b"a"), masked(0x81, b"b")].concat(),
            fails(1002),
        ),
        ("5.4 a binary in a text", [masked(0x01, b"a"), masked(0x02, b"b")].concat(), fails(1002)),
        ("5.5 a ping without FIN", masked(0x09, b""), fails(1002)),
        ("5.5 a ping of 126 bytes", masked(0x89, &[0; 126]), fails(1002)),
        ("5.5.1 a close without a body", masked(0x88, b""), ok(&["close None"])),
        ("5.5.1 a close", masked(0x88, b"\x03\xe8bye"), ok(&["close Some(1000)"])),
        ("5.5.1 a code without its second byte", masked(0x88, b"\x03"), fails(1002)),
        ("5.5.1 a reason that is not UTF-8", masked(0x88, b"\x03\xe8\xff"), fails(1007)),
        ("7.4.2 code 1005", masked(0x88, b"\x03\xed"), fails(1002)),
        (
            "5.6 the longest code point",
            masked(0x81, "\u{10ffff}".as_bytes()),
            ok(&["text \u{10ffff}"]),
        ),
        (
            "8.1 a character cut by fragments",
            [masked(0x01, b"\xe2\x82"), masked(0x80, b"\xac")].concat(),
            ok(&["text €"]),
        ),
        ("8.1 a character cut by the end", masked(0x81, b"\xe2\x82"), fails(1007)),
        ("8.1 a lone continuation byte", masked(0x81, b"a\x80"), fails(1007)),
        ("8.1 an overlong form", masked(0x81, b"\xc0\xaf"), fails(1007)),
        ("8.1 a surrogate", masked(0x81, b"\xed\xa0\x80"), fails(1007)),
        ("8.1 beyond the last code point", masked(0x81, b"\xf4\x90\x80\x80"), fails(1007)),
        ("8.1 no lead byte", masked(0x81, b"\xfe"), fails(1007)),
    ];
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push(("5.2 a reserved opcode", masked(0x80 | opcode, b""), fails(1002)));
    }
    cases
}

#[test]
fn every_case_at_every_split_point() {
    for (name, bytes, verdict) in cases() {
        assert_eq!(ours([&bytes[..]]), verdict, "{name}");
        assert_eq!(ours(bytes.chunks(1)), verdict, "{name}, byte by byte");
        for cut in 1..bytes.len() {
            assert_eq!(ours([&bytes[..cut], &bytes[cut..]]), verdict, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn the_oracle_agrees_but_where_it_is_known_to_differ() {
    let mut wrong = Vec::new();
    for (name, bytes, verdict) in cases() {
        let same = oracle(&bytes) == (verdict.said.clone(), verdict.failed.is_some());
        let difference = DIFFERENCES.iter().find(|(known, _)| *known == name);
        if same == difference.is_some() {
            wrong.push(format!("{name}: the oracle says {:?}, we {verdict:?}", oracle(&bytes)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn close_codes() {
    for code in (0..=5100).chain([65_535]) {
        let allowed = matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999);
        let bytes = masked(0x88, &u16::to_be_bytes(code));
        let verdict = if allowed { ok(&[&format!("close {:?}", Some(code))]) } else { fails(1002) };
        assert_eq!(ours([&bytes[..]]), verdict, "{code}");
    }
}

#[test]
fn the_server_answers_every_case_the_same_at_every_split() {
    for (name, bytes, verdict) in cases() {
        let answer = |pieces: &[&[u8]]| {
            let mut house = House::new(Limits::default());
            let id = house.join("alice");
            house.take(id);
            for piece in pieces {
                house.send(id, piece);
            }
            house.take(id)
        };
        let whole = answer(&[&bytes]);
        if let Some(code) = verdict.failed {
            assert_eq!(closing_code(&whole), Some(code), "{name}");
        }
        for cut in 1..bytes.len() {
            assert_eq!(answer(&[&bytes[..cut], &bytes[cut..]]), whole, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn binary_is_understood_by_nobody_here() {
    let mut house = House::new(Limits::default());
    let id = house.join("alice");
    house.send(id, &masked(0x82, b"x"));
    assert_eq!(closing_code(&house.take(id)), Some(1003));
}

#[test]
fn the_first_frame_may_come_with_the_request() {
    let bytes = [handshake("username=alice", "").into_bytes(), chat("early")].concat();
    for cut in 0..=bytes.len() {
        let mut house = House::new(Limits::default());
        let id = house.connect();
        house.send(id, &bytes[..cut]);
        house.send(id, &bytes[cut..]);
        let text = house.text(id);
        assert!(
            text.starts_with("HTTP/1.1 101 ") && text.contains("early"),
            "cut at {cut}: {text}"
        );
    }
}

#[test]
fn nothing_is_said_after_a_close() {
    let mut house = House::new(Limits::default());
    let (alice, bob) = (house.join("alice"), house.join("bob"));
    house.take(bob);
    house.send(alice, &[masked(0x88, b"\x03\xe9"), chat("ghost"), masked(0x89, b"?")].concat());
    let stream = house.take(alice);
    assert!(stream.ends_with(b"\x88\x02\x03\xe9"), "the same code comes back, and is the last");
    let heard = house.text(bob);
    assert!(heard.contains("alice left") && !heard.contains("ghost"), "{heard}");
}

#[test]
fn three_hundred_connections_of_random_bytes_change_nothing_for_two_who_chat() {
    let mut house = House::new(Limits::default());
    let (alice, bob) = (house.join("alice"), house.join("bob"));
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    for number in 0..300 {
        // Half of them get as far as a handshake.
        let id = if number % 2 == 0 { house.connect() } else { house.join("noise") };
        let noise: Vec<u8> = (0..200).map(|_| random()).collect();
        house.send(id, &noise);
        house.send(alice, &chat(&format!("m{number}")));
        house.server.handle_closed(id, house.now);
        house.flush();
    }
    let heard = house.text(bob);
    let order: Vec<usize> = (0..300)
        .map(|number| heard.find(&format!("\"m{number}\"")).expect("every message arrives"))
        .collect();
    assert!(order.is_sorted());
}
