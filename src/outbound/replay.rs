//! Records of the past, rendered in blocks that all who replay them share.

use std::ops::Range;

/// The records of a range of ids as frames, one after the other.
#[derive(Debug)]
pub struct Block {
    ids: Range<u64>,
    bytes: Vec<u8>,
    /// The id of each record, and where its frame ends.
    marks: Vec<(u64, usize)>,
}

/// Bytes of one mark of a block.
const MARK_BYTES: usize = size_of::<(u64, usize)>();

impl Block {
    /// A block for the records of these ids; some or all of them may not exist.
    pub fn new(ids: Range<u64>) -> Self {
        Self { ids, bytes: Vec::new(), marks: Vec::new() }
    }

    /// Appends the frame of a record, in the order of ids.
    pub fn push(&mut self, id: u64, frame: &[u8]) {
        debug_assert!(self.ids.contains(&id) && self.marks.last().is_none_or(|mark| mark.0 < id));
        self.bytes.extend_from_slice(frame);
        self.marks.push((id, self.bytes.len()));
    }

    /// Where the frame of a mark begins.
    fn start(&self, mark: usize) -> usize {
        mark.checked_sub(1).map_or(0, |before| self.marks[before].1)
    }

    /// What is left of it for a replay that has come to it.
    fn rest(&self, replay: &Replay) -> Range<usize> {
        let next = self.marks.partition_point(|&(id, _)| id < replay.next);
        let beyond = self.marks.partition_point(|&(id, _)| id <= replay.last);
        self.start(next)..self.start(beyond).max(self.start(next))
    }
}

/// How far a reader has got in the records of the past.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    /// The id of the next record, or one before it.
    pub(super) next: u64,
    /// The id of the last record.
    pub(super) last: u64,
}

impl Replay {
    pub(super) fn is_over(&self) -> bool {
        self.next > self.last
    }

    /// Goes on by `len` bytes of a block; the rest of the frame that these have cut, if any.
    pub(super) fn advance<'b>(&mut self, block: &'b Block, len: usize) -> &'b [u8] {
        let position = block.rest(self).start + len;
        let whole = block.marks.partition_point(|&(_, end)| end <= position);
        let is_cut = position > block.start(whole);
        let next = whole + usize::from(is_cut);
        self.next = block.marks.get(next).map_or(block.ids.end, |&(id, _)| id);
        &block.bytes[position..if is_cut { block.marks[whole].1 } else { position }]
    }

    /// Goes on behind a block.
    pub(super) fn skip(&mut self, block: &Block) {
        self.next = block.ids.end;
    }
}

/// The blocks that have been rendered. They can be dropped at any time, and are rendered again
/// when somebody comes to them.
#[derive(Debug, Default)]
pub(super) struct Blocks(Vec<Block>);

impl Blocks {
    /// Keeps a block; in place of the others where these are more than enough for writes of
    /// `bytes` bytes.
    pub(super) fn insert(&mut self, block: Block, bytes: usize) {
        if self.is_full(bytes) {
            self.clear();
        }
        self.0.push(block);
    }

    /// The block in which a replay goes on.
    pub(super) fn at(&self, replay: &Replay) -> Option<&Block> {
        self.0.iter().find(|block| block.ids.contains(&replay.next))
    }

    /// Goes on with a replay by `len` bytes of the first block that has any for it; the rest of
    /// the frame that these have cut, if any.
    pub(super) fn advance(&self, replay: &mut Replay, len: usize) -> &[u8] {
        self.skip_empty(replay);
        let rest = self.at(replay).map_or(&[][..], |block| replay.advance(block, len));
        self.skip_empty(replay);
        rest
    }

    /// The bytes with which a replay goes on in a block.
    pub(super) fn bytes<'b>(block: &'b Block, replay: &Replay) -> &'b [u8] {
        &block.bytes[block.rest(replay)]
    }

    /// Goes on behind blocks that have nothing for a replay: their records do not exist.
    pub(super) fn skip_empty(&self, replay: &mut Replay) {
        while !replay.is_over()
            && let Some(block) = self.at(replay)
            && Self::bytes(block, replay).is_empty()
        {
            replay.skip(block);
        }
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.0.iter().map(|block| block.bytes.len()).sum::<usize>() >= 4 * bytes
    }

    /// The first id for which a block is missing, of the blocks that a replay needs for its next
    /// `bytes` bytes. Only the first of these that has any is ever rendered in place of others: two
    /// that do not fit together would replace each other for ever.
    pub(super) fn missing(&self, replay: &Replay, bytes: usize) -> Option<u64> {
        let (mut at, mut found) = (*replay, 0);
        while !at.is_over() && found < bytes {
            let Some(block) = self.at(&at) else {
                return (found == 0 || !self.is_full(bytes)).then_some(at.next);
            };
            found += block.rest(&at).len();
            at.skip(block);
        }
        None
    }

    /// Bytes of memory that it owns.
    pub(super) fn capacity(&self) -> usize {
        let of = |block: &Block| block.bytes.capacity() + block.marks.capacity() * MARK_BYTES;
        self.0.iter().map(of).sum::<usize>() + self.0.capacity() * size_of::<Block>()
    }

    /// Panics where it holds more than it may. Work: everything; for tests.
    pub(super) fn check_invariants(&self, bytes: usize) {
        let lens = || self.0.iter().map(|block| block.bytes.len());
        let but_one = lens().sum::<usize>() - lens().max().unwrap_or_default();
        assert!(but_one < 4 * bytes, "no more is kept than is enough");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets the block with this id: it has changed.
    pub(super) fn forget(&mut self, id: u64) {
        self.0.retain(|block| !block.ids.contains(&id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records 3, 4 and 7, of three bytes each.
    fn block() -> Block {
        let mut block = Block::new(0..8);
        [3, 4, 7].iter().for_each(|&id| block.push(id, format!("<{id}>").as_bytes()));
        block
    }

    fn replay(next: u64, last: u64) -> Replay {
        Replay { next, last }
    }

    #[test]
    fn a_replay_is_the_records_from_the_next_to_the_last() {
        let block = block();
        for (next, last, bytes) in
            [(0, 9, "<3><4><7>"), (4, 9, "<4><7>"), (5, 7, "<7>"), (0, 4, "<3><4>"), (5, 6, "")]
        {
            assert_eq!(Blocks::bytes(&block, &replay(next, last)), bytes.as_bytes());
        }
    }

    #[test]
    fn any_cut_of_the_writes_gives_the_same_bytes() {
        let block = block();
        for len in 1..9 {
            let (mut replay, mut written) = (replay(1, 7), Vec::new());
            while !Blocks::bytes(&block, &replay).is_empty() {
                let bytes = Blocks::bytes(&block, &replay);
                let part = len.min(bytes.len());
                written.extend_from_slice(&bytes[..part]);
                written.extend_from_slice(replay.advance(&block, part));
            }
            assert_eq!(written, b"<3><4><7>", "{len} at a time");
            assert!(replay.is_over());
        }
    }

    #[test]
    fn a_block_that_has_nothing_more_for_a_replay_is_passed_over() {
        let (mut blocks, mut next) = (Blocks::default(), Block::new(8..16));
        next.push(9, b"<nine>");
        blocks.insert(block(), 1_000);
        blocks.insert(next, 1_000);
        let mut replay = replay(8, 9);
        blocks.0[0].ids.end = 9;
        assert!(Blocks::bytes(&blocks.0[0], &replay).is_empty());
        assert_eq!(blocks.missing(&replay, 6), None);
        assert_eq!(blocks.advance(&mut replay, 2), b"ine>");
        assert!(replay.is_over());
    }

    #[test]
    fn a_frame_that_is_begun_has_a_rest() {
        let (block, mut replay) = (block(), replay(0, 7));
        assert_eq!((replay.advance(&block, 4), replay.next), (&b"4>"[..], 7));
    }

    #[test]
    fn long_blocks_do_not_replace_each_other_for_ever() {
        let (mut blocks, replay) = (Blocks::default(), replay(7, 30));
        let long = |first: u64| {
            let mut block = Block::new(first..first + 8);
            block.push(first + 7, &[b'x'; 100]);
            block
        };
        assert_eq!(blocks.missing(&replay, 20), Some(7));
        blocks.insert(long(0), 20);
        assert_eq!(blocks.missing(&replay, 20), None, "it is written alone");
        let next = Replay { next: 8, ..replay };
        assert_eq!(blocks.missing(&next, 20), Some(8));
        blocks.insert(long(8), 20);
        assert_eq!(blocks.missing(&next, 20), None);
    }

    #[test]
    fn what_is_missing_is_told_by_its_id() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.missing(&replay(2, 20), 100), Some(2));
        blocks.insert(block(), 1_000);
        assert_eq!(blocks.missing(&replay(2, 20), 100), Some(8));
        assert_eq!(blocks.missing(&replay(2, 20), 9), None, "that is enough for now");
        assert_eq!(blocks.missing(&replay(2, 7), 100), None);
        blocks.forget(20);
        assert_eq!(blocks.missing(&replay(2, 7), 100), None, "it is in no block");
        blocks.forget(6);
        assert_eq!((blocks.missing(&replay(2, 7), 100), blocks.is_empty()), (Some(2), true));
    }
}
