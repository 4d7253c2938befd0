//! The three that judge the bytes of a client: the frame handler, the server, and tungstenite.

use std::io::{self, Read, Write};

use hallway::limits::Limits;
use hallway::server::Server;
use hallway::wire::frame::{Decoder, Event};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use crate::common::{House, handshake};

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
    fn read(mut bytes: &[u8]) -> Self {
        let mut answer = Self::default();
        while let [first, second, rest @ ..] = bytes {
            assert_eq!(answer.close, None, "nothing follows a Close frame (section 5.5.1)");
            let (len, rest) = match second {
                126 => (u16::from_be_bytes([rest[0], rest[1]]).into(), &rest[2..]),
                127 => (usize::from_str_radix(&hex(&rest[..8]), 16).unwrap(), &rest[8..]),
                len @ 0..=125 => (usize::from(*len), rest),
                _ => panic!("a server masks nothing (section 5.1)"),
            };
            let shortest = [0..=125, 126..=0xffff, 0x1_0000..=usize::MAX];
            let form = usize::from(second.saturating_sub(125));
            assert!(shortest[form].contains(&len), "the shortest form of a length (section 5.2)");
            let (payload, rest) = rest.split_at(len);
            match first {
                0x81 | 0x82 => answer.messages.push((first & 0x0f, payload.to_vec())),
                0x8a => answer.pongs.push(payload.to_vec()),
                0x88 => answer.close = Some(payload.to_vec()),
                other => panic!("a frame that begins with {other:#04x}"),
            }
            bytes = rest;
        }
        answer
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The answer of a server that echoes to a client whose frames arrive in these pieces.
pub(crate) fn echo<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Answer {
    served(Server::echo(limits()), pieces)
}

/// The same of the server that chats.
pub(crate) fn chat<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Answer {
    served(Server::new(limits()), pieces)
}

fn served<'p>(server: Server, pieces: impl IntoIterator<Item = &'p [u8]>) -> Answer {
    let mut house = House::of(server);
    let id = house.join("alice");
    house.take(id);
    for piece in pieces {
        house.send(id, piece);
    }
    let answer = Answer::read(&house.take(id));
    Answer { failed: house.server.counters().failed() > 0, ..answer }
}

/// The echo to a client whose frames come in one segment with its request.
pub(crate) fn echo_at_once(frames: &[u8]) -> Answer {
    let mut house = House::of(Server::echo(limits()));
    let id = house.connect();
    house.send(id, &[handshake("", "").as_bytes(), frames].concat());
    let stream = house.take(id);
    assert!(stream.starts_with(b"HTTP/1.1 101 "), "first of all the handshake is answered");
    let end = stream.windows(4).position(|four| four == b"\r\n\r\n").expect("a blank line");
    let answer = Answer::read(&stream[end + 4..]);
    Answer { failed: house.server.counters().failed() > 0, ..answer }
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
