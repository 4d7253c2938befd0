//! The three that judge the bytes of a client: the frame handler, the server, and tungstenite.

use std::io::{self, Read, Write};

use hallway::chat::{Server, Setup};
use hallway::conn::{Connections, Ending};
use hallway::limits::Limits;
use hallway::outbound::Thresholds;
use hallway::ws::frame::{Decoder, Event};
use testkit::client::{Frame, handshake, take_frames};
use testkit::{Checked, Driver, echo};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The end, in order, by its code.
    Close(Option<u16>),
}

/// What a stream of frames comes to, up to its Close or its first fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) said: Vec<Said>,
    /// The code of the Close frame that answers the fault.
    pub(crate) failed: Option<u16>,
}

/// Limits that short cases reach.
pub(crate) fn limits() -> Limits {
    Limits { message_bytes_max: 65_536, fragments_max: 8, ..Limits::default() }
}

/// The frame handler's verdict on a stream that arrives in these pieces, and after how many bytes
/// it was there.
pub(crate) fn decoder<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Verdict, usize) {
    let mut verdict = Verdict { said: Vec::new(), failed: None };
    let (mut decoder, mut taken) = (Decoder::default(), 0);
    for piece in pieces {
        taken += piece.len();
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.decode(&mut input, &limits()) {
                Ok(Some(event)) => verdict.said.push(said(event)),
                Ok(None) => break,
                Err(error) => {
                    verdict.failed = Some(error.close_code().into());
                    return (verdict, taken);
                }
            }
            if let Some(Said::Close(_)) = verdict.said.last() {
                return (verdict, taken);
            }
        }
        assert!(input.is_empty(), "None means that all was taken");
    }
    (verdict, taken)
}

fn said(event: Event<'_>) -> Said {
    match event {
        Event::Text(text) => Said::Text(text.into_owned()),
        Event::Binary(bytes) => Said::Binary(bytes.into_owned()),
        Event::Ping(bytes) => Said::Ping(bytes.into_owned()),
        Event::Pong(bytes) => Said::Pong(bytes.into_owned()),
        Event::Close(code) => Said::Close(code.map(u16::from)),
    }
}

/// What a server writes to a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Messages, as opcode and payload.
    pub(crate) messages: Vec<(u8, Vec<u8>)>,
    /// Bodies of Pongs: a sequence of its own, for a Pong overtakes what is queued.
    pub(crate) pongs: Vec<Vec<u8>>,
    /// The body of the Close frame.
    pub(crate) close: Option<Vec<u8>>,
    /// Whether the connection failed.
    pub(crate) failed: bool,
}

impl Answer {
    /// The code of the Close frame.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close.as_ref()?.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// The answer in the bytes that a client has received after its handshake.
    fn read(mut bytes: Vec<u8>) -> Self {
        let mut answer = Self::default();
        let len = bytes.len();
        let frames = take_frames(&mut bytes);
        assert!(bytes.is_empty(), "whole frames only");
        assert_eq!(frames.iter().map(shortest).sum::<usize>(), len, "section 5.2");
        for Frame { opcode, payload } in frames {
            assert_eq!(answer.close, None, "nothing follows a Close frame (section 5.5.1)");
            match opcode {
                1 | 2 => answer.messages.push((opcode, payload)),
                10 => answer.pongs.push(payload),
                8 => answer.close = Some(payload),
                other => panic!("a frame of opcode {other}"),
            }
        }
        answer
    }
}

/// Bytes of a frame whose length has the shortest form.
fn shortest(frame: &Frame) -> usize {
    let len = frame.payload.len();
    len + match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The answer of a server that echoes to a client whose frames arrive in these pieces.
pub(crate) fn echo<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Answer {
    served(|| echo::connections(limits(), Thresholds::default()), pieces)
}

/// The same of the server that chats.
pub(crate) fn chat<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Answer {
    served(|| Server::with(Setup { limits: limits(), ..Setup::default() }), pieces)
}

fn served<'p, A: Checked>(
    server: impl FnOnce() -> Connections<A>,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Answer {
    let mut driver = Driver::of(server);
    let id = driver.join("alice");
    driver.take(id);
    for piece in pieces {
        driver.deliver(id, piece);
    }
    let answer = Answer::read(driver.take(id));
    Answer { failed: has_failed(&driver.server), ..answer }
}

/// Whether a connection was failed for a fault in a frame.
fn has_failed<A: Checked>(server: &Connections<A>) -> bool {
    let faults = [Ending::Protocol, Ending::Binary, Ending::NotUtf8, Ending::TooBig];
    faults.into_iter().any(|fault| server.counters().exited.of(fault) > 0)
}

/// The echo to a client whose frames come in one segment with its request.
pub(crate) fn echo_at_once(frames: &[u8]) -> Answer {
    let mut driver = Driver::of(|| echo::connections(limits(), Thresholds::default()));
    let id = driver.open();
    driver.deliver(id, &[handshake("", "").as_bytes(), frames].concat());
    let stream = driver.take(id);
    assert!(stream.starts_with(b"HTTP/1.1 101 "), "first of all the handshake is answered");
    let end = stream.windows(4).position(|four| four == b"\r\n\r\n").expect("a blank line");
    let answer = Answer::read(stream[end + 4..].to_vec());
    Answer { failed: has_failed(&driver.server), ..answer }
}

/// A stream with some bytes to read that takes all that is written.
struct Memory<'b>(&'b [u8]);

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// tungstenite's verdict.
pub(crate) fn oracle(bytes: &[u8]) -> Verdict {
    let limit = Some(limits().message_bytes_max as usize);
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(limit)
        .max_frame_size(limit);
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut stream = Memory(bytes);
    let mut said = Vec::new();
    loop {
        let failed = match context.read(&mut stream) {
            Ok(message) => {
                said.push(said_to_oracle(message));
                if let Some(Said::Close(_)) = said.last() {
                    return Verdict { said, failed: None };
                }
                continue;
            }
            Err(Error::Io(_)) => None,
            Err(Error::Protocol(_)) => Some(1002),
            Err(Error::Utf8(_)) => Some(1007),
            Err(Error::Capacity(_)) => Some(1009),
            Err(other) => panic!("an error of the oracle's own: {other}"),
        };
        return Verdict { said, failed };
    }
}

fn said_to_oracle(message: Message) -> Said {
    match message {
        Message::Text(text) => Said::Text(text.to_string()),
        Message::Binary(bytes) => Said::Binary(bytes.to_vec()),
        Message::Ping(bytes) => Said::Ping(bytes.to_vec()),
        Message::Pong(bytes) => Said::Pong(bytes.to_vec()),
        Message::Close(frame) => Said::Close(frame.map(|frame| frame.code.into())),
        Message::Frame(_) => panic!("nobody reads raw frames"),
    }
}
