//! WebSocket frames (RFC 6455, section 5) as a client needs them: those to send are made once, and
//! of those that come only the header is looked at.

use super::stamp::{STAMP_BYTES, Stamp};

/// The opcodes that matter here (RFC 6455, section 5.2).
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const OPCODE: u8 = 0x0f;

/// Lengths above these are told in the next 2 or 8 bytes.
const LENGTH_7_BITS: usize = 125;
const LENGTH_IN_2: u8 = 126;
const LENGTH_IN_8: u8 = 127;

/// Any mask does: unmasking costs a server the same with each.
const MASK: [u8; 4] = [0x5b, 0x96, 0xa3, 0x1c];

/// A frame that has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    pub opcode: u8,
    pub payload: &'b [u8],
}

/// Takes the first frame off `bytes`; none where it is not all there.
///
/// # Errors
/// Where a server masks its frames, which no client may accept (section 5.1).
pub fn take<'b>(bytes: &mut &'b [u8]) -> Result<Option<Frame<'b>>, &'static str> {
    let &[first, second, ..] = *bytes else { return Ok(None) };
    if second & MASKED != 0 {
        return Err("the server masks its frames");
    }
    let (header, length) = match second {
        LENGTH_IN_2 => match bytes[2..].first_chunk() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        LENGTH_IN_8 => match bytes[2..].first_chunk() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    let rest: &'b [u8] = &bytes[header..];
    if (rest.len() as u64) < length {
        return Ok(None);
    }
    let (payload, rest) = rest.split_at(length as usize);
    *bytes = rest;
    Ok(Some(Frame { opcode: first & OPCODE, payload }))
}

/// Appends a masked frame to `out`.
pub fn append(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(FINAL | opcode);
    match payload.len() {
        length @ 0..=LENGTH_7_BITS => out.push(MASKED | length as u8),
        length if length <= usize::from(u16::MAX) => {
            out.push(MASKED | LENGTH_IN_2);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | LENGTH_IN_8);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A frame that is sent often, masked beforehand; each time only the stamp in it is new.
#[derive(Debug)]
pub struct Prototype {
    frame: Vec<u8>,
    /// Where in the frame the stamp goes, and where in the payload, which the mask counts by.
    stamp_in_frame: usize,
    stamp_in_payload: usize,
}

impl Prototype {
    /// A frame of `payload`, in which a stamp goes to `stamp_in_payload`.
    pub fn new(opcode: u8, payload: &[u8], stamp_in_payload: usize) -> Self {
        let mut frame = Vec::new();
        append(opcode, payload, &mut frame);
        let stamp_in_frame = frame.len() - payload.len() + stamp_in_payload;
        Self { frame, stamp_in_frame, stamp_in_payload }
    }

    /// A ping whose payload is the stamp.
    pub fn ping() -> Self {
        Self::new(PING, &[0; STAMP_BYTES], 0)
    }

    /// Appends the frame with `stamp` to `out`.
    pub fn append(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len() + self.stamp_in_frame;
        out.extend_from_slice(&self.frame);
        let masks = MASK.iter().cycle().skip(self.stamp_in_payload % MASK.len());
        for ((place, byte), mask) in out[start..].iter_mut().zip(stamp.bytes()).zip(masks) {
            *place = byte ^ mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(frame: &[u8], length: usize) -> Vec<u8> {
        let payload = &frame[frame.len() - length..];
        payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    }

    /// As a server sends it.
    fn plain(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        append(opcode, payload, &mut frame);
        let header = frame.len() - payload.len() - MASK.len();
        frame[1] &= !MASKED;
        [&frame[..header], payload].concat()
    }

    #[test]
    fn frames_of_each_length_are_taken_at_every_split() {
        for length in [0, 1, 125, 126, 127, 1_000, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let stream = [plain(TEXT, &payload), plain(PONG, b"next")].concat();
            let first = stream.len() - 6;
            let splits = (0..first.min(200)).chain(first.saturating_sub(3)..first);
            for split in splits {
                let mut bytes = &stream[..split];
                assert_eq!(take(&mut bytes), Ok(None), "{length} bytes, cut at {split}");
                assert_eq!(bytes.len(), split, "nothing is taken");
            }
            let mut bytes = &stream[..];
            assert_eq!(take(&mut bytes), Ok(Some(Frame { opcode: TEXT, payload: &payload })));
            assert_eq!(take(&mut bytes), Ok(Some(Frame { opcode: PONG, payload: b"next" })));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn an_absurd_length_waits_and_a_mask_is_refused() {
        let mut bytes = &[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255, 0][..];
        assert_eq!(take(&mut bytes), Ok(None));
        assert!(take(&mut &[0x81, 0x85, 0, 0, 0, 0][..]).is_err());
    }

    #[test]
    fn a_prototype_differs_by_its_stamp_only() {
        for place in 0..5 {
            let payload = vec![b'.'; 200];
            let prototype = Prototype::new(TEXT, &payload, place);
            let stamp = Stamp { lane: 7, sequence: 0xbeef };
            let mut out = b"before".to_vec();
            prototype.append(stamp, &mut out);
            let said = unmasked(&out[6..], 200);
            assert_eq!(Stamp::read(&said[place..]), Some(stamp));
            assert!(said[..place].iter().chain(&said[place + STAMP_BYTES..]).all(|b| *b == b'.'));
        }
    }
}
