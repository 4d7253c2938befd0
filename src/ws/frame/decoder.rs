//! From the bytes of one peer to its messages.

use std::borrow::Cow;
use std::mem;

use super::error::FrameError;
use super::header::{HEADER_BYTES_MAX, Header};
use super::mask::unmask;
use super::text::{check, checked_len};
use super::{CloseCode, Control, Data, OpCode};
use crate::limits::Limits;
use crate::ws::take;

/// Memory that is taken ahead for the declared payload of a cut frame, in bytes: less than what
/// holding the frame costs anyway. Where more has arrived, as much again is taken.
const FORESEEN_BYTES_MIN: usize = 64;

/// What a peer has sent: a whole message, or a control frame.
///
/// Borrowed from the input where it was whole there, owned where it came in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A text message; checked to be UTF-8.
    Text(Cow<'i, str>),
    /// A binary message.
    Binary(Cow<'i, [u8]>),
    /// A Ping and its body, at most 125 bytes.
    Ping(Cow<'i, [u8]>),
    /// A Pong and its body, at most 125 bytes.
    Pong(Cow<'i, [u8]>),
    /// A Close and its code, `None` where it had no body. The reason has been checked and dropped.
    Close(Option<CloseCode>),
}

/// The inbound half of the frame layer of one peer.
///
/// Invariant: it owns memory only while part of a frame or of a fragmented message is held, and
/// no more than twice what has arrived and `FORESEEN_BYTES_MIN`, whatever a header has declared.
/// Between messages it is one null pointer.
///
/// After an error it must not be used any more: the connection has failed (section 7.1.7).
#[derive(Debug, Default)]
pub struct Decoder {
    held: Option<Box<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// The first bytes of a header that came in pieces.
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// The frame whose payload is coming in; `len` is what is missing, and `mask` fits that.
    arriving: Option<Header>,
    /// The payload of a control frame.
    control: Vec<u8>,
    message: Option<Message>,
}

/// The data message so far.
#[derive(Debug, Default)]
struct Message {
    is_text: bool,
    bytes: Vec<u8>,
    /// How many of the bytes of a text have been checked: all but those of a character that is cut.
    checked: usize,
    /// Frames that are complete.
    fragments: u32,
}

impl Decoder {
    /// Takes bytes from the front of `input` until there is an event, and unmasks them in place.
    /// Call it until it returns `None`: then all of `input` has been taken, and more is needed.
    ///
    /// Work: linear in the bytes taken, whatever the lengths of frames and of cuts.
    ///
    /// # Errors
    /// The peer's fault, as soon as the byte that proves it has arrived.
    pub fn decode<'i>(
        &mut self,
        input: &mut &'i mut [u8],
        limits: &Limits,
    ) -> Result<Option<Event<'i>>, FrameError> {
        while !input.is_empty() {
            let frame = match self.held.as_mut().and_then(|held| held.arriving.take()) {
                Some(frame) => frame,
                None => {
                    let Some(header) = self.read_header(input)? else { break };
                    self.check_limits(&header, limits)?;
                    if self.is_whole(&header, input) {
                        self.release();
                        return whole_frame(&header, input).map(Some);
                    }
                    header
                }
            };
            if let Some(event) = self.held.get_or_insert_default().take_payload(frame, input)? {
                self.release();
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Bytes of memory that it owns.
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| {
            let message = held.message.as_ref().map_or(0, |message| message.bytes.capacity());
            size_of::<Held>() + held.control.capacity() + message
        })
    }

    fn message(&self) -> Option<&Message> {
        self.held.as_ref().and_then(|held| held.message.as_ref())
    }

    /// Takes a header; `None` where it is not complete, and then all of `input` is taken.
    fn read_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Header>, FrameError> {
        let in_message = self.message().is_some();
        if self.held.as_ref().is_none_or(|held| held.header_len == 0)
            && let Some((header, len)) = Header::read(input, in_message)?
        {
            take(input, len);
            return Ok(Some(header));
        }
        let held = self.held.get_or_insert_default();
        let had = held.header_len;
        let more = input.len().min(HEADER_BYTES_MAX - had);
        held.header[had..had + more].copy_from_slice(&input[..more]);
        let read = Header::read(&held.header[..had + more], in_message)?;
        held.header_len = if read.is_some() { 0 } else { had + more };
        take(input, read.map_or(more, |(_, len)| len - had));
        Ok(read.map(|(header, _)| header))
    }

    /// Checks the message by what the header declares, before any of the payload is taken.
    fn check_limits(&self, header: &Header, limits: &Limits) -> Result<(), FrameError> {
        if matches!(header.opcode, OpCode::Control(_)) {
            return Ok(());
        }
        let held = self.message().map(|message| (message.bytes.len() as u64, message.fragments));
        let (bytes, fragments) = held.unwrap_or_default();
        // Both are below 2^63, so the sum cannot overflow.
        let bytes = bytes + header.len;
        if bytes > u64::from(limits.message_bytes_max) {
            return Err(FrameError::MessageTooBig { bytes, limit: limits.message_bytes_max });
        }
        if fragments >= limits.fragments_max {
            return Err(FrameError::TooManyFragments { limit: limits.fragments_max });
        }
        Ok(())
    }

    /// Whether the input alone has the whole message, so that nothing needs to be copied.
    fn is_whole(&self, header: &Header, input: &[u8]) -> bool {
        let unfragmented = match header.opcode {
            OpCode::Control(_) => true,
            OpCode::Data(_) => header.fin && self.message().is_none(),
        };
        unfragmented && header.len <= input.len() as u64
    }

    /// Gives the memory back once nothing is held.
    fn release(&mut self) {
        // An event is complete, so no part of a header or of a payload is held.
        if self.held.as_ref().is_some_and(|held| held.message.is_none()) {
            self.held = None;
        }
    }
}

impl Held {
    /// Takes what `input` has of a frame's payload; the event, if that was the rest of it.
    fn take_payload(
        &mut self,
        mut frame: Header,
        input: &mut &mut [u8],
    ) -> Result<Option<Event<'static>>, FrameError> {
        let payload = take(input, usize::try_from(frame.len).unwrap_or(usize::MAX));
        frame.mask = unmask(payload, frame.mask);
        frame.len -= payload.len() as u64;
        match frame.opcode {
            OpCode::Control(_) => self.control.extend_from_slice(payload),
            OpCode::Data(kind) => {
                let message = self.message.get_or_insert_with(|| Message::new(kind));
                message.push(payload, frame.len)?;
                message.fragments += u32::from(frame.len == 0);
            }
        }
        if frame.len > 0 {
            self.arriving = Some(frame);
            return Ok(None);
        }
        match frame.opcode {
            control @ OpCode::Control(_) => {
                control_event(control, Cow::Owned(mem::take(&mut self.control))).map(Some)
            }
            OpCode::Data(_) if frame.fin => self.message.take().map(Message::finish).transpose(),
            OpCode::Data(_) => Ok(None),
        }
    }
}

impl Message {
    /// A message whose first frame is of this kind.
    fn new(kind: Data) -> Self {
        Self { is_text: kind == Data::Text, ..Self::default() }
    }

    /// Appends a piece of a frame of which `left` bytes are still to come.
    fn push(&mut self, piece: &[u8], left: u64) -> Result<(), FrameError> {
        if self.bytes.capacity() - self.bytes.len() < piece.len() {
            let most = FORESEEN_BYTES_MIN.max(self.bytes.len() + piece.len());
            let ahead = usize::try_from(left).map_or(most, |left| left.min(most));
            self.bytes.reserve(piece.len() + ahead);
        }
        self.bytes.extend_from_slice(piece);
        if self.is_text {
            self.checked += checked_len(&self.bytes[self.checked..])?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Event<'static>, FrameError> {
        if !self.is_text {
            return Ok(Event::Binary(Cow::Owned(self.bytes)));
        }
        // Only a character that the end of the message has cut can still fail here.
        let text = String::from_utf8(self.bytes).map_err(|_| FrameError::InvalidUtf8)?;
        Ok(Event::Text(Cow::Owned(text)))
    }
}

fn whole_frame<'i>(header: &Header, input: &mut &'i mut [u8]) -> Result<Event<'i>, FrameError> {
    let payload = take(input, usize::try_from(header.len).unwrap_or(usize::MAX));
    unmask(payload, header.mask);
    match header.opcode {
        OpCode::Data(Data::Text) => check(payload).map(|text| Event::Text(Cow::Borrowed(text))),
        OpCode::Data(_) => Ok(Event::Binary(Cow::Borrowed(payload))),
        control @ OpCode::Control(_) => control_event(control, Cow::Borrowed(payload)),
    }
}

fn control_event(opcode: OpCode, payload: Cow<'_, [u8]>) -> Result<Event<'_>, FrameError> {
    match opcode {
        OpCode::Control(Control::Ping) => Ok(Event::Ping(payload)),
        OpCode::Control(Control::Pong) => Ok(Event::Pong(payload)),
        // Headers with other opcodes were refused.
        _ => close_code(&payload).map(Event::Close),
    }
}

/// The code in the body of a Close frame (section 5.5.1). 1014 is forbidden: gateways send it,
/// never clients.
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, FrameError> {
    let Some((raw, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(FrameError::CutCloseCode) };
    };
    let code = CloseCode::from(u16::from_be_bytes(*raw));
    if !code.is_allowed() {
        return Err(FrameError::ForbiddenCloseCode(code.into()));
    }
    check(reason).map(|_| Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
        bytes.extend_from_slice(&KEY);
        let mut payload = payload.to_vec();
        unmask(&mut payload, KEY);
        bytes.extend(payload);
        bytes
    }

    /// All events of `bytes`, handed in as pieces of at most `piece` bytes, and the decoder.
    fn decode(bytes: &[u8], piece: usize) -> (Vec<Event<'static>>, Result<Decoder, FrameError>) {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for part in bytes.chunks(piece) {
            let mut part = part.to_vec();
            let mut input = &mut part[..];
            loop {
                match decoder.decode(&mut input, &Limits::default()) {
                    Ok(Some(event)) => events.push(owned(event)),
                    Ok(None) => break,
                    Err(error) => return (events, Err(error)),
                }
            }
            assert!(input.is_empty(), "None means that all was taken");
        }
        (events, Ok(decoder))
    }

    fn owned(event: Event<'_>) -> Event<'static> {
        match event {
            Event::Text(text) => Event::Text(Cow::Owned(text.into_owned())),
            Event::Binary(bytes) => Event::Binary(Cow::Owned(bytes.into_owned())),
            Event::Ping(bytes) => Event::Ping(Cow::Owned(bytes.into_owned())),
            Event::Pong(bytes) => Event::Pong(Cow::Owned(bytes.into_owned())),
            Event::Close(code) => Event::Close(code),
        }
    }

    #[test]
    fn fragments_with_a_ping_between_them() {
        let bytes =
            [masked(0x01, "Grüß".as_bytes()), masked(0x89, b"?"), masked(0x80, b"e")].concat();
        for piece in 1..=bytes.len() {
            let (events, decoder) = decode(&bytes, piece);
            assert_eq!(
                events,
                [Event::Ping(b"?"[..].into()), Event::Text("Grüße".into())],
                "pieces of {piece}"
            );
            assert!(decoder.unwrap().held.is_none(), "nothing is held after the last message");
        }
    }

    #[test]
    fn a_whole_frame_is_borrowed_from_the_input() {
        let mut bytes = masked(0x81, b"hello");
        let mut input = &mut bytes[..];
        let event = Decoder::default().decode(&mut input, &Limits::default());
        assert!(matches!(event, Ok(Some(Event::Text(Cow::Borrowed("hello"))))), "{event:?}");
    }

    #[test]
    fn a_character_may_be_cut_by_fragments_and_not_by_the_end() {
        let cut = [masked(0x01, b"\xf0\x9f"), masked(0x80, b"\x98\x80")].concat();
        assert_eq!(decode(&cut, cut.len()).0, [Event::Text("😀".into())]);
        let lost = [masked(0x01, b"ok"), masked(0x80, b"\xf0\x9f")].concat();
        assert_eq!(decode(&lost, 1).1.unwrap_err(), FrameError::InvalidUtf8);
    }

    #[test]
    fn bad_text_fails_at_the_first_bad_byte() {
        // A surrogate: 0xed may be followed by 0x80 to 0x9f only (Unicode, table 3-7).
        let bytes = masked(0x81, b"a\xed\xa0\x80 and much more");
        let bad = 6 + b"a\xed\xa0".len();
        assert!(decode(&bytes[..bad - 1], 1).1.is_ok());
        assert_eq!(decode(&bytes[..bad], 1).1.unwrap_err(), FrameError::InvalidUtf8);
    }

    #[test]
    fn a_declared_length_alone_costs_nothing() {
        let limits = Limits { message_bytes_max: u32::MAX, ..Limits::default() };
        let mut bytes = [0x82, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5];
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&mut &mut bytes[..], &limits), Ok(None));
        let message = decoder.held.unwrap().message.unwrap();
        assert!(message.bytes.capacity() <= 1 + FORESEEN_BYTES_MIN, "one byte has arrived");
    }

    #[test]
    fn too_big_is_told_from_the_header() {
        let limit = Limits::default().message_bytes_max;
        let mut bytes = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(
            Decoder::default().decode(&mut &mut bytes[..], &Limits::default()),
            Err(FrameError::MessageTooBig { bytes: i64::MAX as u64, limit })
        );
    }

    #[test]
    fn close_bodies() {
        assert_eq!(decode(&masked(0x88, b""), 1).0, [Event::Close(None)]);
        assert_eq!(
            decode(&masked(0x88, b"\x03\xe8bye"), 1).0,
            [Event::Close(Some(CloseCode::Normal))]
        );
        assert_eq!(decode(&masked(0x88, b"\x03"), 9).1.unwrap_err(), FrameError::CutCloseCode);
        let forbidden = FrameError::ForbiddenCloseCode(1005);
        assert_eq!(decode(&masked(0x88, b"\x03\xed"), 9).1.unwrap_err(), forbidden);
        assert_eq!(
            decode(&masked(0x88, b"\x03\xe8\xff"), 9).1.unwrap_err(),
            FrameError::InvalidUtf8
        );
    }
}
