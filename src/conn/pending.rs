//! Connections that may be evicted for others: those that are no WebSocket yet, or not any more.
//!
//! Who is next is looked for only when somebody must go, so all other connections pay little for it.

use std::collections::BTreeMap;

use super::addresses::Key;
use crate::clock::Now;
use crate::limits::PENDING_MS_MIN;
use crate::peer::PeerId;

/// Addresses for which memory is kept when none of their connections may be evicted.
const COUNTS_KEPT: usize = 64;

/// Connections that may be evicted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By address, and by generation, so that the oldest of an address comes first; and from when
    /// on they may be evicted even for their own address, in milliseconds.
    all: BTreeMap<(Key, u32), (PeerId, u64)>,
    /// How many each address has.
    counts: Vec<u32>,
}

impl Pending {
    pub(super) fn insert(&mut self, key: Key, id: PeerId, now: Now) {
        let entry = (id, now.mono_ms + PENDING_MS_MIN);
        if self.all.insert((key, id.generation()), entry).is_none() {
            let index = key as usize;
            if index >= self.counts.len() {
                self.counts.resize(index + 1, 0);
            }
            self.counts[index] += 1;
        }
    }

    pub(super) fn remove(&mut self, key: Key, id: PeerId) {
        if self.all.remove(&(key, id.generation())).is_some() {
            self.counts[key as usize] -= 1;
            if self.all.is_empty() {
                self.counts.truncate(COUNTS_KEPT);
                self.counts.shrink_to(COUNTS_KEPT);
            }
        }
    }

    /// Who is evicted for a new connection of an address: the oldest of the address that has the
    /// most, or of those that have as many. One of the same address only when it has had its time.
    ///
    /// Work: a look at each address.
    pub(super) fn evicted_for(&self, key: Key, now: Now) -> Option<PeerId> {
        let most = self.counts.iter().copied().max().filter(|&most| most > 0)?;
        let with_most = (0..).zip(&self.counts).filter(|&(_, &count)| count == most);
        let oldest = with_most.filter_map(|(of, _)| self.all.range((of, 0)..).next());
        let (&(of, _), &(id, from_ms)) = oldest.min_by_key(|&(&(_, generation), _)| generation)?;
        (of != key || from_ms <= now.mono_ms).then_some(id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = 0;
    const B: Key = 1;
    const NEWCOMER: Key = 2;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, ..Now::default() }
    }

    fn id(number: u32) -> PeerId {
        PeerId::new(number, number)
    }

    #[test]
    fn the_oldest_of_the_address_with_the_most_is_evicted() {
        let mut pending = Pending::default();
        pending.insert(B, id(1), at(0));
        pending.insert(A, id(2), at(0));
        assert_eq!(pending.evicted_for(NEWCOMER, at(0)), Some(id(1)), "the older of the two");
        pending.insert(A, id(3), at(0));
        assert_eq!(pending.evicted_for(NEWCOMER, at(0)), Some(id(2)));
        pending.remove(A, id(2));
        pending.remove(A, id(2));
        assert_eq!(pending.evicted_for(NEWCOMER, at(0)), Some(id(1)));
        assert_eq!(pending.len(), 2);
        pending.remove(A, id(3));
        pending.remove(B, id(1));
        assert_eq!(pending.evicted_for(NEWCOMER, at(0)), None);
        assert!(pending.all.is_empty() && pending.counts.iter().all(|&count| count == 0));
    }

    #[test]
    fn an_address_waits_for_its_own() {
        let mut pending = Pending::default();
        pending.insert(A, id(1), at(0));
        assert_eq!(pending.evicted_for(A, at(PENDING_MS_MIN - 1)), None);
        assert_eq!(pending.evicted_for(A, at(PENDING_MS_MIN)), Some(id(1)));
    }
}
