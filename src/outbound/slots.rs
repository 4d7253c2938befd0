//! Values by slot, with a generation in the key: a key of a value that is gone finds nothing.

/// Which value: a slot, and which of the values that it has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
pub(super) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, value: None });
            // Channels are fewer than connections, and those fit.
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.entries[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.value = Some(value);
        Key { slot, generation: entry.generation }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.get_mut(key.slot as usize)
            && entry.generation == key.generation
            && entry.value.take().is_some()
        {
            self.free.push(key.slot);
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.slot as usize)?;
        entry.value.as_ref().filter(|_| entry.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.slot as usize)?;
        entry.value.as_mut().filter(|_| entry.generation == key.generation)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| {
            Some((Key { slot, generation: entry.generation }, entry.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_value_that_is_gone_finds_nothing() {
        let mut slots = Slots::new();
        let first = slots.insert("first");
        slots.remove(first);
        let second = slots.insert("second");
        assert_eq!(first.slot, second.slot, "slots are used again");
        slots.remove(first);
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&"second")));
        assert_eq!(slots.get_mut(first), None);
    }
}
