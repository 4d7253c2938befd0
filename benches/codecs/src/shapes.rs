//! What the peers send: which messages, and in which pieces they come out of the socket.

use hallway::ws::frame::unmask;

use crate::stream::Stream;

/// What a read brings at most, whatever a server's own buffer holds: many small frames.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The first byte of a whole text message.
const FIN_TEXT: u8 = 0x81;

/// The set bit in front of the length that says that the frame is masked.
const MASKED: u8 = 0x80;

pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// What a read of the socket brings.
    read: Bytes,
    /// Bytes of text in a message.
    len: usize,
    letter: char,
    /// Messages that are measured; enough for a time of some milliseconds.
    pub(crate) count: u32,
}

enum Bytes {
    /// Each message by itself.
    Frame,
    /// As many messages as the read buffer holds.
    Buffer,
    One,
}

pub(crate) const SHAPES: &[Shape] = &[
    Shape { name: "32 bytes", read: Bytes::Frame, len: 32, letter: 'x', count: 100_000 },
    Shape {
        name: "32 bytes, many in a read",
        read: Bytes::Buffer,
        len: 32,
        letter: 'x',
        count: 200_000,
    },
    Shape { name: "32 bytes, one a read", read: Bytes::One, len: 32, letter: 'x', count: 4_000 },
    Shape { name: "125 bytes", read: Bytes::Frame, len: 125, letter: 'x', count: 100_000 },
    Shape {
        name: "124 bytes of Cyrillic",
        read: Bytes::Frame,
        len: 124,
        letter: 'ж',
        count: 50_000,
    },
    Shape { name: "16 KiB", read: Bytes::Frame, len: 16 * 1024, letter: 'x', count: 5_000 },
    Shape {
        name: "16 KiB of Cyrillic",
        read: Bytes::Frame,
        len: 16 * 1024,
        letter: 'ж',
        count: 2_000,
    },
    Shape { name: "64 KiB", read: Bytes::Buffer, len: 64 * 1024, letter: 'x', count: 1_000 },
];

impl Shape {
    pub(crate) fn text(&self) -> String {
        self.letter.to_string().repeat(self.len / self.letter.len_utf8())
    }

    /// Whether writing it differs from writing the others: how it is read does not matter there.
    pub(crate) fn is_written(&self) -> bool {
        self.letter.is_ascii()
            && !matches!((&self.read, self.len), (Bytes::Buffer | Bytes::One, 32))
    }

    pub(crate) fn stream(&self) -> Stream {
        let frame = masked(self.text().as_bytes());
        match self.read {
            Bytes::Frame => Stream::new(frame.clone(), frame.len()),
            Bytes::One => Stream::new(frame, 1),
            Bytes::Buffer => {
                let frames = (BUFFER_BYTES / frame.len()).max(1);
                Stream::new(frame.repeat(frames), BUFFER_BYTES)
            }
        }
    }
}

fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN_TEXT];
    match payload.len() {
        len @ 0..=125 => frame.push(MASKED | len as u8),
        len @ 126..=0xffff => {
            frame.push(MASKED | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(MASKED | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    let start = frame.len();
    frame.extend(payload);
    unmask(&mut frame[start..], KEY);
    frame
}
