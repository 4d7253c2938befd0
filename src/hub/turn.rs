//! What a room has to say at the end of this turn.
//!
//! Everything that happens in a room between two flushes is gathered in one piece of memory a
//! dialect, of which each member then gets a part without a copy: one entry in its queue and one
//! `writev`, however many messages the turn brought. Frames for one member alone keep their place
//! in between as [`Aside`]s, so that everybody sees what concerns them in the order of events.

use std::ops::Range;
use std::rc::Rc;

use crate::hub::PeerId;
use crate::limits::{Limits, SCRATCH_BYTES_KEPT, TURN_FRAMES_SPARE};
use crate::wire::envelope::{self, Dialect, Notice};
use crate::wire::frame::{self, Data, Frame, OpCode};

/// A frame for one peer alone, at its place among those for the whole room.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) to: PeerId,
    pub(super) dialect: Dialect,
    /// What the peer gets of the turn before it, in bytes from the turn's start.
    pub(super) before: Range<usize>,
    pub(super) frame: Frame,
    /// Whether it is the last that this peer gets.
    pub(super) last: bool,
}

/// What a turn has for the speakers of one dialect.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Rc<[u8]>,
    pub(super) frames: u32,
    /// Whether nothing in it would be missed: a reader who lags does without.
    pub(super) is_dispensable: bool,
}

impl Part {
    /// How many frames a range of it is. Work: constant for all of it, else linear in them.
    pub(super) fn frames_of(&self, range: &Range<usize>) -> u32 {
        match range.len() == self.bytes.len() {
            true => self.frames,
            false => count_frames(&self.bytes[range.clone()]),
        }
    }
}

/// How many frames these are.
pub(super) fn count_frames(mut bytes: &[u8]) -> u32 {
    let mut count = 0;
    while !bytes.is_empty() {
        bytes = &bytes[frame::sent_len(bytes)..];
        count += 1;
    }
    count
}

/// A turn that is over and goes out.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) parts: [Part; Dialect::ALL.len()],
    pub(super) asides: Vec<Aside>,
    /// Frames times members that were there to hear them.
    pub(super) expected: u64,
}

/// The turn that is under way.
#[derive(Debug, Default)]
pub(super) struct Turn {
    streams: [Stream; Dialect::ALL.len()],
    asides: Vec<Aside>,
    aside_bytes: usize,
    expected: u64,
    json: Vec<u8>,
    is_pressing: bool,
}

#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    frames: u32,
    has_more_than_typing: bool,
}

impl Turn {
    /// Appends a frame for all who speak a dialect, so many of them, and returns where it is; an
    /// empty range where the dialect has no words for it.
    pub(super) fn append(
        &mut self,
        notice: &Notice<'_>,
        dialect: Dialect,
        speakers: u32,
    ) -> Range<usize> {
        self.json.clear();
        envelope::write(notice, dialect, &mut self.json);
        let stream = &mut self.streams[dialect.index()];
        let start = stream.bytes.len();
        if !self.json.is_empty() {
            frame::append(OpCode::Data(Data::Text), &self.json, &mut stream.bytes);
            stream.frames += 1;
            self.expected += u64::from(speakers);
            stream.has_more_than_typing |= !matches!(notice, Notice::Typing(_));
            self.is_pressing |= matches!(notice, Notice::Said(_));
        }
        start..stream.bytes.len()
    }

    /// The frame that was appended last, with a `ref`.
    pub(super) fn echo(&self, reference: &str) -> Frame {
        let mut json = Vec::with_capacity(self.json.len() + 2 * reference.len());
        envelope::write_with_reference(&self.json, reference, &mut json);
        Frame::new(OpCode::Data(Data::Text), &json)
    }

    /// Adds a frame for one peer after the part `before` of the turn.
    pub(super) fn aside(&mut self, aside: Aside) {
        self.aside_bytes += aside.frame.len();
        self.is_pressing = true;
        self.asides.push(aside);
    }

    /// One more frame is for one member alone.
    pub(super) fn expect_one(&mut self) {
        self.expected += 1;
    }

    /// What all who speak a dialect get so far.
    pub(super) fn bytes(&self, dialect: Dialect) -> &[u8] {
        &self.streams[dialect.index()].bytes
    }

    /// Whether nothing has happened yet.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.iter().all(|stream| stream.bytes.is_empty()) && self.asides.is_empty()
    }

    /// Whether there is more in it than who came and went and who is writing.
    pub(super) fn is_pressing(&self) -> bool {
        self.is_pressing
    }

    /// Whether it must go out before anything else happens: it has to fit into the empty queue
    /// of a reader who keeps up, even if all asides are that reader's.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        let longest = self.streams.iter().map(|stream| stream.bytes.len()).max();
        let bytes = longest.unwrap_or_default() + self.aside_bytes;
        self.frames() + TURN_FRAMES_SPARE as usize > limits.queue_frames_max as usize
            || bytes + limits.turn_bytes_spare() as usize > limits.queue_bytes_max as usize
    }

    /// Whether so much has happened that nobody will miss who is writing.
    pub(super) fn is_busy(&self, limits: &Limits) -> bool {
        self.frames() > limits.queue_frames_max as usize / 2
    }

    fn frames(&self) -> usize {
        let most = self.streams.iter().map(|stream| stream.frames).max().unwrap_or_default();
        most as usize + self.asides.len()
    }

    /// Ends the turn. The next one begins empty, with as much capacity as an ordinary one needs.
    pub(super) fn seal(&mut self) -> Sealed {
        self.json.shrink_to(SCRATCH_BYTES_KEPT);
        (self.aside_bytes, self.is_pressing) = (0, false);
        let parts = self.streams.each_mut().map(Stream::seal);
        let (asides, expected) =
            (std::mem::take(&mut self.asides), std::mem::take(&mut self.expected));
        Sealed { parts, asides, expected }
    }
}

impl Stream {
    fn seal(&mut self) -> Part {
        let part = Part {
            bytes: Rc::from(&self.bytes[..]),
            frames: std::mem::take(&mut self.frames),
            is_dispensable: !std::mem::take(&mut self.has_more_than_typing),
        };
        self.bytes.clear();
        self.bytes.shrink_to(SCRATCH_BYTES_KEPT);
        part
    }
}
