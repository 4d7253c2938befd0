//! One connection from its first byte to its last, with deadlines and limits moving, twice: once
//! as it comes, once in pieces.

use hallway::limits::Limits;
use hallway::server::{Ending, Endings, Server};

use crate::house::{House, handshake, masked};
use crate::input::{Input, pieces};
use crate::stream::{self, CLOSE, Stream};

/// Bytes of input beyond which a run says nothing new.
const INPUT_BYTES_MAX: usize = 2 * 1024;

/// How long time stands still or moves, in milliseconds.
const PAUSES: [u64; 8] = [0, 1, 999, 2_000, 9_999, 10_000, 30_001, 76_000];

/// How the run goes: which server, and under which limits.
struct Run {
    limits: Limits,
    is_echo: bool,
}

/// What came of a run.
struct Outcome {
    written: Vec<u8>,
    is_open: bool,
    /// Whether the client has ever kept the server waiting.
    was_slow: bool,
    /// Frames that were left out because its queue was full.
    too_slow: u64,
    left: Endings,
}

/// Target `peer`. Three bytes choose the limits; then operations, each a letter and what it needs.
pub fn peer(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let mut input = Input::new(data);
    let kind = input.byte();
    let limits = Limits {
        queue_frames_max: input.one_of(&[256, 8]),
        message_bytes_max: input.one_of(&[16 * 1024, 300]),
        text_bytes_max: [200, 20][usize::from(kind >> 1 & 1)],
        rate_per_second: [50, 0, 2][usize::from(kind >> 2) % 3],
        burst: [1000, 2][usize::from(kind >> 4 & 1)],
        ping_ms: [30_000, 0, 1_000][usize::from(kind >> 5) % 3],
        history_frames_max: 3,
        fragments_max: 20,
        ..Limits::default()
    };
    limits.check().expect("coherent limits");
    let run = Run { limits, is_echo: kind & 1 == 1 };
    let operations = input.rest();
    let whole = run.go(operations, None);
    // No byte of the input is for the cut, but its length is another with each change.
    let [.., cut] = data.len().to_be_bytes();
    let in_pieces = run.go(operations, Some(cut));
    compare(&run, &whole, &in_pieces);
}

/// Cutting the input changes nothing but which of several Pings are answered, and when.
fn compare(run: &Run, whole: &Outcome, in_pieces: &Outcome) {
    let streams = (whole.stream(), in_pieces.stream());
    let was_slow = whole.was_slow || in_pieces.was_slow;
    if !was_slow && !run.is_echo {
        assert_eq!((whole.too_slow, in_pieces.too_slow), (0, 0), "who reads all is not too slow");
    }
    // How much is left out of a queue that runs full depends on what has been written before.
    if whole.too_slow + in_pieces.too_slow > 0 {
        return;
    }
    assert_eq!(whole.left, in_pieces.left, "the cut changes how it ends");
    // Pongs take room in a socket, so how many there are moves the moment of its last byte.
    assert!(was_slow || whole.is_open == in_pieces.is_open, "the cut changes who stays");
    match streams {
        (Some(whole), Some(in_pieces)) => {
            assert_eq!(whole.status, in_pieces.status);
            let (frames, others) = (whole.said(), in_pieces.said());
            let common = frames.len().min(others.len());
            assert_eq!(frames[..common], others[..common], "the cut changes what is said");
            if !was_slow {
                assert_eq!(frames.len(), others.len(), "the cut changes how much is said");
                assert_eq!(whole.pongs(), in_pieces.pongs());
            }
        }
        (whole, in_pieces) => assert!(was_slow || (whole.is_none() && in_pieces.is_none())),
    }
}

impl Run {
    fn go(&self, operations: &[u8], cut: Option<u8>) -> Outcome {
        let make = if self.is_echo { Server::echo } else { Server::new };
        let mut house = House::new(make, &self.limits, 1);
        house.connect(0, usize::MAX);
        let mut input = Input::new(operations);
        let mut was_slow = false;
        while !input.is_empty() {
            let bytes = match input.byte() {
                b'h' => Some(request(input.byte())),
                b'f' => {
                    let (first, len) = (input.byte(), input.byte());
                    Some(masked(first, input.take(len.into())))
                }
                b'b' => {
                    let len = input.byte();
                    Some(input.take(len.into()).to_vec())
                }
                b'm' => Some(chat(&mut input)),
                other => {
                    was_slow |= step(&mut house, other, &mut input);
                    None
                }
            };
            if let Some(bytes) = bytes {
                arrive(&mut house, &bytes, cut);
            }
        }
        outcome(house, was_slow)
    }
}

fn request(choice: u8) -> Vec<u8> {
    match choice % 4 {
        0 => handshake("username=a", ""),
        1 => handshake("username=a", "Sec-WebSocket-Protocol: hallway.v2\r\n"),
        2 => b"GET /health HTTP/1.1\r\n\r\n".to_vec(),
        _ => b"GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n".to_vec(),
    }
}

fn chat(input: &mut Input<'_>) -> Vec<u8> {
    let count = usize::from(input.byte());
    let text =
        format!(r#"{{"type":"chatMessage","payload":{{"message":"{}"}}}}"#, "x".repeat(count));
    masked(0x81, text.as_bytes())
}

/// Hands a segment in, whole or in the pieces of a `cut`, with a turn after each.
fn arrive(house: &mut House, bytes: &[u8], cut: Option<u8>) {
    let whole = || bytes.chunks(usize::MAX).collect();
    for piece in cut.map_or_else(whole, |cut| pieces(bytes, cut)) {
        house.arrive(0, piece);
        house.turn();
    }
}

/// What happens but for input; whether the client keeps the server waiting.
fn step(house: &mut House, operation: u8, input: &mut Input<'_>) -> bool {
    match operation {
        b't' => house.pass(input.one_of(&PAUSES)),
        b'e' => {
            if let Some(id) = house.id(0) {
                house.with_server(|server, now| server.handle_eof(id, now));
            }
        }
        b'd' => house.with_server(Server::drain),
        b's' => {
            house.limit(0, input.byte().into());
            return true;
        }
        b'r' => {
            let more = input.byte();
            house.read(0, if more == u8::MAX { usize::MAX } else { more.into() });
        }
        _ => {}
    }
    house.turn();
    false
}

fn outcome(mut house: House, was_slow: bool) -> Outcome {
    house.read(0, usize::MAX);
    house.turn();
    let counters = house.server().counters();
    let (too_slow, left) = (counters.frames.too_slow, counters.left);
    let open = house.sockets.pop().flatten();
    let is_open = open.is_some();
    let socket = open.or_else(|| house.closed.pop()).expect("one socket");
    Outcome { written: socket.stream, is_open, was_slow, too_slow, left }
}

impl Outcome {
    /// What was written, which is well-formed, and ends as it is counted.
    fn stream(&self) -> Option<Stream<'_>> {
        let stream = stream::read(&self.written, self.is_open)?;
        if let Some((CLOSE, payload)) = stream.frames.last() {
            // The code of a client's own Close comes back, whatever it is.
            let is_so = self.left.of(Ending::Left) == 1
                || told(payload).is_some_and(|ending| self.left.of(ending) == 1);
            assert!(is_so, "a Close with {payload:02x?}, and another ending is counted");
        }
        Some(stream)
    }
}

/// The ending that the server tells by a Close (docs/protocol.md has the table).
fn told(payload: &[u8]) -> Option<Ending> {
    Some(match u16::from_be_bytes(*payload.first_chunk()?) {
        1001 => Ending::GoingAway,
        1002 => Ending::Protocol,
        1003 => Ending::Binary,
        1007 => Ending::NotUtf8,
        1008 => Ending::OverRate,
        1009 => Ending::TooBig,
        1013 => Ending::TooSlow,
        _ => return None,
    })
}
