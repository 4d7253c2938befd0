//! The inbound half of one connection.

use super::ending::Ending;
use super::rate::Bucket;
use super::timers::Deadline;
use crate::limits::REQUEST_BYTES_MAX;
use crate::wire::frame::Decoder;
use crate::wire::response::Refusal;
use crate::wire::take;
use crate::wire::upgrade::{self, Request};

/// The inbound half of one connection. An idle member costs this and nothing else.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) phase: Phase,
    /// When it was last heard of.
    pub(super) heard_ms: u64,
    pub(super) deadline: Deadline,
}

impl Peer {
    /// Whether it is a member.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }
}

/// Where a connection is in its life; it only ever goes forward.
#[derive(Debug)]
pub(super) enum Phase {
    /// The request head is arriving; this much is here.
    Request(Vec<u8>),
    /// It is a member of a room.
    Open(Open),
    /// All has been said to it, or is queued. What it still sends is dropped.
    Closing(Ending),
}

/// What only a member has.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) decoder: Decoder,
    /// Made with the first message.
    pub(super) bucket: Option<Box<Bucket>>,
}

/// Takes the bytes of a request head from the front of `input`; `None` as long as more are
/// awaited, and then all of `input` has been taken. `head` is what came before.
///
/// A head that lies whole in the input is read there, with no copy.
///
/// # Errors
/// The refusal to send.
pub(super) fn take_request(
    head: &mut Vec<u8>,
    input: &mut &mut [u8],
) -> Result<Option<Request>, Refusal> {
    if head.is_empty()
        && let Some(len) = upgrade::head_len(input, 0)?
    {
        return upgrade::parse(take(input, len)).map(Some);
    }
    let had = head.len();
    let more = input.len().min(REQUEST_BYTES_MAX - had);
    head.extend_from_slice(&input[..more]);
    match upgrade::head_len(head, had)? {
        Some(len) => {
            take(input, len - had);
            upgrade::parse(&head[..len]).map(Some)
        }
        None => {
            take(input, more);
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_of_a_dripped_head_is_looked_at_once() {
        // A blank line among the bytes that were looked at before is found by a second look only.
        let mut head = b"GET / HTTP/1.1\r\n\r\nHost".to_vec();
        for byte in *b": box\r\n" {
            let mut input = &mut [byte][..];
            assert!(matches!(take_request(&mut head, &mut input), Ok(None)));
            assert!(input.is_empty());
        }
    }
}
