//! One half of every peer, kept by slot.

use crate::limits::COLUMN_BLOCK_PLACES;

/// Which peer: a slot, and which of the peers that have had it.
///
/// Slots are those of the reactor's slab and are used again; the generation tells a peer from
/// the ones before it, so that whatever still names an earlier one finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerId {
    slot: u32,
    generation: u32,
}

impl PeerId {
    /// The peer in `slot`, the `generation`th that the server has seen.
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The slot.
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// Which of the peers that the server has seen.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl std::fmt::Display for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// A value for each peer, found by its slot in constant time.
///
/// Its places come in blocks, so nothing is moved when another peer comes, and the peers that are
/// there do not pay for a list that has grown by more than it needs.
#[derive(Debug)]
pub struct Column<T> {
    blocks: Vec<Block<T>>,
    len: usize,
}

/// The values of [`COLUMN_BLOCK_PLACES`] slots in a row, each with its peer's generation.
type Block<T> = Box<[Option<(u32, T)>]>;

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<T> Column<T> {
    /// Puts `value` in the peer's slot, in place of whatever an earlier peer has left there.
    pub fn insert(&mut self, id: PeerId, value: T) {
        let (block, place) = split(id);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, || (0..COLUMN_BLOCK_PLACES).map(|_| None).collect());
        }
        if self.blocks[block][place].replace((id.generation, value)).is_none() {
            self.len += 1;
        }
    }

    /// The value of this very peer.
    pub fn get(&self, id: PeerId) -> Option<&T> {
        let (block, place) = split(id);
        match self.blocks.get(block)?.get(place) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value of this very peer, to change.
    pub fn get_mut(&mut self, id: PeerId) -> Option<&mut T> {
        let (block, place) = split(id);
        match self.blocks.get_mut(block)?.get_mut(place) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the value of this very peer out. The memory of trailing empty blocks is given back.
    pub fn remove(&mut self, id: PeerId) -> Option<T> {
        self.get(id)?;
        let (block, place) = split(id);
        let (_, value) = self.blocks[block][place].take()?;
        self.len -= 1;
        while self.blocks.last().is_some_and(|block| block.iter().all(Option::is_none)) {
            self.blocks.pop();
        }
        Some(value)
    }

    /// How many peers have a value here.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no peer has a value here.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All peers and their values, by slot. Work: a look at each place up to the last that is
    /// taken.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        let places = (0..).zip(self.blocks.iter().flatten());
        let values = places.filter_map(|(slot, place)| {
            let (generation, value) = place.as_ref()?;
            Some((PeerId::new(slot, *generation), value))
        });
        values.take(self.len)
    }
}

/// In which block a peer's value is, and at which place of it.
fn split(id: PeerId) -> (usize, usize) {
    (id.slot() / COLUMN_BLOCK_PLACES, id.slot() % COLUMN_BLOCK_PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_peer_of_the_slot_finds_nobody() {
        let (first, second) = (PeerId::new(3, 1), PeerId::new(3, 2));
        let mut column = Column::default();
        column.insert(first, "first");
        assert_eq!(column.remove(first), Some("first"));
        column.insert(second, "second");
        assert_eq!(column.get(first), None);
        assert_eq!(column.get_mut(first), None);
        assert_eq!(column.remove(first), None);
        assert_eq!(column.get(second), Some(&"second"));
        assert_eq!(column.len(), 1);
    }

    #[test]
    fn a_place_costs_no_other_and_its_memory_comes_back() {
        let ids: Vec<_> = (0..1_000).map(|slot| PeerId::new(slot, slot)).collect();
        let mut column = Column::default();
        for &id in &ids {
            column.insert(id, id);
        }
        assert_eq!(column.blocks.len(), 1_000_usize.div_ceil(COLUMN_BLOCK_PLACES));
        assert!(column.iter().eq(ids.iter().map(|&id| (id, column.get(id).unwrap()))));
        let (last, others) = ids.split_last().unwrap();
        others.iter().for_each(|&id| assert_eq!(column.remove(id), Some(id)));
        assert_eq!((column.len(), column.get(*last)), (1, Some(last)));
        column.remove(*last);
        assert!(column.is_empty() && column.blocks.is_empty());
    }
}
