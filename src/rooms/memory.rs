//! How much memory rooms hold, and what goes where it is short.

use std::cmp::Reverse;

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

    /// The rooms that can be forgotten for others, the next one first.
    fn idle(&self, outbound: &Outbound) -> Vec<RoomKey> {
        let is_idle = |room: &super::Room| !room.has_channel(outbound) && &*room.name != LOBBY;
        let idle = self.all.iter().filter(|(_, room)| is_idle(room));
        let mut ranked: Vec<_> = idle
            .map(|(slot, room)| {
                let made = Reverse(self.makers.get(&room.maker).copied());
                (made, room.empty_since_ms, RoomKey::new(slot))
            })
            .collect();
        ranked.sort_unstable_by_key(|&(made, since_ms, RoomKey(slot))| (made, since_ms, slot));
        ranked.into_iter().map(|(_, _, key)| key).collect()
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
            self.recount(RoomKey::new(slot), held);
        }
        self.memory < before
    }
}
