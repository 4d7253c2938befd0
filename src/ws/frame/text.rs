//! Text, checked to be UTF-8 (RFC 6455, section 8.1): whole, or piece by piece.

use super::error::FrameError;

/// The bytes as text.
pub(super) fn check(bytes: &[u8]) -> Result<&str, FrameError> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| FrameError::InvalidUtf8)
}

/// A text that comes in pieces, which may cut a character.
#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    /// What has been checked. Nothing is checked twice.
    text: String,
    /// The first bytes of a character that the end of the last piece has cut.
    cut: [u8; 4],
    cut_len: usize,
}

impl TextBuffer {
    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.cut_len
    }

    /// Appends a piece; where that needs memory, memory for `capacity` bytes is taken.
    ///
    /// # Errors
    /// With the first byte that makes it no text, not at the end of the message.
    pub(super) fn push(&mut self, piece: &[u8], capacity: usize) -> Result<(), FrameError> {
        if self.text.capacity() - self.text.len() < self.cut_len + piece.len() {
            self.text.reserve(self.cut_len + capacity);
        }
        let rest = if self.cut_len == 0 { piece } else { self.complete(piece)? };
        match check(rest) {
            Ok(text) => {
                self.text.push_str(text);
                Ok(())
            }
            Err(_) => self.push_cut(rest),
        }
    }

    /// The text, unless it ends within a character.
    pub(super) fn finish(self) -> Result<String, FrameError> {
        if self.cut_len == 0 { Ok(self.text) } else { Err(FrameError::InvalidUtf8) }
    }

    /// Completes the cut character from the start of `piece`; what follows it.
    fn complete<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], FrameError> {
        for (at, &byte) in piece.iter().enumerate() {
            self.cut[self.cut_len] = byte;
            self.cut_len += 1;
            match std::str::from_utf8(&self.cut[..self.cut_len]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.cut_len = 0;
                    return Ok(&piece[at + 1..]);
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(FrameError::InvalidUtf8),
            }
        }
        Ok(&[])
    }

    /// Appends a piece that is text, except for its end, where it cuts a character.
    fn push_cut(&mut self, piece: &[u8]) -> Result<(), FrameError> {
        let Some(chunk) = piece.utf8_chunks().next() else { return Ok(()) };
        let (valid, cut) = (chunk.valid(), chunk.invalid());
        let is_cut = std::str::from_utf8(cut).is_err_and(|error| error.error_len().is_none());
        if !is_cut || valid.len() + cut.len() < piece.len() {
            return Err(FrameError::InvalidUtf8);
        }
        self.text.push_str(valid);
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len = cut.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on `bytes` in pieces of at most `len`, and after how many bytes it came.
    fn in_pieces(bytes: &[u8], len: usize) -> (Option<String>, usize) {
        let mut buffer = TextBuffer::default();
        let mut taken = 0;
        for piece in bytes.chunks(len) {
            taken += piece.len();
            if buffer.push(piece, piece.len()).is_err() {
                return (None, taken);
            }
            assert_eq!(buffer.len(), taken);
        }
        (buffer.finish().ok(), taken)
    }

    #[test]
    fn every_text_survives_every_cut() {
        let text = "aé€😀".repeat(20);
        for len in 1..=text.len() {
            assert_eq!(in_pieces(text.as_bytes(), len).0.as_deref(), Some(&*text), "{len}");
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
                let (text, taken) = in_pieces(bytes, len);
                assert_eq!(text, None, "{bytes:?}");
                assert!(taken <= bad + len, "{bytes:?} in pieces of {len}: found after {taken}");
            }
        }
    }

    #[test]
    fn an_end_within_a_character_is_no_text() {
        for len in 1..=3 {
            assert_eq!(in_pieces(b"a\xf0\x9f\x98", len).0, None);
        }
    }
}
