//! tungstenite's judgement of the bytes of a client.

use std::io::{self, Read, Write};

use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// What was received of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// Bytes to read, and a sink for what is written.
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

/// Bytes of the longest frame that is judged as a whole: no limit on messages is one on control
/// frames (section 5.5).
pub fn frame_bytes_max(message_bytes_max: u32) -> u32 {
    message_bytes_max.max(125)
}

/// What was received up to a Close or a fault, and the close code of the fault.
pub fn judge(bytes: &[u8], message_bytes_max: u32) -> (Vec<Received>, Option<u16>) {
    // The default buffer of 128 KiB would be most of the work.
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(message_bytes_max as usize))
        .max_frame_size(Some(frame_bytes_max(message_bytes_max) as usize));
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut stream = Memory(bytes);
    let mut received = Vec::new();
    loop {
        match context.read(&mut stream) {
            Ok(Message::Text(text)) => received.push(Received::Text(text.to_string())),
            Ok(Message::Binary(bytes)) => received.push(Received::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => received.push(Received::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => received.push(Received::Pong(bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                received.push(Received::Close(frame.map(|frame| frame.code.into())));
                return (received, None);
            }
            Ok(Message::Frame(_)) => unreachable!("read makes no raw frames"),
            Err(error) => return (received, code(&error)),
        }
    }
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Io(_) => None,
        Error::Protocol(_) => Some(1002),
        Error::Utf8(_) => Some(1007),
        Error::Capacity(_) => Some(1009),
        other => panic!("the oracle has an error of its own: {other}"),
    }
}
