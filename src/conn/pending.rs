//! Connections that are no WebSocket, and which of them is evicted for others.
//!
//! A request that is dripped, or an answer that is not read, keeps a slot until its deadline.
//! Where descriptors are few, a handful of such connections could keep everybody else out; so once
//! all slots are taken, the oldest of them is evicted for whoever comes.

use std::collections::BTreeMap;

use crate::limits::PENDING_MS_MIN;
use crate::peer::PeerId;

/// Connections that are no WebSocket, in the order in which they came. WebSockets are not in here,
/// so that a silent one pays nothing for it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// By generation, which grows with each connection: who it is, and since when.
    by_age: BTreeMap<u32, (PeerId, u64)>,
}

impl Pending {
    /// A connection was taken in.
    pub(super) fn insert(&mut self, id: PeerId, now_ms: u64) {
        self.by_age.insert(id.generation(), (id, now_ms));
    }

    /// It has become a WebSocket, or is gone.
    pub(super) fn remove(&mut self, id: PeerId) {
        self.by_age.remove(&id.generation());
    }

    /// Who is evicted: whoever came first, once it has had [`PENDING_MS_MIN`].
    pub(super) fn evicted(&self, now_ms: u64) -> Option<PeerId> {
        let &(id, since_ms) = self.by_age.values().next()?;
        (now_ms.saturating_sub(since_ms) >= PENDING_MS_MIN).then_some(id)
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.by_age.len()
    }
}
