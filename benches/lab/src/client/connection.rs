//! One connection: from the request over the upgrade to frames, and how it ended.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use super::frame::{self, Frame};
use super::target::ACCEPT;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server sent a Close frame with this code; 1005 where it gave none (RFC 6455, 7.1.5).
    Close(u16),
    /// The server ended the TCP connection without one.
    Eof,
    /// Reset, or refused.
    Error(ErrorKind),
    /// The server answered the request with this status instead of 101.
    Refused(u16),
    /// What came was no WebSocket.
    Nonsense(&'static str),
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close(code) => write!(formatter, "Close {code}"),
            Self::Eof => formatter.write_str("end of stream without a Close"),
            Self::Error(kind) => write!(formatter, "{kind}"),
            Self::Refused(status) => write!(formatter, "HTTP status {status}"),
            Self::Nonsense(what) => formatter.write_str(what),
        }
    }
}

#[derive(Debug)]
enum State {
    /// The request is sent once TCP has connected.
    Connecting,
    Upgrading,
    Open,
    Ended,
}

/// What a read looked for and found, for the load to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing but frames, or nothing.
    Goes,
    /// The upgrade has been answered.
    Opened,
    Ended(End),
}

#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    state: State,
    /// The start of a frame, or of the answer, whose end has not come yet.
    rest: Vec<u8>,
    /// The request, or what the socket would not take so far.
    unsent: Vec<u8>,
}

impl Connection {
    /// A connection whose socket is connecting.
    pub fn new(socket: TcpStream, request: String) -> Self {
        Self { socket, state: State::Connecting, rest: Vec::new(), unsent: request.into_bytes() }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Sends what the socket takes of `bytes` now, and keeps the rest for [`Self::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        match self.socket.write(bytes) {
            Ok(sent) => self.unsent.extend_from_slice(&bytes[sent..]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unsent.extend_from_slice(bytes);
            }
            Err(error) => return Err(self.end(End::Error(error.kind()))),
        }
        Ok(())
    }

    /// Goes on sending: the socket has said that it takes bytes.
    pub fn flush(&mut self) -> Result<(), End> {
        if let State::Connecting = self.state {
            match self.socket.take_error() {
                Ok(None) => self.state = State::Upgrading,
                Ok(Some(error)) | Err(error) => return Err(self.end(End::Error(error.kind()))),
            }
        }
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)
    }

    /// Reads until the socket is empty and tells `seen` of each data frame and pong. Pings are
    /// answered. `buffer` is anybody's; it limits how long a frame may be. A read that does not fill
    /// it has emptied the socket (epoll(7)), so one is enough, unless the end is there to be found.
    pub fn read(
        &mut self,
        is_ending: bool,
        buffer: &mut [u8],
        mut seen: impl FnMut(Frame<'_>),
    ) -> Reading {
        let mut reading = Reading::Goes;
        loop {
            let held = self.rest.len();
            buffer[..held].copy_from_slice(&self.rest);
            let length = match self.socket.read(&mut buffer[held..]) {
                Ok(0) => return Reading::Ended(self.end(End::Eof)),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return reading,
                Err(error) => return Reading::Ended(self.end(End::Error(error.kind()))),
            };
            let was_open = self.is_open();
            if let Err(end) = self.take_in(&buffer[..held + length], &mut seen) {
                return Reading::Ended(self.end(end));
            }
            if self.is_open() && !was_open {
                reading = Reading::Opened;
            }
            if held + length < buffer.len() && !is_ending {
                return reading;
            }
            if self.rest.len() == buffer.len() {
                return Reading::Ended(self.end(End::Nonsense("a frame too long to measure with")));
            }
        }
    }

    fn take_in(&mut self, mut bytes: &[u8], seen: &mut impl FnMut(Frame<'_>)) -> Result<(), End> {
        if !self.is_open() {
            let Some(answer) = answer_length(bytes) else {
                self.keep(bytes);
                return Ok(());
            };
            check_answer(&bytes[..answer])?;
            self.state = State::Open;
            bytes = &bytes[answer..];
        }
        while let Some(frame) = frame::take(&mut bytes).map_err(End::Nonsense)? {
            match frame.opcode {
                frame::PING => self.answer_ping(frame.payload)?,
                frame::CLOSE => return Err(End::Close(close_code(frame.payload))),
                _ => seen(frame),
            }
        }
        self.keep(bytes);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
    }

    #[cold]
    fn answer_ping(&mut self, payload: &[u8]) -> Result<(), End> {
        let mut pong = Vec::new();
        frame::append(frame::PONG, payload, &mut pong);
        self.send(&pong)
    }

    fn end(&mut self, end: End) -> End {
        self.state = State::Ended;
        end
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Ends the TCP connection, with a reset where the socket is set so.
    pub fn shut(&mut self) -> io::Result<()> {
        self.socket.shutdown(std::net::Shutdown::Both)
    }
}

/// Bytes of the answer's head, once all of it has come.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|place| place + 4)
}

fn check_answer(head: &[u8]) -> Result<(), End> {
    let head = std::str::from_utf8(head).map_err(|_| End::Nonsense("an answer that is no text"))?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(101) if head.contains(ACCEPT) => Ok(()),
        Some(101) => Err(End::Nonsense("the answer has not the right Sec-WebSocket-Accept")),
        Some(status) => Err(End::Refused(status)),
        None => Err(End::Nonsense("the answer is not HTTP/1.1")),
    }
}

fn close_code(payload: &[u8]) -> u16 {
    const NO_STATUS: u16 = 1005;
    payload.first_chunk().map_or(NO_STATUS, |code| u16::from_be_bytes(*code))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The answer, a text, a ping, another text and a Close with a code.
    fn conversation() -> Vec<u8> {
        let head =
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        let frames = [&b"\x81\x03one"[..], b"\x89\x02hi", b"\x81\x03two", b"\x88\x02\x03\xf5"];
        [head.as_bytes(), &frames.concat()].concat()
    }

    /// A client and the server's end of the connection.
    fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        (Connection::new(socket, "request".into()), server)
    }

    #[test]
    fn a_conversation_is_understood_at_every_split() {
        let all = conversation();
        for split in 1..all.len() {
            let (mut connection, mut server) = pair();
            connection.flush().unwrap();
            let mut request = [0; 7];
            server.read_exact(&mut request).unwrap();

            let mut texts = Vec::new();
            let mut buffer = [0; 1024];
            let mut last = Reading::Goes;
            let mut has_opened = false;
            for part in [&all[..split], &all[split..]] {
                server.write_all(part).unwrap();
                last =
                    connection.read(false, &mut buffer, |frame| texts.push(frame.payload.to_vec()));
                has_opened |=
                    last == Reading::Opened || connection.is_open() || connection.has_ended();
            }
            assert!(has_opened, "cut at {split}");
            assert_eq!(texts, [b"one", b"two"], "cut at {split}");
            assert_eq!(last, Reading::Ended(End::Close(1013)), "cut at {split}");

            // The ping was answered with a masked pong of the same length.
            let mut pong = [0; 8];
            server.read_exact(&mut pong).unwrap();
            assert_eq!(pong[..2], [0x8a, 0x82]);
        }
    }

    #[test]
    fn what_is_no_upgrade_is_told_apart() {
        let said = |answer: &str| check_answer(answer.as_bytes()).unwrap_err();
        assert_eq!(said("HTTP/1.1 503 Service Unavailable\r\n\r\n"), End::Refused(503));
        assert!(matches!(said("HTTP/1.1 101 Yes\r\n\r\n"), End::Nonsense(_)));
        assert!(matches!(said("SSH-2.0\r\n\r\n"), End::Nonsense(_)));
    }
}
