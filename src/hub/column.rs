//! One half of every peer, kept by slot.

use crate::limits::column_growth;

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
}

impl std::fmt::Display for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// A value for each peer, found by its slot in constant time.
#[derive(Debug)]
pub struct Column<T> {
    places: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { places: Vec::new(), len: 0 }
    }
}

impl<T> Column<T> {
    /// Puts `value` in the peer's slot, in place of whatever an earlier peer has left there.
    pub fn insert(&mut self, id: PeerId, value: T) {
        let needed = id.slot() + 1;
        if needed > self.places.capacity() {
            let places = needed + column_growth(needed);
            self.places.reserve_exact(places - self.places.len());
        }
        if needed > self.places.len() {
            self.places.resize_with(needed, || None);
        }
        if self.places[id.slot()].replace((id.generation, value)).is_none() {
            self.len += 1;
        }
    }

    /// The value of this very peer.
    pub fn get(&self, id: PeerId) -> Option<&T> {
        match self.places.get(id.slot()) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value of this very peer, to change.
    pub fn get_mut(&mut self, id: PeerId) -> Option<&mut T> {
        match self.places.get_mut(id.slot()) {
            Some(Some((generation, value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the value of this very peer out. The memory of trailing empty slots is given back.
    pub fn remove(&mut self, id: PeerId) -> Option<T> {
        self.get(id)?;
        let (_, value) = self.places[id.slot()].take()?;
        self.len -= 1;
        while let Some(None) = self.places.last() {
            self.places.pop();
        }
        let len = self.places.len();
        if self.places.capacity() / 2 > len + column_growth(len) {
            self.places.shrink_to(len + column_growth(len));
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

    /// All peers and their values, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &T)> {
        (0..).zip(&self.places).filter_map(|(slot, place)| {
            let (generation, value) = place.as_ref()?;
            Some((PeerId::new(slot, *generation), value))
        })
    }
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
    fn growth_is_modest_and_memory_comes_back() {
        let mut column = Column::default();
        let ids: Vec<_> = (0..10_000).map(|slot| PeerId::new(slot, slot)).collect();
        for &id in &ids {
            column.insert(id, ());
        }
        assert!(column.places.capacity() <= 10_000 * 9 / 8 + 1);
        for &id in ids.iter().rev() {
            column.remove(id);
        }
        assert!(column.is_empty() && column.places.capacity() <= 2);
    }
}
