//! The receive side of one connection.

use super::addresses::Key;
use super::deadlines::NEVER;
use super::ending::Ending;
use super::pace::Pace;
use crate::clock::Now;
use crate::http::{Response, head_len};
use crate::limits::{READ_BUFFER_BYTES, REQUEST_BYTES_MAX};
use crate::ws::frame::Decoder;

/// The receive side of one connection. An idle one costs this and nothing else.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) phase: Phase,
    /// When it was last heard of.
    pub(super) heard_ms: u64,
    /// When it must be looked at next.
    pub(super) deadline_ms: u64,
    /// Where it comes from.
    pub(super) address: Key,
    /// Its request is whole, and waits at a gate.
    pub(super) is_parked: bool,
    /// Some of what was read of it was not taken, and is kept until it is woken.
    pub(super) is_waiting: bool,
    /// It was sent a Ping, and has answered none since.
    pub(super) is_pinged: bool,
    /// It has ended its direction, or is lost, and some of what it has sent is still to be read.
    pub(super) is_hung_up: bool,
}

impl Peer {
    /// A connection that was just accepted.
    pub(super) fn new(address: Key, now: Now) -> Self {
        Self {
            phase: Phase::Request(Vec::new()),
            heard_ms: now.mono_ms,
            deadline_ms: NEVER,
            address,
            is_parked: false,
            is_waiting: false,
            is_pinged: false,
            is_hung_up: false,
        }
    }

    /// Whether it is a WebSocket.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Bytes of memory of what has come of a request or of a message, and of what must wait: that
    /// was one read, and counts whole.
    pub(super) fn held_bytes(&self) -> usize {
        let part = match &self.phase {
            Phase::Request(head) => head.capacity(),
            Phase::Open { decoder, .. } => decoder.held_bytes(),
            Phase::Closing(_) => 0,
        };
        part + if self.is_waiting { READ_BUFFER_BYTES } else { 0 }
    }

    /// When its next message may be decoded, in milliseconds.
    pub(super) fn ready_ms(&self) -> u64 {
        match &self.phase {
            Phase::Open { pace: Some(pace), .. } => pace.ready_ms,
            _ => 0,
        }
    }
}

/// Where a connection is in its life; it only ever goes forward.
#[derive(Debug)]
pub(super) enum Phase {
    /// The request head is arriving; this much is here.
    Request(Vec<u8>),
    /// It is a WebSocket.
    Open { decoder: Decoder, pace: Option<Box<Pace>> },
    /// All has been said to it. What it still sends is dropped.
    Closing(Ending),
}

/// Looks for the end of a request head: how many bytes of `input` belong to it, or `None` where
/// more are awaited; then all of `input` has been added to `head`, which is what came before.
///
/// A head that lies whole in the input stays there, and `head` empty.
///
/// # Errors
/// The refusal to send.
pub(super) fn find_head(head: &mut Vec<u8>, input: &[u8]) -> Result<Option<usize>, Response> {
    if head.is_empty()
        && let Some(len) = head_len(input, 0)?
    {
        return Ok(Some(len));
    }
    let had = head.len();
    let more = input.len().min(REQUEST_BYTES_MAX - had);
    head.extend_from_slice(&input[..more]);
    Ok(head_len(head, had)?.map(|len| len - had))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_of_a_dripped_head_is_looked_at_once() {
        // A blank line among the bytes that were looked at before is found by a second look only.
        let mut head = b"GET / HTTP/1.1\r\n\r\nHost".to_vec();
        for byte in *b": box\r\n" {
            assert!(matches!(find_head(&mut head, &[byte]), Ok(None)));
        }
    }

    #[test]
    fn a_head_that_lies_whole_in_the_input_is_not_copied() {
        let mut head = Vec::new();
        assert!(matches!(find_head(&mut head, b"GET / HTTP/1.1\r\n\r\nmore"), Ok(Some(18))));
        assert!(head.is_empty());
    }
}
