//! THE FRAME HANDLER: bytes ↔ frames ↔ messages, the server's side of RFC 6455, sections 5 to 8.
//!
//! [`Decoder`] makes [`Event`]s of the bytes of one peer, however the stream was cut: in place, and
//! without a copy where a frame is whole in the input. [`Frame`] is the other direction: header and
//! payload in one shared allocation, for any number of sockets.
//!
//! The types of opcodes and close codes are tungstenite's; the tests compare this codec with its
//! own.

mod decoder;
mod error;
mod header;
mod mask;
mod text;

use std::ops::Deref;
use std::rc::Rc;

pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

pub use decoder::{Decoder, Event};
pub use error::FrameError;
pub use mask::unmask;

/// The most bytes of a reason in a Close frame: the 125 of a control frame less the code.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// One unfragmented frame as it goes on the wire, shared by all who receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Rc<[u8]>);

impl Frame {
    /// A frame of the given kind. Control frames must keep their payload within 125 bytes.
    pub fn new(opcode: OpCode, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(header::SENT_HEADER_BYTES_MAX + payload.len());
        append(opcode, payload, &mut bytes);
        Self(bytes.into())
    }

    /// A text message in one frame. `text` must be UTF-8.
    pub fn text(text: &[u8]) -> Self {
        Self::new(OpCode::Data(Data::Text), text)
    }

    /// A Close frame with a code and a reason for people, cut to what a control frame carries.
    pub fn close(code: CloseCode, reason: &str) -> Self {
        let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
        let payload = [&u16::from(code).to_be_bytes(), reason.as_bytes()].concat();
        Self::new(OpCode::Control(Control::Close), &payload)
    }

    /// A Close frame without a body, the answer to one without a body (section 5.5.1).
    pub fn close_without_code() -> Self {
        Self::new(OpCode::Control(Control::Close), &[])
    }

    /// A Ping without a body.
    pub fn ping() -> Self {
        Self::new(OpCode::Control(Control::Ping), &[])
    }

    /// The Pong that answers a Ping with this body (section 5.5.3).
    pub fn pong(payload: &[u8]) -> Self {
        Self::new(OpCode::Control(Control::Pong), payload)
    }

    /// The shared bytes.
    pub fn into_bytes(self) -> Rc<[u8]> {
        self.0
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Appends an unfragmented, unmasked frame to `out`.
pub fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    header::write(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        assert_eq!(&*Frame::close(CloseCode::Away, "bye"), b"\x88\x05\x03\xe9bye");
        assert_eq!(&*Frame::close_without_code(), b"\x88\x00");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = Frame::close(CloseCode::Policy, &"ü".repeat(100));
        assert_eq!(frame[1], 124, "two bytes of code and 61 characters of two bytes");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
