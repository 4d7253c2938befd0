//! How much memory rooms hold, and what goes where it is short.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::room::Room;
use super::{LOBBY, RoomKey, Rooms};
use crate::outbound::Outbound;

impl Rooms {
    /// Bytes of memory of all rooms and what they remember.
    pub fn held(&self) -> usize {
        self.memory
    }

    /// Counts the memory of a room, whose history has held `before`.
    pub(super) fn recount(&mut self, key: RoomKey, before: usize) {
        if let Some(room) = self.all.get(key.slot()) {
            self.memory -= before;
            self.memory += room.held();
        }
    }

    /// Gives back `bytes` of memory, or as many as can be: first of rooms in which nobody is, those of
    /// the address that has made the most of them first; then the older half of histories, the
    /// longest first. What somebody is still to be sent stays.
    pub fn shed(&mut self, outbound: &Outbound, bytes: usize) {
        let enough = self.memory.saturating_sub(bytes);
        for key in self.idle(outbound) {
            if self.memory <= enough {
                return;
            }
            self.forget(key);
        }
        while self.memory > enough && self.shorten(outbound, enough) {}
    }

    /// Whether a room can be forgotten for others.
    pub(super) fn has_idle(&self, outbound: &Outbound) -> bool {
        self.all.iter().any(|(_, room)| is_idle(room, outbound))
    }

    /// The rooms that can be forgotten for others: first those of the address that has made the
    /// most, and of these the one that was empty for longest. So whoever walks through many rooms
    /// costs only its own. Work: a look at each room.
    pub(super) fn idle(&self, outbound: &Outbound) -> Vec<RoomKey> {
        let mut made = BTreeMap::<_, usize>::new();
        for (_, room) in &self.all {
            *made.entry(room.maker).or_default() += 1;
        }
        let idle = self.all.iter().filter(|(_, room)| is_idle(room, outbound));
        let rank =
            |(slot, room): (usize, &Room)| (Reverse(made[&room.maker]), room.empty_since_ms, slot);
        let mut ranked: Vec<_> = idle.map(rank).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(.., slot)| RoomKey::new(slot)).collect()
    }

    /// Forgets the older half of histories, the longest first, until it is enough. Whether that
    /// has given back something.
    fn shorten(&mut self, outbound: &Outbound, enough: usize) -> bool {
        let before = self.memory;
        let mut rooms: Vec<_> =
            self.all.iter().map(|(slot, room)| (Reverse(room.held()), slot)).collect();
        rooms.sort_unstable();
        for (Reverse(held), slot) in rooms {
            if self.memory <= enough {
                break;
            }
            let Some(room) = self.all.get_mut(slot) else { continue };
            let needed_from = room.replayed_from(outbound);
            room.history.forget_half(needed_from);
            let is_over = room.history.is_empty() && !room.has_channel(outbound);
            self.recount(RoomKey::new(slot), held);
            if is_over {
                self.forget(RoomKey::new(slot));
            }
        }
        self.memory < before
    }
}

/// Whether nobody reads a room or is still to be sent something of it. The lobby is never forgotten.
fn is_idle(room: &Room, outbound: &Outbound) -> bool {
    !room.has_channel(outbound) && &*room.name != LOBBY
}
