//! All rooms, and who is in which.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use slab::Slab;

use super::room::Room;
use super::{Column, LOBBY, PeerId};
use crate::limits::{Limits, column_growth};
use crate::wire::envelope::Dialect;

/// A room by its place among all of them; valid as long as the room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RoomKey(u32);

impl RoomKey {
    fn new(place: usize) -> Self {
        Self(narrow(place))
    }

    fn place(self) -> usize {
        self.0 as usize
    }
}

/// Half the memory, ten thousand times. There are neither so many rooms nor members nor bytes in a
/// turn that it matters.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The membership of one peer.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Box<str>,
    pub(super) dialect: Dialect,
    pub(super) room: RoomKey,
    /// Its place in the room's list of members.
    place: u32,
    /// Where its next part of the room's turn begins, in bytes: where it came in, or its last
    /// aside.
    from: u32,
    /// When others may be told again that it writes.
    pub(super) typing_from_ms: u64,
}

impl Member {
    /// The part of its room's turn up to `end` that it has not been given yet; the next begins at
    /// `next`.
    pub(super) fn take_part(&mut self, end: usize, next: usize) -> Range<usize> {
        std::mem::replace(&mut self.from, narrow(next)) as usize..end
    }
}

/// All rooms, and who is in which.
#[derive(Debug)]
pub(super) struct Rooms {
    limits: Rc<Limits>,
    all: Slab<Room>,
    names: BTreeMap<Rc<str>, RoomKey>,
    members: Column<Member>,
    /// What makes the epochs of this process differ from those of any other, and the rooms made
    /// so far, which makes each differ from the others.
    epoch: u64,
    made: u64,
}

impl Rooms {
    pub(super) fn new(limits: Rc<Limits>, epoch: u64) -> Self {
        let (all, names, members) = Default::default();
        Self { limits, all, names, members, epoch, made: 0 }
    }

    /// The room of this name, which is made if need be.
    pub(super) fn named(&mut self, name: &str) -> RoomKey {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        let name: Rc<str> = name.into();
        self.made += 1;
        let epoch = format!("{:x}-{}", self.epoch, self.made);
        let room = Room::new(Rc::clone(&name), epoch, self.limits.history_frames_max as usize);
        let key = RoomKey::new(self.all.insert(room));
        self.names.insert(name, key);
        key
    }

    /// See [`super::Hub::make_place`].
    pub(super) fn make_place(&mut self, name: &str) -> bool {
        if self.is_free_for(name) {
            return true;
        }
        let Some(oldest) = self.longest_idle() else { return false };
        self.forget(oldest);
        true
    }

    /// Whether [`Self::make_place`] would find one.
    pub(super) fn has_place(&self, name: &str) -> bool {
        self.is_free_for(name) || self.longest_idle().is_some()
    }

    fn is_free_for(&self, name: &str) -> bool {
        let is_below = self.all.len() < self.limits.rooms_max as usize;
        is_below || name == LOBBY || self.names.contains_key(name)
    }

    fn longest_idle(&self) -> Option<RoomKey> {
        let is_idle = |room: &Room| room.members.is_empty() && !room.is_dirty;
        let idle = self.all.iter().filter(|(_, room)| is_idle(room) && &*room.name != LOBBY);
        idle.min_by_key(|(_, room)| room.empty_since_ms).map(|(place, _)| RoomKey::new(place))
    }

    /// Gives a room back, and with the last one the memory of all.
    pub(super) fn forget(&mut self, key: RoomKey) {
        let room = self.all.remove(key.place());
        self.names.remove(&room.name);
        if self.all.is_empty() {
            self.all = Slab::new();
        }
    }

    /// Makes a peer a member of a room, which must exist.
    pub(super) fn enter(&mut self, id: PeerId, room: RoomKey, name: &str, dialect: Dialect) {
        let Some(to) = self.all.get_mut(room.place()) else { return };
        let place = to.members.len();
        let from = narrow(to.turn.bytes(dialect).len());
        if to.members.len() == to.members.capacity() {
            to.members.reserve_exact(column_growth(place));
        }
        to.members.push(id);
        to.speakers[dialect.index()] += 1;
        let (name, place) = (name.into(), narrow(place));
        self.members.insert(id, Member { name, dialect, room, place, from, typing_from_ms: 0 });
    }

    /// Takes a peer out of its room.
    pub(super) fn exit(&mut self, id: PeerId, now_ms: u64) -> Option<Member> {
        let member = self.members.remove(id)?;
        let room = self.all.get_mut(member.room.place())?;
        let place = member.place as usize;
        room.members.swap_remove(place);
        room.speakers[member.dialect.index()] -= 1;
        room.empty_since_ms = now_ms;
        if room.members.is_empty() {
            room.members = Vec::new();
        }
        if let Some(&moved) = room.members.get(place)
            && let Some(moved) = self.members.get_mut(moved)
        {
            moved.place = member.place;
        }
        Some(member)
    }

    pub(super) fn get(&self, key: RoomKey) -> Option<&Room> {
        self.all.get(key.place())
    }

    pub(super) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.all.get_mut(key.place())
    }

    pub(super) fn find(&self, name: &str) -> Option<&Room> {
        self.names.get(name).and_then(|&key| self.get(key))
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn member(&self, id: PeerId) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn member_mut(&mut self, id: PeerId) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// The room of a member.
    pub(super) fn room_of(&self, id: PeerId) -> Option<&Room> {
        self.get(self.members.get(id)?.room)
    }

    /// A member together with its room.
    pub(super) fn member_and_room(&mut self, id: PeerId) -> Option<(&mut Member, &mut Room)> {
        let member = self.members.get_mut(id)?;
        let room = self.all.get_mut(member.room.place())?;
        Some((member, room))
    }

    /// Panics where members and rooms do not agree. Work: everything; for tests.
    pub(super) fn check_invariants(&self) {
        assert!(self.all.len() <= self.limits.rooms_max as usize + 1, "and the lobby");
        assert_eq!(self.all.len(), self.names.len());
        let seated: usize = self.all.iter().map(|(_, room)| room.members.len()).sum();
        assert_eq!(seated, self.members.len());
        for (key, room) in &self.all {
            let key = RoomKey::new(key);
            assert_eq!(self.names.get(&room.name), Some(&key));
            self.check_room(key, room);
        }
    }

    fn check_room(&self, key: RoomKey, room: &Room) {
        assert!(room.history.len() <= self.limits.history_frames_max as usize);
        assert!(room.is_dirty || room.turn.is_empty(), "room {} would say nothing", room.name);
        assert!(room.is_dirty || !room.is_disposable(), "room {} costs nothing", room.name);
        let may_rest = room.is_dirty && !room.is_pressing();
        assert!(!room.is_resting || may_rest, "room {} keeps what is pressing", room.name);
        let mut speakers = [0; Dialect::ALL.len()];
        for (place, &id) in room.members.iter().enumerate() {
            let member = self.members.get(id);
            let place = narrow(place);
            assert!(member.is_some_and(|member| (member.room, member.place) == (key, place)));
            speakers[member.map_or(0, |member| member.dialect.index())] += 1;
        }
        assert_eq!(room.speakers, speakers);
    }
}
