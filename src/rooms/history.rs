//! The last records of a room, for those who come later.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use super::Record;

/// Records in one block of a replay, counted by their ids.
const BLOCK_IDS: u64 = 64;

/// The last records of a room.
///
/// Invariant: ids rise. It owns no memory before the first record.
#[derive(Debug)]
pub struct History {
    records: VecDeque<Record<Box<str>>>,
    records_max: usize,
    last_id: u64,
    /// Records up to this id are kept no more.
    trimmed_to: u64,
    /// Bytes of the texts and names of all records.
    text_bytes: usize,
}

impl History {
    /// An empty history of at most `records_max` records; 0 keeps none. Allocates nothing.
    pub fn new(records_max: usize) -> Self {
        Self { records: VecDeque::new(), records_max, last_id: 0, trimmed_to: 0, text_bytes: 0 }
    }

    /// The id of the next record, where nobody else gives one. Ids count from 1 on.
    pub fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    /// The id of the latest record, kept or not; `None` before the first.
    pub fn last_id(&self) -> Option<u64> {
        (self.last_id > 0).then_some(self.last_id)
    }

    /// Keeps a record, and forgets the oldest where there are too many; but none from
    /// `needed_from` on, which somebody is still to be sent.
    pub fn push(&mut self, record: Record<Box<str>>, needed_from: Option<u64>) {
        debug_assert!(record.id > self.last_id, "ids rise");
        self.last_id = record.id;
        self.text_bytes += bytes(&record);
        self.records.push_back(record);
        self.trim(self.records_max, needed_from);
    }

    /// Forgets the older half of the records, but none from `needed_from` on, and gives back their
    /// memory.
    pub fn forget_half(&mut self, needed_from: Option<u64>) {
        self.trim(self.records.len() / 2, needed_from);
        self.records.shrink_to_fit();
    }

    /// Forgets the oldest records where there are more than `len`.
    fn trim(&mut self, len: usize, needed_from: Option<u64>) {
        while self.records.len() > len
            && let Some(oldest) = self.records.front()
            && needed_from.is_none_or(|needed| oldest.id < needed)
        {
            self.trimmed_to = oldest.id;
            self.text_bytes -= bytes(oldest);
            self.records.pop_front();
        }
    }

    /// Bytes of memory that it owns; names count for each record.
    pub fn held(&self) -> usize {
        self.records.capacity() * size_of::<Record<Box<str>>>() + self.text_bytes
    }

    /// The ids of all that came after message `id`, where all of it is still here. Never for an id
    /// that is still to come.
    pub fn since(&self, id: u64) -> Option<RangeInclusive<u64>> {
        (id <= self.last_id && self.first() <= id + 1).then(|| id + 1..=self.last_id)
    }

    /// The ids of all that a newcomer is sent.
    pub fn all(&self) -> RangeInclusive<u64> {
        self.first()..=self.last_id
    }

    /// The first id of which nothing is missing up to the last; not one that is kept for others
    /// only.
    fn first(&self) -> u64 {
        let surplus = self.records.len().saturating_sub(self.records_max);
        let before = surplus.checked_sub(1).and_then(|last| self.records.get(last));
        before.map_or(self.trimmed_to, |record| record.id) + 1
    }

    /// The ids of the block in which the first record is that is not before `id`.
    ///
    /// Blocks begin at fixed ids, so that those who replay share them. Where ids have a gap it
    /// reaches over that.
    pub fn block_at(&self, id: u64) -> std::ops::Range<u64> {
        let start = id - id % BLOCK_IDS;
        let next = self.from(id).next().map_or(id, |record| record.id);
        start..next - next % BLOCK_IDS + BLOCK_IDS
    }

    /// The records from an id on.
    pub fn from(&self, id: u64) -> impl Iterator<Item = &Record<Box<str>>> {
        let first = self.records.partition_point(|record| record.id < id);
        self.records.range(first..)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }
}

fn bytes(record: &Record<Box<str>>) -> usize {
    record.text.len() + record.author.len()
}
