//! Text, checked to be UTF-8 (RFC 6455, section 8.1).

use super::error::FrameError;

/// The bytes as text.
pub(super) fn check(bytes: &[u8]) -> Result<&str, FrameError> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| FrameError::InvalidUtf8)
}

/// How many bytes of a text that is not complete are whole characters: all but those of one that
/// the end has cut.
///
/// # Errors
/// With the first byte that makes it no text, not at the end of the message.
pub(super) fn checked_len(bytes: &[u8]) -> Result<usize, FrameError> {
    if check(bytes).is_ok() {
        return Ok(bytes.len());
    }
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_some() => Err(FrameError::InvalidUtf8),
        result => Ok(result.map_or_else(|error| error.valid_up_to(), str::len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is whole of `bytes` when they come in pieces of `len`, or after how many they failed.
    fn in_pieces(bytes: &[u8], len: usize) -> Result<&[u8], usize> {
        let (mut checked, mut taken) = (0, 0);
        for piece in bytes.chunks(len) {
            taken += piece.len();
            checked += checked_len(&bytes[checked..taken]).map_err(|_| taken)?;
            assert!(taken - checked < 4, "nothing is checked twice but a cut character");
        }
        Ok(&bytes[..checked])
    }

    #[test]
    fn every_text_survives_every_cut() {
        let text = "aé€😀".repeat(20);
        for len in 1..=text.len() {
            assert_eq!(in_pieces(text.as_bytes(), len), Ok(text.as_bytes()), "{len}");
        }
    }

    #[test]
    fn the_first_bad_byte_is_found_at_once() {
        // Cut short, overlong, a surrogate, beyond U+10FFFF, a stray continuation, no UTF-8 at all.
        for (bytes, bad) in [
            (&b"ab\xe2\x82x"[..], 4),
            (b"\xc0\x80", 0),
            (b"\xe0\x9f\x80", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"a\x80", 1),
            (b"\xff", 0),
        ] {
            for len in 1..=bytes.len() {
                let taken = in_pieces(bytes, len).expect_err("it is no text");
                assert!(taken <= bad + len, "{bytes:?} in pieces of {len}: found after {taken}");
            }
        }
    }

    #[test]
    fn a_character_that_the_end_cuts_is_not_whole() {
        for len in 1..=4 {
            assert_eq!(in_pieces(b"a\xf0\x9f\x98", len), Ok(&b"a"[..]));
        }
    }
}
