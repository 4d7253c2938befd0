//! What the server has written to one client, read as a strict client reads it.

/// A frame: its opcode and its payload.
pub type Frame<'b> = (u8, &'b [u8]);

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PONG: u8 = 10;

/// An HTTP answer, and the frames after it where it opened a WebSocket.
#[derive(Debug)]
pub struct Stream<'b> {
    pub status: u16,
    /// Bytes of the answer's head.
    pub head: usize,
    pub frames: Vec<Frame<'b>>,
}

impl<'b> Stream<'b> {
    /// All frames but those that depend on how the input was cut: Pongs, the count that a pass
    /// begins with, and who is writing, which nobody is told who has other things to read.
    pub fn lasting(&self) -> Vec<&Frame<'b>> {
        let passing = [&br#"{"type":"userCount""#[..], br#"{"type":"typing""#];
        let is_passing = |payload: &[u8]| passing.iter().any(|start| payload.starts_with(start));
        let frames = self.frames.iter();
        frames.filter(|(opcode, payload)| *opcode != PONG && !is_passing(payload)).collect()
    }

    pub fn pongs(&self) -> Vec<&Frame<'b>> {
        self.frames.iter().filter(|(opcode, _)| *opcode == PONG).collect()
    }
}

/// Reads an answer and what follows it, all of which is there if `is_whole`; `None` where not
/// even the head is complete.
pub fn read(bytes: &[u8], is_whole: bool) -> Option<Stream<'_>> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes).expect("valid HTTP") else {
        assert!(!is_whole || bytes.is_empty(), "the head of the answer is cut");
        return None;
    };
    let status = response.code.expect("a status");
    let field = |name: &str| {
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.map(|field| std::str::from_utf8(field.value).expect("ASCII").to_owned())
    };
    let rest = &bytes[head..];
    if status == 101 {
        return Some(Stream { status, head, frames: frames(rest, is_whole) });
    }
    let len = field("Content-Length").map_or(0, |len| len.parse().expect("a length"));
    // The answer to a HEAD request has the length only.
    assert!(rest.is_empty() || rest.len() == len || (!is_whole && rest.len() < len));
    assert_eq!(field("Connection").as_deref(), Some("close"), "the connection ends");
    Some(Stream { status, head, frames: Vec::new() })
}

fn frames(mut bytes: &[u8], is_whole: bool) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((frame, len)) = frame(bytes) {
        assert!(frames.last().is_none_or(|(opcode, _)| *opcode != CLOSE), "the Close is the last");
        frames.push(frame);
        bytes = &bytes[len..];
    }
    assert!(!is_whole || bytes.is_empty(), "a frame is cut: {bytes:02x?}");
    frames
}

/// The frame that starts `bytes` and its length with its header, `None` where it is cut.
fn frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert!(matches!(first, 0x81 | 0x82 | 0x88..=0x8a), "first byte {first:#04x}");
    let (header, len) = match second {
        0..=125 => (2, usize::from(second)),
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        _ => panic!("a server masks nothing (section 5.1)"),
    };
    let shortest = [2, 4, 10][usize::from(len > 125) + usize::from(len > 0xffff)];
    assert_eq!(header, shortest, "the shortest form of a length (section 5.2)");
    let opcode = first & 0x0f;
    let payload = bytes.get(header..header + len)?;
    if opcode == TEXT {
        assert!(std::str::from_utf8(payload).is_ok(), "text is UTF-8 (section 5.6)");
    }
    assert!(opcode < CLOSE || len <= 125, "a control frame is short (section 5.5)");
    Some(((opcode, payload), header + len))
}
