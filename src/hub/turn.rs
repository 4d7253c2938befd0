//! What a room has to say at the end of this turn.
//!
//! Everything that happens in a room between two flushes is gathered in one piece of memory, of
//! which each member then gets a part without a copy: one entry in its queue and one `writev`,
//! however many messages the turn brought. Frames for one member alone keep their place in
//! between as [`Aside`]s, so that everybody sees what concerns them in the order of events.

use std::ops::Range;
use std::rc::Rc;

use crate::hub::PeerId;
use crate::limits::{Limits, SCRATCH_BYTES_KEPT, TURN_FRAMES_SPARE};
use crate::wire::envelope::{self, Notice};
use crate::wire::frame::{self, Data, Frame, OpCode};

/// A frame for one peer alone, at its place among those for the whole room.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) to: PeerId,
    /// What the peer gets of the turn before it, in bytes from the turn's start.
    pub(super) before: Range<usize>,
    pub(super) frame: Frame,
    /// Whether it is the last that this peer gets.
    pub(super) last: bool,
}

/// A turn that is over and goes out.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) bytes: Rc<[u8]>,
    pub(super) frames: u32,
    pub(super) asides: Vec<Aside>,
}

/// The turn that is under way.
#[derive(Debug, Default)]
pub(super) struct Turn {
    bytes: Vec<u8>,
    frames: u32,
    asides: Vec<Aside>,
    json: Vec<u8>,
}

impl Turn {
    /// Appends a frame for the whole room and returns its bytes.
    pub(super) fn append(&mut self, notice: &Notice<'_>) -> &[u8] {
        self.json.clear();
        envelope::write(notice, &mut self.json);
        let start = self.bytes.len();
        frame::append(OpCode::Data(Data::Text), &self.json, &mut self.bytes);
        self.frames += 1;
        &self.bytes[start..]
    }

    /// Adds a frame for one peer at this place; `from` is where the peer came in, or its aside
    /// before this one. Returns the place.
    pub(super) fn aside(&mut self, to: PeerId, from: usize, frame: Frame, last: bool) -> usize {
        let at = self.bytes.len();
        self.asides.push(Aside { to, before: from..at, frame, last });
        at
    }

    /// Bytes for the whole room so far: the place where somebody who joins now comes in.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has happened yet.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.asides.is_empty()
    }

    /// Whether it must go out before anything else happens: it has to fit into the empty queue
    /// of a reader who keeps up.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        let frames = self.frames as usize + self.asides.len() + TURN_FRAMES_SPARE as usize;
        let bytes = self.bytes.len() + limits.turn_bytes_spare() as usize;
        frames > limits.queue_frames_max as usize || bytes > limits.queue_bytes_max as usize
    }

    /// Ends the turn. The next one begins empty, with as much capacity as an ordinary one needs.
    pub(super) fn seal(&mut self) -> Sealed {
        let sealed = Sealed {
            bytes: Rc::from(&self.bytes[..]),
            frames: std::mem::take(&mut self.frames),
            asides: std::mem::take(&mut self.asides),
        };
        for scratch in [&mut self.bytes, &mut self.json] {
            scratch.clear();
            scratch.shrink_to(SCRATCH_BYTES_KEPT);
        }
        sealed
    }
}
