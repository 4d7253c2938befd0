//! Connections that may be evicted for others: those that are no WebSocket yet, or not any more.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::addresses::Key;
use crate::clock::Now;
use crate::limits::PENDING_MS_MIN;
use crate::peer::PeerId;

/// Those of one address by generation, so that the oldest comes first; and from when on they may be
/// evicted even for their own address, in milliseconds.
type Own = BTreeMap<u32, (PeerId, u64)>;

/// Connections that may be evicted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    of: BTreeMap<Key, Own>,
    /// The addresses: by how many they have, and of those with as many the one with the oldest
    /// last.
    ranking: BTreeSet<(usize, Reverse<u32>, Key)>,
}

impl Pending {
    pub(super) fn insert(&mut self, key: Key, id: PeerId, now: Now) {
        let from_ms = now.mono_ms + PENDING_MS_MIN;
        self.change(key, |own| own.insert(id.generation(), (id, from_ms)));
    }

    pub(super) fn remove(&mut self, key: Key, id: PeerId) {
        self.change(key, |own| own.remove(&id.generation()));
    }

    fn change<T>(&mut self, key: Key, change: impl FnOnce(&mut Own) -> T) {
        let own = self.of.entry(key).or_default();
        if let Some(rank) = rank(key, own) {
            self.ranking.remove(&rank);
        }
        change(own);
        match rank(key, own) {
            Some(rank) => self.ranking.insert(rank),
            None => self.of.remove(&key).is_some(),
        };
    }

    /// Who is evicted for a new connection of an address: the oldest of the address that has the
    /// most. One of the same address only when it has had its time.
    pub(super) fn evicted_for(&self, key: Key, now: Now) -> Option<PeerId> {
        let &(_, Reverse(generation), of) = self.ranking.last()?;
        let &(id, from_ms) = self.of.get(&of)?.get(&generation)?;
        (of != key || from_ms <= now.mono_ms).then_some(id)
    }

    pub(super) fn len(&self) -> usize {
        self.of.values().map(BTreeMap::len).sum()
    }
}

fn rank(key: Key, own: &Own) -> Option<(usize, Reverse<u32>, Key)> {
    let (&oldest, _) = own.first_key_value()?;
    Some((own.len(), Reverse(oldest), key))
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
        assert!(pending.of.is_empty() && pending.ranking.is_empty());
    }

    #[test]
    fn an_address_waits_for_its_own() {
        let mut pending = Pending::default();
        pending.insert(A, id(1), at(0));
        assert_eq!(pending.evicted_for(A, at(PENDING_MS_MIN - 1)), None);
        assert_eq!(pending.evicted_for(A, at(PENDING_MS_MIN)), Some(id(1)));
    }
}
