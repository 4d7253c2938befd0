//! What clients send, and how they read what they are sent.

use hallway::ws::frame::unmask;

/// A request that opens a WebSocket at `/chat?query`, with more header fields than it needs.
pub fn handshake(query: &str, fields: &str) -> String {
    format!(
        "GET /chat?{query} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

/// The header field that asks for version 2 of the protocol.
pub const V2: &str = "Sec-WebSocket-Protocol: hallway.v2\r\n";

/// The key that [`masked`] masks with; that of the examples in RFC 6455.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it, with this first byte.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    masked_by(KEY, first, payload)
}

/// The same with another key.
pub fn masked_by(key: [u8; 4], first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => bytes.push(0x80 | len),
        (_, Ok(len)) => {
            bytes.push(0x80 | 126);
            bytes.extend(len.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(key);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[start..], key);
    bytes
}

/// A chat message of a client, as a frame. The text must need no escapes.
pub fn chat(text: &str) -> Vec<u8> {
    masked(0x81, format!(r#"{{"type":"chatMessage","payload":{{"message":"{text}"}}}}"#).as_bytes())
}

/// One frame that the server has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 1 for text, 2 for binary, 8 for Close, 9 for Ping, 10 for Pong.
    pub opcode: u8,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// The first frame of what the server has sent, and its length with its header; `None` where it is
/// not whole yet.
///
/// # Panics
/// Where it is no single, final, unmasked frame without reserved bits.
pub fn first_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [first, form, ..] = *bytes else { return None };
    assert_eq!(first & 0xf0, 0x80, "one final frame without reserved bits: {bytes:?}");
    let (start, len) = match form {
        0..=125 => (2, usize::from(form)),
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => {
            let len = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            (10, usize::try_from(len).expect("a length that fits"))
        }
        _ => panic!("the server masks nothing: {bytes:?}"),
    };
    let payload = bytes.get(start..start + len)?.to_vec();
    Some((Frame { opcode: first & 0x0f, payload }, start + len))
}

/// Takes all whole frames from the front of `bytes`.
pub fn take_frames(bytes: &mut Vec<u8>) -> Vec<Frame> {
    let (mut frames, mut taken) = (Vec::new(), 0);
    while let Some((frame, len)) = first_frame(&bytes[taken..]) {
        frames.push(frame);
        taken += len;
    }
    bytes.drain(..taken);
    frames
}

/// The code of the Close frame that a stream of the server's ends with, if it does.
pub fn closing_code(stream: &[u8]) -> Option<u16> {
    let at = stream.iter().rposition(|&byte| byte == 0x88)?;
    let len = usize::from(*stream.get(at + 1)?);
    let body = stream.get(at + 2..)?;
    (body.len() == len && len >= 2).then(|| u16::from_be_bytes([body[0], body[1]]))
}
