//! A log of frames, trimmed from the front. It knows no readers.

use std::collections::VecDeque;

/// Where a frame ends, and what had been counted up to there.
#[derive(Clone, Copy, Debug)]
struct Mark {
    end: u64,
    counted: Counted,
}

/// Frames and bytes that count against a reader's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Frames; those that are optional are not counted.
    pub frames: u64,
    /// Bytes of all frames.
    pub bytes: u64,
}

impl Counted {
    /// What has been added since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { frames: self.frames - earlier.frames, bytes: self.bytes - earlier.bytes }
    }

    /// Whether it reaches one part in `parts` of `queue`, in frames or in bytes.
    pub(super) fn reaches(self, queue: Self, parts: u64) -> bool {
        self.frames * parts >= queue.frames || self.bytes * parts >= queue.bytes
    }

    /// Whether it is more than `queue`, in frames or in bytes.
    pub(super) fn exceeds(self, queue: Self) -> bool {
        self.frames > queue.frames || self.bytes > queue.bytes
    }
}

/// Frames one after the other. A position is the number of bytes appended before it, so it stays
/// valid when the front is trimmed.
///
/// Invariant: it begins and ends between two frames. An empty log that was released owns no memory.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The position of the first byte.
    start: u64,
    /// What had been counted before it.
    before: Counted,
    /// What has been counted in all.
    counted: Counted,
    bytes: Vec<u8>,
    marks: VecDeque<Mark>,
}

/// Bytes of capacity that a log keeps between two passes of a busy channel.
const CAPACITY_KEPT: usize = 16 * 1024;

impl Log {
    /// The position of the first byte.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The position after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Bytes that it holds.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that it owns.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.marks.capacity() * size_of::<Mark>()
    }

    /// What has been counted since it began.
    pub(super) fn counted(&self) -> Counted {
        self.counted
    }

    /// Appends one whole frame; one that is optional counts as bytes only.
    pub(super) fn append(&mut self, frame: &[u8], is_optional: bool) {
        self.bytes.extend_from_slice(frame);
        self.counted.frames += u64::from(!is_optional);
        self.counted.bytes += frame.len() as u64;
        self.marks.push_back(Mark { end: self.end(), counted: self.counted });
    }

    /// The bytes between two positions: none where they are the same, even if that one is trimmed.
    pub(super) fn slice(&self, from: u64, to: u64) -> &[u8] {
        if from == to {
            return &[];
        }
        &self.bytes[offset(self.start, from)..offset(self.start, to)]
    }

    /// What ends between two positions: a frame that is cut at `from` counts, one that is cut at
    /// `to` does not. Work: logarithmic in the frames.
    pub(super) fn counted_between(&self, from: u64, to: u64) -> Counted {
        let until = |position| {
            let whole = self.marks.partition_point(|mark| mark.end <= position);
            whole.checked_sub(1).map_or(self.before, |last| self.marks[last].counted)
        };
        until(to).since(until(from))
    }

    /// The end of the frame that `position` cuts; `position` itself where it cuts none.
    pub(super) fn boundary(&self, position: u64) -> u64 {
        let ended = self.marks.partition_point(|mark| mark.end < position);
        if position == self.start { position } else { self.marks[ended].end }
    }

    /// Forgets frames that end at or before `position`, though maybe not all of them yet.
    ///
    /// Work: constant for each byte, over time, for nothing is moved unless half of the log goes.
    pub(super) fn trim(&mut self, position: u64) {
        if position == self.end() {
            (self.before, self.start) = (self.counted, position);
            self.bytes.clear();
            self.bytes.shrink_to(CAPACITY_KEPT);
            self.marks.clear();
            self.marks.shrink_to(CAPACITY_KEPT / size_of::<Mark>());
        } else if position - self.start > self.bytes.len() as u64 / 2 {
            let whole = self.marks.partition_point(|mark| mark.end <= position);
            let Some(last) = whole.checked_sub(1).map(|last| self.marks[last]) else { return };
            self.bytes.drain(..offset(self.start, last.end));
            self.marks.drain(..whole);
            self.bytes.shrink_to(2 * self.bytes.len() + CAPACITY_KEPT);
            self.marks.shrink_to(2 * self.marks.len() + CAPACITY_KEPT / size_of::<Mark>());
            (self.before, self.start) = (last.counted, last.end);
        }
    }

    /// Gives back the memory that it does not need for what it holds.
    pub(super) fn release(&mut self) {
        self.bytes.shrink_to_fit();
        self.marks.shrink_to_fit();
    }
}

/// How far a position is behind `start`. What a log holds is in memory, so it fits.
fn offset(start: u64, position: u64) -> usize {
    usize::try_from(position - start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of frames of these lengths; those of odd length are optional.
    fn log(lens: &[usize]) -> Log {
        let mut log = Log::default();
        lens.iter().for_each(|&len| log.append(&vec![b'x'; len], len % 2 == 1));
        log
    }

    #[test]
    fn what_ends_between_two_positions_counts() {
        let log = log(&[10, 3, 20]);
        let frames = |from, to| log.counted_between(from, to).frames;
        assert_eq!((frames(0, 33), frames(0, 32), frames(9, 33), frames(10, 33)), (2, 1, 2, 1));
        assert_eq!(log.counted_between(0, 33), Counted { frames: 2, bytes: 33 });
    }

    #[test]
    fn a_position_stays_valid_when_the_front_is_trimmed() {
        let mut log = log(&[10, 20, 30, 2]);
        log.trim(29);
        assert_eq!(log.start(), 0, "not yet half of it");
        log.trim(59);
        assert_eq!((log.start(), log.end(), log.len()), (30, 62, 32), "whole frames only");
        assert_eq!(log.counted_between(30, 62), Counted { frames: 2, bytes: 32 });
        assert_eq!((log.boundary(30), log.boundary(31), log.boundary(60)), (30, 60, 60));
        log.trim(62);
        assert!(log.slice(30, 30).is_empty(), "whoever has read up to there may still be asked");
        log.release();
        assert_eq!((log.start(), log.len(), log.bytes.capacity()), (62, 0, 0));
        assert_eq!((log.boundary(62), log.counted().frames), (62, 4));
    }

    #[test]
    fn a_busy_channel_keeps_little_of_what_a_burst_took() {
        let mut log = log(&[10 * CAPACITY_KEPT]);
        log.trim(log.end());
        assert!((1..=CAPACITY_KEPT).contains(&log.bytes.capacity()));
    }

    #[test]
    fn a_queue_is_full_in_frames_or_in_bytes() {
        let queue = Counted { frames: 8, bytes: 100 };
        let counted = |frames, bytes| Counted { frames, bytes };
        assert!(!counted(8, 100).exceeds(queue));
        assert!(counted(9, 0).exceeds(queue) && counted(0, 101).exceeds(queue));
        assert!(counted(4, 0).reaches(queue, 2) && counted(0, 50).reaches(queue, 2));
        assert!(!counted(3, 49).reaches(queue, 2));
    }
}
