//! THE FRAME HANDLER: bytes ↔ frames ↔ messages, the server's side of RFC 6455, sections 5 to 8.
//!
//! [`Decoder`] makes [`Event`]s of the bytes of one peer, however the stream was cut: in place, and
//! without a copy where a frame is whole in the input. [`encode`] is the other direction: header and
//! payload in one shared allocation, for any number of sockets.
//!
//! The types of opcodes and close codes are tungstenite's; the tests compare this codec with its
//! own.

mod decoder;
mod error;
mod header;
mod mask;
mod text;

use std::rc::Rc;

pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

pub use decoder::{Decoder, Event};
pub use error::FrameError;
pub use mask::unmask;

/// The most bytes of a reason in a Close frame: the 125 of a control frame less the code.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// An unfragmented, unmasked frame, to be shared by all who receive it. Control frames must keep
/// their payload within 125 bytes, and texts must be UTF-8.
pub fn encode(opcode: OpCode, payload: &[u8]) -> Rc<[u8]> {
    let mut bytes = Vec::with_capacity(header::SENT_HEADER_BYTES_MAX + payload.len());
    append(opcode, payload, &mut bytes);
    bytes.into()
}

/// A Close frame with a code and a reason for people, cut to what a control frame carries.
pub fn encode_close(code: CloseCode, reason: &str) -> Rc<[u8]> {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)];
    let payload = [&u16::from(code).to_be_bytes(), reason.as_bytes()].concat();
    encode(OpCode::Control(Control::Close), &payload)
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
        assert_eq!(&*encode_close(CloseCode::Away, "bye"), b"\x88\x05\x03\xe9bye");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = encode_close(CloseCode::Policy, &"ü".repeat(100));
        assert_eq!(frame[1], 124, "two bytes of code and 61 characters of two bytes");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
