//! The outbound queue of one peer: what is still to be written to its socket, and when that has
//! become too much.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use crate::limits::Limits;
use crate::wire::frame::{Frame, sent_len};

/// The queue would exceed its limit of frames or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// How a chunk counts, and where it may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An HTTP answer or a single control frame: never cut, not counted.
    Whole,
    /// The same, but a later one takes its place as long as nothing of it has been written.
    Pong,
    /// The replay of a history: frames, but no lag of the reader, so not counted.
    Replay,
    /// Frames that count.
    Live { frames: u32 },
}

/// A part of a shared allocation.
#[derive(Clone, Debug)]
struct Chunk {
    bytes: Rc<[u8]>,
    start: u32,
    end: u32,
    kind: Kind,
}

impl Chunk {
    fn new(bytes: Rc<[u8]>, range: Range<usize>, kind: Kind) -> Self {
        Self { start: narrow(range.start), end: narrow(range.end), bytes, kind }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start as usize..self.end as usize]
    }

    fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Bytes up to the first place where the chunk may be cut.
    fn first_len(&self) -> u32 {
        match self.kind {
            Kind::Whole | Kind::Pong => self.len(),
            Kind::Replay | Kind::Live { .. } => narrow(sent_len(self.as_bytes())),
        }
    }
}

/// No chunk reaches 4 GiB: [`Limits::check`] bounds the longest, which is a replay.
fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The outbound queue of one peer.
///
/// Invariant: at most `queue_frames_max` frames and `queue_bytes_max` bytes are counted, besides
/// one HTTP answer, one replay, control frames that the server itself decided on, and one Pong
/// besides one that is half written.
/// An empty outbox owns no memory.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What is written first. Most peers never have more than this, so it needs no allocation.
    head: Option<Chunk>,
    /// What comes after it.
    #[allow(clippy::box_collection, reason = "24 bytes less for each peer that has none")]
    rest: Option<Box<VecDeque<Chunk>>>,
    /// Bytes of the head's first frame that are written already.
    sent: u32,
    frames: u32,
    bytes: u32,
    finishing: bool,
}

impl Outbox {
    /// Queues an HTTP answer or a control frame, which count nothing.
    pub fn push_whole(&mut self, bytes: Rc<[u8]>) {
        let range = 0..bytes.len();
        self.push_chunk(Chunk::new(bytes, range, Kind::Whole));
    }

    /// Queues the replay of a history, which counts nothing.
    pub fn push_replay(&mut self, bytes: Rc<[u8]>) {
        let range = 0..bytes.len();
        self.push_chunk(Chunk::new(bytes, range, Kind::Replay));
    }

    /// Queues a part of `bytes` that consists of `frames` frames.
    ///
    /// # Errors
    /// [`Full`], and nothing is queued, where a limit would be exceeded.
    pub fn push(
        &mut self,
        bytes: &Rc<[u8]>,
        range: Range<usize>,
        frames: u32,
        limits: &Limits,
    ) -> Result<(), Full> {
        if range.is_empty() || self.finishing {
            return Ok(());
        }
        let (all_frames, all_bytes) = (self.frames + frames, self.bytes + narrow(range.len()));
        if all_frames > limits.queue_frames_max || all_bytes > limits.queue_bytes_max {
            return Err(Full);
        }
        (self.frames, self.bytes) = (all_frames, all_bytes);
        self.push_chunk(Chunk::new(Rc::clone(bytes), range, Kind::Live { frames }));
        Ok(())
    }

    /// Queues the Pong, in place of one that waits: only the latest need be sent (RFC 6455,
    /// section 5.5.3). It goes ahead of what is queued, but behind a frame that is half written,
    /// and behind what counts nothing: the handshake's answer, a Ping.
    pub fn set_pong(&mut self, pong: Frame) {
        if self.finishing {
            return;
        }
        let bytes = pong.into_bytes();
        let pong = Chunk::new(Rc::clone(&bytes), 0..bytes.len(), Kind::Pong);
        match (self.waiting_pong(), &mut self.rest) {
            (Some(0), _) => self.head = Some(pong),
            (Some(place), Some(rest)) => rest[place - 1] = pong,
            _ => self.insert_pong(pong),
        }
    }

    /// Whether a Pong waits that the next [`Outbox::set_pong`] would replace.
    pub fn has_pong(&self) -> bool {
        self.waiting_pong().is_some()
    }

    /// Queues the last bytes, if any; whatever is pushed after them is dropped.
    pub fn finish(&mut self, close: Option<Frame>) {
        if self.finishing {
            return;
        }
        if let Some(close) = close {
            self.push_whole(close.into_bytes());
        }
        self.finishing = true;
    }

    /// Gives up on a reader that lags too far: the frame that is half written is completed, all
    /// others are dropped, and `close` is the last. How many frames that counted are dropped.
    pub fn overflow(&mut self, close: Frame) -> u32 {
        let is_half_written =
            matches!(&self.head, Some(Chunk { kind: Kind::Live { .. }, .. }) if self.sent > 0);
        let dropped = self.frames - u32::from(is_half_written);
        self.rest = None;
        (self.frames, self.bytes) = (0, 0);
        self.head = self.head.take().filter(|head| self.sent > 0 || head.kind == Kind::Whole);
        if let Some(head) = &mut self.head {
            head.end = head.start + head.first_len();
            head.kind = Kind::Whole;
        }
        self.finishing = false;
        self.finish(Some(close));
        dropped
    }

    /// The bytes to write next, as many slices of them as fit; how many there are.
    ///
    /// Stays the same until [`Outbox::handle_sent`].
    pub fn transmit<'o>(&'o self, slices: &mut [IoSlice<'o>]) -> usize {
        let Some((first, others)) = slices.split_first_mut() else { return 0 };
        let Some(head) = &self.head else { return 0 };
        *first = IoSlice::new(&head.as_bytes()[self.sent as usize..]);
        let mut count = 1;
        for (slice, chunk) in others.iter_mut().zip(self.rest()) {
            *slice = IoSlice::new(chunk.as_bytes());
            count += 1;
        }
        count
    }

    /// `len` more bytes are written; how many frames that count were completed by them.
    ///
    /// Work: constant for each chunk that is done with, and linear in the frames of one that is
    /// written in part.
    pub fn handle_sent(&mut self, len: usize) -> u32 {
        let before = self.frames;
        self.sent += narrow(len);
        while let Some(head) = &mut self.head {
            if self.sent >= head.len() {
                self.sent -= head.len();
                self.pop();
                continue;
            }
            let first = head.first_len();
            if self.sent < first {
                break;
            }
            self.sent -= first;
            head.start += first;
            if let Kind::Live { frames } = &mut head.kind {
                *frames -= 1;
                self.frames -= 1;
                self.bytes -= first;
            }
        }
        debug_assert!(self.head.is_some() || self.sent == 0, "no more is sent than was queued");
        before - self.frames
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Whether the last has been queued, and nothing more will be.
    pub fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Whether everything is written that ever will be.
    pub fn is_finished(&self) -> bool {
        self.finishing && self.is_empty()
    }

    /// Frames that count.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes that count.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Panics where the counts differ from what is queued.
    pub fn check_invariants(&self, limits: &Limits) {
        let (mut frames, mut bytes) = (0, 0);
        for chunk in self.head.iter().chain(self.rest()) {
            if let Kind::Live { frames: counted } = chunk.kind {
                frames += counted;
                bytes += chunk.len();
            }
        }
        assert_eq!((self.frames, self.bytes), (frames, bytes), "the counts are those of the queue");
        assert!(self.frames <= limits.queue_frames_max && self.bytes <= limits.queue_bytes_max);
        assert!(self.head.is_some() || (self.rest.is_none() && self.sent == 0));
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        if self.finishing {
            return;
        }
        match self.head {
            None => self.head = Some(chunk),
            Some(_) => self.rest.get_or_insert_default().push_back(chunk),
        }
    }

    fn pop(&mut self) {
        if let Some(Chunk { kind: Kind::Live { frames }, start, end, .. }) = self.head {
            self.frames -= frames;
            self.bytes -= end - start;
        }
        self.head = self.rest.as_mut().and_then(|rest| rest.pop_front());
        if self.head.is_none() {
            self.rest = None;
        }
    }

    /// Where the Pong is that nothing has been written of, if there is one: 0 is the head, and
    /// from 1 on it is in the rest.
    fn waiting_pong(&self) -> Option<usize> {
        let begun = usize::from(self.sent > 0);
        let mut chunks = self.head.iter().chain(self.rest()).enumerate().skip(begun);
        // Nothing is ahead of it but what counts nothing.
        let (place, chunk) = chunks.find(|(_, chunk)| chunk.kind != Kind::Whole)?;
        (chunk.kind == Kind::Pong).then_some(place)
    }

    fn insert_pong(&mut self, pong: Chunk) {
        let Some(head) = self.head.take() else {
            self.head = Some(pong);
            return;
        };
        let rest = self.rest.get_or_insert_default();
        if self.sent == 0 && head.kind != Kind::Whole {
            rest.push_front(head);
            self.head = Some(pong);
            return;
        }
        let (first, others) = split_first(head);
        if let Some(others) = others {
            rest.push_front(others);
        }
        let ahead = rest.iter().take_while(|chunk| chunk.kind == Kind::Whole).count();
        rest.insert(ahead, pong);
        self.head = Some(first);
    }

    fn rest(&self) -> impl Iterator<Item = &Chunk> {
        self.rest.iter().flat_map(|rest| rest.iter())
    }
}

/// A chunk as its first frame and the others.
fn split_first(mut chunk: Chunk) -> (Chunk, Option<Chunk>) {
    let cut = chunk.start + chunk.first_len();
    if cut == chunk.end {
        return (chunk, None);
    }
    let mut rest = Chunk { start: cut, ..chunk.clone() };
    chunk.end = cut;
    if let (Kind::Live { frames: first }, Kind::Live { frames: others }) =
        (&mut chunk.kind, &mut rest.kind)
    {
        *first = 1;
        *others -= 1;
    }
    (chunk, Some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{CloseCode, Data, OpCode};

    const LIMITS: fn() -> Limits =
        || Limits { queue_frames_max: 4, queue_bytes_max: 4096, ..Limits::default() };

    /// `count` text frames of one character each, from `first` on; three bytes a frame.
    fn batch(first: u8, count: u8) -> Rc<[u8]> {
        let frames =
            (first..first + count).map(|char| Frame::new(OpCode::Data(Data::Text), &[char]));
        frames.flat_map(|frame| frame.to_vec()).collect()
    }

    fn push(outbox: &mut Outbox, bytes: &Rc<[u8]>) -> Result<(), Full> {
        let frames = narrow(bytes.len() / 3);
        let pushed = outbox.push(bytes, 0..bytes.len(), frames, &LIMITS());
        outbox.check_invariants(&LIMITS());
        pushed
    }

    /// Writes at most `len` bytes and returns them.
    fn write(outbox: &mut Outbox, len: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = outbox.transmit(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        let written = all[..len.min(all.len())].to_vec();
        outbox.handle_sent(written.len());
        outbox.check_invariants(&LIMITS());
        written
    }

    #[test]
    fn any_cut_of_the_writes_gives_the_same_stream() {
        for piece in 1..=20 {
            let mut outbox = Outbox::default();
            outbox.push_whole(b"HTTP"[..].into());
            outbox.push_replay(batch(b'a', 2));
            push(&mut outbox, &batch(b'c', 3)).unwrap();
            push(&mut outbox, &batch(b'f', 1)).unwrap();
            let mut stream = Vec::new();
            while !outbox.is_empty() {
                stream.extend(write(&mut outbox, piece));
            }
            assert_eq!(stream, [b"HTTP", &*batch(b'a', 6)].concat(), "pieces of {piece}");
        }
    }

    #[test]
    fn frames_that_are_written_make_room() {
        let mut outbox = Outbox::default();
        push(&mut outbox, &batch(b'a', 4)).unwrap();
        assert_eq!(push(&mut outbox, &batch(b'e', 1)), Err(Full));
        write(&mut outbox, 2);
        assert_eq!(push(&mut outbox, &batch(b'e', 1)), Err(Full), "half a frame is a frame");
        write(&mut outbox, 1);
        assert_eq!(push(&mut outbox, &batch(b'e', 1)), Ok(()));
    }

    #[test]
    fn bytes_are_limited_as_well() {
        let limits = Limits { queue_bytes_max: 6, ..LIMITS() };
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(&batch(b'a', 3), 0..9, 3, &limits), Err(Full));
        assert_eq!(outbox.push(&batch(b'a', 2), 0..6, 2, &limits), Ok(()));
    }

    #[test]
    fn a_replay_counts_nothing() {
        let mut outbox = Outbox::default();
        outbox.push_replay(batch(b'A', 26));
        assert_eq!(push(&mut outbox, &batch(b'a', 4)), Ok(()));
    }

    #[test]
    fn an_overflow_completes_the_half_written_frame() {
        let close = Frame::close(CloseCode::Again, "");
        for written in 0..12 {
            let mut outbox = Outbox::default();
            push(&mut outbox, &batch(b'a', 4)).unwrap();
            let before = write(&mut outbox, written);
            outbox.overflow(close.clone());
            let after = write(&mut outbox, usize::MAX);
            let whole_frames = written.div_ceil(3) * 3;
            let expected = [&batch(b'a', 4)[..whole_frames], &close].concat();
            assert_eq!([before, after].concat(), expected, "{written} bytes were written");
            assert!(outbox.is_finished());
        }
    }

    #[test]
    fn an_overflow_keeps_an_answer_that_is_still_to_be_written() {
        let mut outbox = Outbox::default();
        outbox.push_whole(b"HTTP"[..].into());
        push(&mut outbox, &batch(b'a', 4)).unwrap();
        outbox.overflow(Frame::close_without_code());
        assert_eq!(write(&mut outbox, usize::MAX), b"HTTP\x88\x00");
    }

    #[test]
    fn only_the_latest_pong_is_sent_and_never_inside_of_a_frame() {
        for written in 0..=6 {
            let mut outbox = Outbox::default();
            push(&mut outbox, &batch(b'a', 2)).unwrap();
            let before = write(&mut outbox, written);
            outbox.set_pong(Frame::pong(b"1"));
            outbox.set_pong(Frame::pong(b"2"));
            let stream = [before, write(&mut outbox, usize::MAX)].concat();
            let at = written.div_ceil(3) * 3;
            let expected = [&batch(b'a', 2)[..at], b"\x8a\x012", &batch(b'a', 2)[at..]].concat();
            assert_eq!(stream, expected, "{written} bytes were written");
        }
    }

    #[test]
    fn nothing_follows_the_close() {
        let mut outbox = Outbox::default();
        outbox.finish(Some(Frame::close_without_code()));
        outbox.set_pong(Frame::pong(b""));
        outbox.push_whole(b"late"[..].into());
        push(&mut outbox, &batch(b'a', 1)).unwrap();
        outbox.finish(Some(Frame::close_without_code()));
        assert!(!outbox.is_finished());
        assert_eq!(write(&mut outbox, usize::MAX), b"\x88\x00");
        assert!(outbox.is_finished());
    }
}
