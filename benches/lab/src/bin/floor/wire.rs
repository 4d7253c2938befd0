//! What the floor knows of HTTP and of frames.

use tungstenite::handshake::derive_accept_key;

/// Headers of a request at most.
const HEADERS: usize = 64;

/// The first byte of a frame: FIN and the opcode.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The connection is over.
pub struct Over;

/// A client's frame, still masked.
pub struct Frame<'b> {
    pub first_byte: u8,
    mask: [u8; 4],
    pub payload: &'b [u8],
}

impl<'b> Frame<'b> {
    /// The frame that `input` begins with and what comes after it; `None` while it is incomplete.
    pub fn parse(input: &'b [u8]) -> Result<Option<(Self, &'b [u8])>, Over> {
        let Some((&[first_byte, second_byte], rest)) = input.split_first_chunk() else {
            return Ok(None);
        };
        if second_byte & 0x80 == 0 {
            return Err(Over);
        }
        let split = match second_byte & 0x7f {
            126 => rest
                .split_first_chunk()
                .map(|(&length, rest)| (u16::from_be_bytes(length).into(), rest)),
            127 => {
                rest.split_first_chunk().map(|(&length, rest)| (u64::from_be_bytes(length), rest))
            }
            short => Some((short.into(), rest)),
        };
        let Some((length, rest)) = split else { return Ok(None) };
        let Some((&mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Over)?;
        let Some((payload, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        Ok(Some((Self { first_byte, mask, payload }, rest)))
    }

    pub fn unmask_into(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(self.payload);
        for chunk in bytes[start..].chunks_mut(4) {
            chunk.iter_mut().zip(self.mask).for_each(|(byte, mask)| *byte ^= mask);
        }
    }
}

/// The header of a server's frame.
pub fn write_header(first_byte: u8, length: usize, bytes: &mut Vec<u8>) {
    bytes.push(first_byte);
    if let Ok(length @ ..126) = u8::try_from(length) {
        bytes.push(length);
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(126);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(127);
        bytes.extend((length as u64).to_be_bytes());
    }
}

/// A request for the upgrade: the room's name as it stands in the query, and the key.
pub struct Request {
    pub room: String,
    key: String,
    /// Bytes of it.
    pub length: usize,
}

impl Request {
    pub fn parse(input: &[u8]) -> Result<Option<Self>, Over> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = request.parse(input).map_err(|_| Over)? else {
            return Ok(None);
        };
        let mut headers = request.headers.iter();
        let key = headers.find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
        let key = String::from_utf8_lossy(key.ok_or(Over)?.value).into_owned();
        let (_, query) = request.path.and_then(|path| path.split_once('?')).unwrap_or_default();
        let room = query.split('&').find_map(|pair| pair.strip_prefix("room="));
        Ok(Some(Self { room: room.unwrap_or_default().to_owned(), key, length }))
    }

    pub fn write_answer(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
        bytes.extend_from_slice(b"Upgrade: websocket\r\nSec-WebSocket-Accept: ");
        bytes.extend_from_slice(derive_accept_key(self.key.as_bytes()).as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
    }
}
