//! The header of a frame (RFC 6455, section 5.2), read and written.

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::error::FrameError;

/// Bytes of the longest header a client sends: two, a 64-bit length and the mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// Bytes of the longest header that we send: two and a 64-bit length.
pub(super) const SENT_HEADER_BYTES_MAX: usize = 10;

/// The most bytes of a control frame (section 5.5), and the longest length in the short form.
const SHORT_LENGTH_MAX: u64 = 125;

/// The header of one frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether this is the last frame of its message.
    pub(super) fin: bool,
    /// Which kind of frame; never a reserved one.
    pub(super) opcode: OpCode,
    /// Bytes of payload, as declared. Never allocate by it.
    pub(super) len: u64,
    /// The masking key.
    pub(super) mask: [u8; 4],
}

impl Header {
    /// Reads the header at the start of `bytes`: it and its length in bytes, or `None` as long
    /// as bytes are missing.
    ///
    /// `in_message` tells whether a fragmented message has begun. The bytes are checked in their
    /// order, each as soon as it is there, so the result does not depend on how the stream was
    /// cut. Work: constant.
    ///
    /// # Errors
    /// Every fault that a header can have by itself; the limits of its message are not checked
    /// here.
    pub(super) fn read(
        bytes: &[u8],
        in_message: bool,
    ) -> Result<Option<(Self, usize)>, FrameError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let fin = first & 0x80 != 0;
        let opcode = OpCode::from(first & 0x0f);
        check_first_byte(first, opcode, in_message)?;

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(FrameError::Unmasked);
        }
        let form = second & 0x7f;
        if matches!(opcode, OpCode::Control(_)) && u64::from(form) > SHORT_LENGTH_MAX {
            return Err(FrameError::LongControl);
        }
        let Some((len, rest)) = read_length(form, &bytes[2..])? else { return Ok(None) };
        let Some(&mask) = rest.first_chunk::<4>() else { return Ok(None) };
        let read = bytes.len() - rest.len() + mask.len();
        Ok(Some((Self { fin, opcode, len, mask }, read)))
    }
}

fn check_first_byte(first: u8, opcode: OpCode, in_message: bool) -> Result<(), FrameError> {
    if first & 0x70 != 0 {
        return Err(FrameError::ReservedBits);
    }
    match opcode {
        OpCode::Data(Data::Reserved(code)) | OpCode::Control(Control::Reserved(code)) => {
            Err(FrameError::ReservedOpcode(code))
        }
        OpCode::Control(_) if first & 0x80 == 0 => Err(FrameError::FragmentedControl),
        OpCode::Data(Data::Continue) if !in_message => Err(FrameError::UnexpectedContinuation),
        OpCode::Data(Data::Text | Data::Binary) if in_message => {
            Err(FrameError::ExpectedContinuation)
        }
        _ => Ok(()),
    }
}

/// Reads the length that `form` announces from the start of `bytes`: it and what follows it.
fn read_length(form: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    match form {
        126 => {
            let Some((raw, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
            let len = u64::from(u16::from_be_bytes(*raw));
            if len <= SHORT_LENGTH_MAX {
                return Err(FrameError::LongLengthForm);
            }
            Ok(Some((len, rest)))
        }
        127 => {
            let Some((raw, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
            let len = u64::from_be_bytes(*raw);
            if len > i64::MAX as u64 {
                return Err(FrameError::NegativeLength);
            }
            if len <= u64::from(u16::MAX) {
                return Err(FrameError::LongLengthForm);
            }
            Ok(Some((len, rest)))
        }
        short => Ok(Some((u64::from(short), bytes))),
    }
}

/// Appends the header of an unfragmented, unmasked frame with `len` bytes of payload.
pub(super) fn write(opcode: OpCode, len: usize, out: &mut Vec<u8>) {
    out.push(0x80 | u8::from(opcode));
    let len = len as u64;
    if len <= SHORT_LENGTH_MAX {
        out.push(len.to_be_bytes()[7]);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, FrameError> {
        Header::read(bytes, false)
    }

    #[test]
    fn each_length_form_is_read_at_its_bounds() {
        for (head, len) in [
            (vec![0x81, 0x80], 0),
            (vec![0x81, 0x80 | 125], 125),
            (vec![0x81, 0xfe, 0, 126], 126),
            (vec![0x81, 0xfe, 0xff, 0xff], 65_535),
            (vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], 65_536),
            (vec![0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX as u64),
        ] {
            let bytes = [&head[..], &[1, 2, 3, 4]].concat();
            let (header, read) = read(&bytes).unwrap().unwrap();
            assert_eq!((header.len, header.mask, read), (len, [1, 2, 3, 4], bytes.len()));
            for cut in 0..bytes.len() {
                assert_eq!(Header::read(&bytes[..cut], false), Ok(None), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_length_has_one_form_only() {
        assert_eq!(read(&[0x81, 0xfe, 0, 125]), Err(FrameError::LongLengthForm));
        assert_eq!(
            read(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            Err(FrameError::LongLengthForm)
        );
        assert_eq!(read(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::NegativeLength));
    }

    #[test]
    fn the_first_byte_is_checked_alone() {
        assert_eq!(read(&[0xc1]), Err(FrameError::ReservedBits));
        assert_eq!(read(&[0x83]), Err(FrameError::ReservedOpcode(3)));
        assert_eq!(read(&[0x8b]), Err(FrameError::ReservedOpcode(11)));
        assert_eq!(read(&[0x09]), Err(FrameError::FragmentedControl));
        assert_eq!(read(&[0x80]), Err(FrameError::UnexpectedContinuation));
        assert_eq!(Header::read(&[0x81], true), Err(FrameError::ExpectedContinuation));
        assert_eq!(Header::read(&[0x80], true), Ok(None));
    }

    #[test]
    fn the_second_byte_is_checked_alone() {
        assert_eq!(read(&[0x81, 0x01]), Err(FrameError::Unmasked));
        assert_eq!(read(&[0x89, 0xfe]), Err(FrameError::LongControl));
        assert_eq!(read(&[0x88, 0xff]), Err(FrameError::LongControl));
    }

    #[test]
    fn each_length_is_written_in_its_shortest_form() {
        for (len, bytes) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write(OpCode::Data(Data::Text), len, &mut out);
            assert_eq!(out, bytes, "{len}");
        }
    }
}
