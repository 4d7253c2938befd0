//! One connection from its first byte to its last, with deadlines and limits moving, twice: once
//! as it comes, once in pieces.

use hallway::chat::{Server, Setup};
use hallway::conn::{Application, Connections, Ending, Endings};
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::peer::PeerId;
use testkit::Driver;
use testkit::client::{V2, chat, handshake, masked};

use crate::input::{Input, pieces};
use crate::server::remembered;
use crate::stream::{self, CLOSE, Stream};
use crate::watch::{Remembered, Watch};
use testkit::echo;

/// Bytes of input beyond which a run says nothing new.
const INPUT_BYTES_MAX: usize = 2 * 1024;

/// How long time stands still or moves, in milliseconds.
const PAUSES: [u64; 8] = [0, 1, 999, 2_000, 9_999, 10_000, 30_001, 76_000];

/// How a run goes: under which limits, and with the input cut how.
struct Run<'r> {
    limits: &'r Limits,
    thresholds: Thresholds,
    operations: &'r [u8],
    cut: Option<u8>,
}

/// The server, and its one client.
struct World<A> {
    driver: Driver<A>,
    watch: Watch<A>,
    id: PeerId,
}

/// What came of a run.
struct Outcome {
    written: Vec<u8>,
    is_open: bool,
    /// Whether the client has ever kept the server waiting.
    was_slow: bool,
    /// Frames that were left out because its queue was full.
    too_slow: u64,
    exited: Endings,
}

/// Target `peer`. Four bytes choose the limits and the thresholds; then operations, each a letter
/// and what it needs.
pub fn peer(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_BYTES_MAX)];
    let mut input = Input::new(data);
    let kind = input.byte();
    let limits = Limits {
        queue_frames_max: input.one_of(&[256, 8]),
        message_bytes_max: input.one_of(&[16 * 1024, 300]),
        text_bytes_max: [200, 20][usize::from(kind >> 1 & 1)],
        rate_per_second: [50, 0, 2][usize::from(kind >> 2) % 3],
        burst: [8, 2][usize::from(kind >> 4 & 1)],
        ping_ms: [30_000, 0, 1_000][usize::from(kind >> 5) % 3],
        history_frames_max: 3,
        fragments_max: 20,
        ..Limits::default()
    };
    limits.check().expect("coherent limits");
    let thresholds = input.thresholds();
    let operations = input.rest();
    let whole = Run { limits: &limits, thresholds, operations, cut: None };
    // No byte of the input is for the cut, but its length is another with each change.
    let [.., cut] = data.len().to_be_bytes();
    let in_pieces = Run { cut: Some(cut), ..whole };
    if kind & 1 == 1 {
        compare(&whole.echo(), &in_pieces.echo());
    } else {
        compare(&whole.chat(), &in_pieces.chat());
    }
}

/// Cutting the input changes nothing but which of several Pings are answered, and when.
fn compare(whole: &Outcome, in_pieces: &Outcome) {
    let streams = (whole.stream(), in_pieces.stream());
    let was_slow = whole.was_slow || in_pieces.was_slow;
    if !was_slow {
        assert_eq!((whole.too_slow, in_pieces.too_slow), (0, 0), "who reads all is not too slow");
    }
    // How much is left out of a queue that runs full depends on what has been written before.
    if whole.too_slow + in_pieces.too_slow > 0 {
        return;
    }
    assert_eq!(whole.exited, in_pieces.exited, "the cut changes how it ends");
    // Pongs take room in a socket, so how many there are moves the moment of its last byte.
    assert!(was_slow || whole.is_open == in_pieces.is_open, "the cut changes who stays");
    match streams {
        (Some(whole), Some(in_pieces)) => {
            assert_eq!(whole.status, in_pieces.status);
            let (frames, others) = (whole.lasting(), in_pieces.lasting());
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

impl Run<'_> {
    fn chat(&self) -> Outcome {
        let limits = self.limits.clone();
        let setup = Setup { limits, thresholds: self.thresholds, ..Setup::default() };
        self.go(Driver::chat(setup), Server::check, remembered)
    }

    fn echo(&self) -> Outcome {
        let driver = Driver::of(|| echo::connections(self.limits.clone(), self.thresholds));
        self.go(driver, Connections::check_invariants, |_| Remembered::default())
    }

    fn go<A: Application>(
        &self,
        mut driver: Driver<A>,
        check: fn(&Connections<A>),
        remembered: fn(&Connections<A>) -> Remembered,
    ) -> Outcome {
        let watch = Watch::new(&driver, self.limits, self.thresholds, check, remembered);
        let id = driver.connect(None).expect("a slot");
        let mut world = World { driver, watch, id };
        let mut input = Input::new(self.operations);
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
                b'm' => Some(chat(&"x".repeat(input.byte().into()))),
                other => {
                    was_slow |= world.step(other, &mut input);
                    None
                }
            };
            if let Some(bytes) = bytes {
                world.send(&bytes, self.cut);
            }
        }
        world.end(was_slow)
    }
}

fn request(choice: u8) -> Vec<u8> {
    match choice % 4 {
        0 => handshake("username=a", "").into_bytes(),
        1 => handshake("username=a", V2).into_bytes(),
        2 => b"GET /health HTTP/1.1\r\n\r\n".to_vec(),
        _ => b"GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n".to_vec(),
    }
}

impl<A: Application> World<A> {
    /// The client sends a segment, which arrives whole or in the pieces of a `cut`, and all that
    /// is due is done after each.
    fn send(&mut self, bytes: &[u8], cut: Option<u8>) {
        let whole = || bytes.chunks(usize::MAX).collect();
        for piece in cut.map_or_else(whole, |cut| pieces(bytes, cut)) {
            self.driver.send(self.id, piece);
            self.watch.flush(&mut self.driver);
        }
    }

    /// What happens but for input; whether the client keeps the server waiting.
    fn step(&mut self, operation: u8, input: &mut Input<'_>) -> bool {
        match operation {
            b't' => self.watch.pass(&mut self.driver, input.one_of(&PAUSES)),
            b'e' => self.driver.eof(self.id),
            b'd' => self.driver.serve(Connections::drain),
            b's' => {
                self.driver.take_only(self.id, input.byte().into());
                return true;
            }
            b'r' => {
                let more = input.byte();
                self.driver
                    .take_more(self.id, if more == u8::MAX { usize::MAX } else { more.into() });
            }
            _ => {}
        }
        self.watch.flush(&mut self.driver);
        false
    }

    fn end(mut self, was_slow: bool) -> Outcome {
        self.driver.take_more(self.id, usize::MAX);
        self.watch.await_tokens(&mut self.driver, 500, |_| {});
        self.watch.check_idle(&self.driver);
        let counters = self.driver.server.counters();
        let exited = counters.exited;
        let too_slow = self.driver.server.peers().outbound.frames().too_slow;
        let open = self.driver.socket(self.id);
        let is_open = open.is_some();
        let socket = open.or(self.driver.closed.first()).expect("one socket");
        let written = Vec::from(socket.received.clone());
        Outcome { written, is_open, was_slow, too_slow, exited }
    }
}

impl Outcome {
    /// What was written, which is well-formed, and ends as it is counted.
    fn stream(&self) -> Option<Stream<'_>> {
        let stream = stream::read(&self.written, self.is_open)?;
        if let Some((CLOSE, payload)) = stream.frames.last() {
            // The code of a client's own Close comes back, whatever it is.
            let is_so = self.exited.of(Ending::ClosedByPeer) == 1
                || told(payload).is_some_and(|ending| self.exited.of(ending) == 1);
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
        1009 => Ending::TooBig,
        1013 => Ending::TooSlow,
        _ => return None,
    })
}
