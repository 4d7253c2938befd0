//! Connections that are no members yet, and which of them gives way to others.
//!
//! A request that is dripped, or an answer that is not read, keeps a place for as long as its
//! deadline lets it. Where descriptors are few, a handful of such connections could keep
//! everybody else out; so once all places are taken, the oldest gives its own up to whoever comes.

use std::collections::BTreeMap;

use crate::hub::PeerId;
use crate::limits::GUEST_MS_MIN;

/// Connections that are no members yet, in the order in which they came. Members are not in
/// here, so that a silent one pays nothing for it.
#[derive(Debug, Default)]
pub(super) struct Guests {
    /// By generation, which grows with each connection: who it is, and since when.
    line: BTreeMap<u32, (PeerId, u64)>,
}

impl Guests {
    /// A connection was taken in.
    pub(super) fn arrive(&mut self, id: PeerId, now_ms: u64) {
        self.line.insert(id.generation(), (id, now_ms));
    }

    /// It has become a member, or is gone.
    pub(super) fn depart(&mut self, id: PeerId) {
        self.line.remove(&id.generation());
    }

    /// Who gives way: whoever came first, once it has had [`GUEST_MS_MIN`].
    pub(super) fn gives_way(&self, now_ms: u64) -> Option<PeerId> {
        let &(id, since_ms) = self.line.values().next()?;
        (now_ms.saturating_sub(since_ms) >= GUEST_MS_MIN).then_some(id)
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }
}
