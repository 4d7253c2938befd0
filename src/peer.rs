//! Peers, and values that are kept for each of them.

/// Slots in one block of a [`PeerMap`]: a few kilobytes, so that the empty slots of the last block
/// cost nothing among ten thousand peers, and little among ten.
const BLOCK_SLOTS: usize = 64;

/// Which peer: a slot, and which of the peers that have had it.
///
/// Slots are those of the reactor's slab and are reused. The generation tells a peer from the
/// ones before it, so that the id of an earlier one finds nobody.
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
/// Memory comes in blocks. So no value is moved when another peer comes, and no memory is taken
/// for peers that may never come, as by a `Vec` that doubles.
#[derive(Debug)]
pub(crate) struct PeerMap<T> {
    blocks: Vec<Block<T>>,
    len: usize,
}

/// The values of [`BLOCK_SLOTS`] slots in a row, each with its peer's generation.
type Block<T> = Box<[Option<(u32, T)>]>;

impl<T> Default for PeerMap<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<T> PeerMap<T> {
    /// Puts `value` in the peer's slot. What an earlier peer has left there is dropped.
    pub(crate) fn insert(&mut self, id: PeerId, value: T) {
        let (block, slot) = split(id);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, || (0..BLOCK_SLOTS).map(|_| None).collect());
        }
        let before = self.blocks[block][slot].replace((id.generation, value));
        self.len += usize::from(before.is_none());
    }

    /// The value of this very peer.
    pub(crate) fn get(&self, id: PeerId) -> Option<&T> {
        let (block, slot) = split(id);
        let (generation, value) = self.blocks.get(block)?.get(slot)?.as_ref()?;
        (*generation == id.generation).then_some(value)
    }

    /// The value of this very peer, to change.
    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut T> {
        let (block, slot) = split(id);
        let (generation, value) = self.blocks.get_mut(block)?.get_mut(slot)?.as_mut()?;
        (*generation == id.generation).then_some(value)
    }

    /// Takes the value of this very peer out. The memory of empty blocks at the end is given back,
    /// but for the first.
    pub(crate) fn remove(&mut self, id: PeerId) -> Option<T> {
        self.get(id)?;
        let (block, slot) = split(id);
        let (_, value) = self.blocks[block][slot].take()?;
        self.len -= 1;
        while self.blocks.len() > 1
            && self.blocks.last().is_some_and(|block| block.iter().all(Option::is_none))
        {
            self.blocks.pop();
        }
        Some(value)
    }

    /// How many peers have a value here.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All peers and their values, by slot. Work: a look at each slot up to the last that is
    /// taken.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        let slots = (0..).zip(self.blocks.iter().flatten());
        let values = slots.filter_map(|(slot, entry)| {
            let (generation, value) = entry.as_ref()?;
            Some((PeerId::new(slot, *generation), value))
        });
        values.take(self.len)
    }
}

/// In which block a peer's value is, and in which of the block's slots.
fn split(id: PeerId) -> (usize, usize) {
    (id.slot() / BLOCK_SLOTS, id.slot() % BLOCK_SLOTS)
}

/// How much capacity a list of peers gains when it is full with `len`: an eighth instead of
/// doubling, so that ten thousand idle peers do not pay for six thousand that are not there. Any
/// fixed fraction keeps growth amortised; small lists double, then grow by 16.
pub(crate) fn growth(len: usize) -> usize {
    (len / 8).max(16).min(len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_peer_of_the_slot_finds_nobody() {
        let (first, second) = (PeerId::new(3, 1), PeerId::new(3, 2));
        let mut map = PeerMap::default();
        map.insert(first, "first");
        assert_eq!(map.remove(first), Some("first"));
        map.insert(second, "second");
        assert_eq!(map.get(first), None);
        assert_eq!(map.get_mut(first), None);
        assert_eq!(map.remove(first), None);
        assert_eq!(map.get(second), Some(&"second"));
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn memory_comes_in_blocks_and_is_given_back() {
        let ids: Vec<_> = (0..1_000).map(|slot| PeerId::new(slot, slot)).collect();
        let mut map = PeerMap::default();
        for &id in &ids {
            map.insert(id, id);
        }
        assert_eq!(map.blocks.len(), 1_000_usize.div_ceil(BLOCK_SLOTS));
        assert!(map.iter().eq(ids.iter().map(|&id| (id, map.get(id).unwrap()))));
        let (last, others) = ids.split_last().unwrap();
        others.iter().for_each(|&id| assert_eq!(map.remove(id), Some(id)));
        assert_eq!((map.len(), map.get(*last)), (1, Some(last)));
        map.remove(*last);
        assert_eq!((map.len(), map.blocks.len()), (0, 1));
    }
}
