//! Bytes into the frame handler, in any cut, beside an oracle.

use hallway::limits::Limits;
use hallway::ws::frame::{Control, Data, Decoder, Event, FrameError, OpCode, encode, encode_close};
use testkit::{client, heap};
use tungstenite::protocol::frame::FrameHeader;

use crate::input::{Input, pieces};
use crate::oracle::{self, Received};

/// Longest input that is also handed in byte by byte.
const DRIPPED_BYTES_MAX: usize = 4096;

/// Limits small enough to be met.
const MESSAGE_BYTES_MAX: [u32; 3] = [16, 1_000, 70_000];
const FRAGMENTS_MAX: [u32; 3] = [1_024, 2, 5];

/// How a stream of frames ends, as far as it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Judgement {
    received: Vec<Received>,
    fault: Option<FrameError>,
}

/// Target `frame`. The first byte chooses the limits, the second the cuts; the rest is what a
/// client sends.
pub fn frame(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = usize::from(input.byte());
    let limits = Limits {
        message_bytes_max: MESSAGE_BYTES_MAX[choice % 3],
        fragments_max: FRAGMENTS_MAX[choice / 3 % 3],
        ..Limits::default()
    };
    let cut = input.byte();
    let bytes = input.rest();

    let (whole, _) = judge([bytes], &limits);
    let (cut, judged) = judge(pieces(bytes, cut), &limits);
    assert_eq!(cut, whole, "the cut changes the result");
    let judged = if bytes.len() <= DRIPPED_BYTES_MAX {
        let (dripped, judged) = judge(bytes.chunks(1), &limits);
        assert_eq!(dripped, whole, "the cut changes the result");
        judged
    } else {
        judged
    };
    compare(&bytes[..judged], &whole, &limits);
    if let Some(fault) = whole.fault {
        let reason = fault.to_string();
        let close = encode_close(fault.close_code(), &reason);
        assert!(close.ends_with(reason.as_bytes()), "the reason fits into the Close: {reason}");
    }
    whole.received.iter().for_each(check_encoder);
}

/// Ours, and the bytes that were handed in until there was a verdict.
fn judge<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &Limits) -> (Judgement, usize) {
    let mut decoder = Decoder::default();
    let mut judgement = Judgement { received: Vec::new(), fault: None };
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(piece);
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match decoder.decode(&mut input, limits) {
                Ok(Some(event)) => {
                    judgement.received.push(received(event));
                    if let Some(Received::Close(_)) = judgement.received.last() {
                        return (judgement, all.len() - input.len());
                    }
                }
                Ok(None) => break,
                Err(fault) => {
                    judgement.fault = Some(fault);
                    return (judgement, all.len());
                }
            }
        }
        assert!(input.is_empty(), "None means that all was taken");
    }
    let held = heap::held();
    drop(decoder);
    let is_holding = heap::held() != held;
    assert_eq!(is_holding, !is_between_messages(&all), "memory is held for a reason");
    (judgement, all.len())
}

fn received(event: Event<'_>) -> Received {
    match event {
        Event::Text(text) => Received::Text(text.into_owned()),
        Event::Binary(bytes) => Received::Binary(bytes.into_owned()),
        Event::Ping(bytes) => Received::Ping(bytes.into_owned()),
        Event::Pong(bytes) => Received::Pong(bytes.into_owned()),
        Event::Close(code) => Received::Close(code.map(u16::from)),
    }
}

/// Compares with tungstenite, which judges whole frames only: the frame in which we saw the fault
/// is completed for it. What the two judge differently is listed here one by one.
fn compare(bytes: &[u8], ours: &Judgement, limits: &Limits) {
    let mut completed = bytes.to_vec();
    if ours.fault.is_some() {
        complete_last_frame(&mut completed, limits.message_bytes_max);
    }
    let (received, failed) = oracle::judge(&completed, limits.message_bytes_max);
    let same_until_now = received.starts_with(&ours.received);
    let same = received == ours.received;
    let code = ours.fault.map(|fault| u16::from(fault.close_code()));
    let agreed = match ours.fault {
        // tungstenite takes a length in any form, also in the longer ones where a shorter would
        // do, and judges a control frame by the length that comes out of it.
        Some(FrameError::LongLengthForm) => {
            same_until_now && has_long_form(&completed) && code == Some(1002)
        }
        Some(FrameError::LongControl) => {
            same_until_now && is_long_control(&completed) && code == Some(1002)
        }
        // tungstenite does not count fragments.
        Some(FrameError::TooManyFragments { limit }) => {
            same_until_now && fragments(&completed) > limit && code == Some(1009)
        }
        // tungstenite compares a negative length with its limit only.
        Some(FrameError::NegativeLength) => same && failed == Some(1009) && code == Some(1002),
        // tungstenite reports the frame, with the 1002 that it answers, as if the client had
        // sent that; but it looks at the reason first.
        Some(FrameError::ForbiddenCloseCode(_)) if last_close_reason_is_text(bytes) => {
            let others = received.get(ours.received.len()..);
            same_until_now && others == Some(&[Received::Close(code)]) && code == Some(1002)
        }
        Some(FrameError::ForbiddenCloseCode(_)) => {
            same && failed == Some(1007) && code == Some(1002)
        }
        _ => same && failed == code,
    };
    assert!(agreed, "{bytes:02x?}: ours {ours:?}, the oracle's {received:?} {failed:?}");
}

/// One frame as its header has it, however wrong. Written apart from the server's own reader.
struct Raw {
    start: usize,
    header: usize,
    len: u64,
    key: [u8; 4],
}

/// The frame at `start`, `None` where its header is cut.
fn raw(bytes: &[u8], start: usize) -> Option<Raw> {
    let second = *bytes.get(start.checked_add(1)?)?;
    let (long, masked) = (usize::from(second & 0x7f), second & 0x80 != 0);
    let extended = [2, 8].get(long.wrapping_sub(126)).copied().unwrap_or(0);
    let header = 2 + extended + if masked { 4 } else { 0 };
    let all = bytes.get(start..start + header)?;
    let len = match extended {
        0 => long as u64,
        _ => all[2..2 + extended].iter().fold(0, |len, &byte| len << 8 | u64::from(byte)),
    };
    let key = if masked {
        [all[header - 4], all[header - 3], all[header - 2], all[header - 1]]
    } else {
        [0; 4]
    };
    Some(Raw { start, header, len, key })
}

/// The last frame that has begun, and where the next would begin.
fn last(bytes: &[u8]) -> (Option<Raw>, usize) {
    let (mut before, mut start) = (None, 0);
    while let Some(frame) = raw(bytes, start) {
        let left = (bytes.len() - start - frame.header) as u64;
        if frame.len > left {
            return (Some(frame), start);
        }
        start += frame.header + usize::try_from(frame.len).expect("within the bytes");
        before = Some(frame);
        if start == bytes.len() {
            break;
        }
    }
    (before, start)
}

fn complete_last_frame(bytes: &mut Vec<u8>, message_bytes_max: u32) {
    let (_, start) = last(bytes);
    if start == bytes.len() {
        return;
    }
    if bytes.len() == start + 1 {
        bytes.push(0x80);
    }
    while raw(bytes, start).is_none() {
        bytes.push(0);
    }
    if let Some(frame) = raw(bytes, start)
        && frame.len <= oracle::frame_bytes_max(message_bytes_max).into()
    {
        bytes.resize(start + frame.header + usize::try_from(frame.len).expect("short"), 0);
    }
}

fn last_close_reason_is_text(bytes: &[u8]) -> bool {
    let Some(frame) = last(bytes).0 else { return true };
    let payload = &bytes[frame.start + frame.header..];
    let plain: Vec<u8> =
        payload.iter().enumerate().map(|(at, byte)| byte ^ frame.key[at % 4]).collect();
    plain.get(2..).is_none_or(|reason| std::str::from_utf8(reason).is_ok())
}

/// Whether a shorter form could have told the length of the last frame (section 5.2).
fn has_long_form(bytes: &[u8]) -> bool {
    last(bytes).0.is_some_and(|frame| match frame.header {
        8 => frame.len <= 125,
        14 => frame.len <= 0xffff,
        _ => false,
    })
}

/// Whether the last frame is a control frame with a length of 16 or 64 bits (section 5.5).
fn is_long_control(bytes: &[u8]) -> bool {
    last(bytes).0.is_some_and(|frame| bytes[frame.start] & 0x08 != 0 && frame.header > 6)
}

/// Frames of the message that is under way, the last one included.
fn fragments(bytes: &[u8]) -> u32 {
    let (mut start, mut fragments) = (0, 0);
    while let Some(frame) = raw(bytes, start) {
        let first = bytes[start];
        if first & 0x0f == 0 {
            fragments += 1;
        } else if first & 0x08 == 0 {
            fragments = 1;
        }
        let len = usize::try_from(frame.len).unwrap_or(usize::MAX);
        start = start.saturating_add(frame.header).saturating_add(len);
    }
    fragments
}

/// Whether the bytes of faultless frames end between two messages.
fn is_between_messages(bytes: &[u8]) -> bool {
    let (mut start, mut in_message) = (0, false);
    while let Some(frame) = raw(bytes, start) {
        if frame.len > (bytes.len() - start - frame.header) as u64 {
            return false;
        }
        let first = bytes[start];
        if first & 0x08 == 0 {
            in_message = first & 0x80 == 0;
        }
        start += frame.header + usize::try_from(frame.len).expect("within the bytes");
    }
    start == bytes.len() && !in_message
}

/// The other direction: what we write, tungstenite reads.
fn check_encoder(received: &Received) {
    let (opcode, payload) = match received {
        Received::Text(text) => (OpCode::Data(Data::Text), text.as_bytes()),
        Received::Binary(bytes) => (OpCode::Data(Data::Binary), &bytes[..]),
        Received::Ping(bytes) => (OpCode::Control(Control::Ping), &bytes[..]),
        Received::Pong(bytes) => (OpCode::Control(Control::Pong), &bytes[..]),
        Received::Close(_) => return,
    };
    let frame = encode(opcode, payload);
    let (read, len) = client::first_frame(&frame).expect("all of it");
    assert_eq!((read.opcode, &read.payload[..], len), (frame[0] & 0x0f, payload, frame.len()));
    let mut cursor = std::io::Cursor::new(&frame[..]);
    let (header, len) = FrameHeader::parse(&mut cursor).expect("a header").expect("all of it");
    let start = usize::try_from(cursor.position()).expect("short");
    assert!(header.is_final && header.opcode == opcode && header.mask.is_none());
    assert_eq!((len, &frame[start..]), (payload.len() as u64, payload));
}
