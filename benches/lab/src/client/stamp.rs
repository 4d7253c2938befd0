//! What a message carries so that whoever gets it knows which one it is: `~LLLLSSSSSSSS~`, lane and
//! sequence number in hexadecimal, always as wide.

/// Bytes of a stamp.
pub const STAMP_BYTES: usize = 14;

const FENCE: u8 = b'~';
const LANE: std::ops::Range<usize> = 1..5;
const SEQUENCE: std::ops::Range<usize> = 5..13;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Who sent it, as the scenario counts.
    pub lane: u16,
    /// The how manieth of the lane, from 0.
    pub sequence: u32,
}

impl Stamp {
    /// As text.
    pub fn bytes(self) -> [u8; STAMP_BYTES] {
        let mut bytes = [FENCE; STAMP_BYTES];
        write_hexadecimal(u32::from(self.lane), &mut bytes[LANE]);
        write_hexadecimal(self.sequence, &mut bytes[SEQUENCE]);
        bytes
    }

    /// The stamp at the start of `bytes`, where there is one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; STAMP_BYTES] = bytes.first_chunk()?;
        if bytes[0] != FENCE || bytes[STAMP_BYTES - 1] != FENCE {
            return None;
        }
        let lane = u16::try_from(read_hexadecimal(&bytes[LANE])?).ok()?;
        Some(Self { lane, sequence: read_hexadecimal(&bytes[SEQUENCE])? })
    }
}

fn write_hexadecimal(mut value: u32, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(digit))
    })
}

/// Finds stamps in payloads. They stand at the same place in most of them, so it looks first where
/// it found the last one, and through the whole payload only where it is not there.
#[derive(Debug, Default)]
pub struct Finder {
    place: usize,
}

impl Finder {
    /// The stamp in `payload`, if it has one.
    pub fn find(&mut self, payload: &[u8]) -> Option<Stamp> {
        let expected = payload.get(self.place..).and_then(Stamp::read);
        expected.or_else(|| self.search(payload))
    }

    #[cold]
    fn search(&mut self, payload: &[u8]) -> Option<Stamp> {
        let mut places = (0..payload.len()).filter(|place| payload[*place] == FENCE);
        let (place, stamp) =
            places.find_map(|place| Some((place, Stamp::read(&payload[place..])?)))?;
        self.place = place;
        Some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (lane, sequence) in [(0, 0), (1, 2), (0xabc, 0x0123_4567), (u16::MAX, u32::MAX)] {
            let stamp = Stamp { lane, sequence };
            assert_eq!(Stamp::read(&stamp.bytes()), Some(stamp));
        }
        assert_eq!(&Stamp { lane: 0x1f, sequence: 10 }.bytes(), b"~001f0000000a~");
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for bytes in
            [&b""[..], b"~001f0000000a", b"~001f0000000A~", b"~001f0000000a-", b"x001f0000000a~"]
        {
            assert_eq!(Stamp::read(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_stamp_is_found_wherever_it_moves() {
        let stamp = |sequence| Stamp { lane: 3, sequence };
        let text =
            |before: &str, sequence| [before.as_bytes(), &stamp(sequence).bytes(), b"}"].concat();
        let mut finder = Finder::default();
        assert_eq!(finder.find(&text("{\"name\":\"a~b\" ", 1)), Some(stamp(1)));
        assert_eq!(finder.find(&text("{\"name\":\"a~b\" ", 2)), Some(stamp(2)));
        assert_eq!(finder.find(&text("", 3)), Some(stamp(3)));
        assert_eq!(finder.find(b"{\"type\":\"userCount\"}"), None);
        assert_eq!(finder.find(b""), None);
    }
}
