//! What the server has written to a socket, whether its client has read it or not.

use testkit::client::take_frames;

/// The stream of one connection, as it was written.
#[derive(Default)]
pub(crate) struct Written {
    /// Bytes of the socket that were looked at, and are not read yet.
    pub(crate) unread: usize,
    /// It begins with the answer to a handshake that was accepted.
    is_open: bool,
    /// What is no whole frame yet.
    rest: Vec<u8>,
    /// Chat messages, those of the replay included.
    pub(crate) texts: usize,
    /// All else that counts as a frame: not welcome, not typing, no control frame.
    others: usize,
    /// A Close has been written.
    is_closed: bool,
}

impl Written {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.unread += bytes.len();
        self.rest.extend_from_slice(bytes);
        if !self.is_open && !self.skip_answer() {
            return;
        }
        for frame in take_frames(&mut self.rest) {
            let is =
                |kind: &str| frame.payload.starts_with(format!("{{\"type\":\"{kind}\"").as_bytes());
            match frame.opcode {
                8 => self.is_closed = true,
                1 if is("chatMessage") => self.texts += 1,
                1 => self.others += usize::from(!is("welcome") && !is("typing")),
                _ => {}
            }
        }
    }

    fn skip_answer(&mut self) -> bool {
        let end = self.rest.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end.filter(|_| self.rest.starts_with(b"HTTP/1.1 101 ")) else {
            return false;
        };
        self.rest.drain(..end + 4);
        self.is_open = true;
        true
    }

    /// Frames that count, of which so many chat messages do not: they were replayed.
    pub(crate) fn counted(&self, replayed: usize) -> usize {
        self.others + self.texts.saturating_sub(replayed)
    }

    /// Whether it ends in the middle of a frame.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_open && !self.rest.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }
}
