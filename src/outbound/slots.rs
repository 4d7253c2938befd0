//! Values by slot, with a generation in the key: a key of a value that is gone finds nothing.

use slab::Slab;

/// Which value: a slot, and which of the values that it has held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    slot: u32,
    generation: u32,
}

/// Slots that are kept when nearly all values are gone.
const SLOTS_KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Slots<T> {
    all: Slab<(u32, T)>,
    /// How many there have been.
    generation: u32,
}

impl<T> Slots<T> {
    pub(super) fn insert(&mut self, value: T) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        // Channels are fewer than connections, and those fit.
        let slot = u32::try_from(self.all.insert((generation, value))).unwrap_or(u32::MAX);
        Key { slot, generation }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.get(key).is_some() {
            self.all.remove(key.slot as usize);
            // The first is never removed.
            if self.all.len() == 1 && self.all.capacity() > SLOTS_KEPT {
                self.all.shrink_to_fit();
            }
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = self.all.get(key.slot as usize)?;
        (*generation == key.generation).then_some(value)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.all.get_mut(key.slot as usize)?;
        (*generation == key.generation).then_some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        let key =
            |slot, generation| Key { slot: u32::try_from(slot).unwrap_or(u32::MAX), generation };
        self.all.iter().map(move |(slot, (generation, value))| (key(slot, *generation), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_value_that_is_gone_finds_nothing() {
        let mut slots = Slots::default();
        let first = slots.insert("first");
        slots.remove(first);
        let second = slots.insert("second");
        assert_eq!(first.slot, second.slot, "slots are used again");
        slots.remove(first);
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&"second")));
        assert_eq!(slots.get_mut(first), None);
    }
}
