//! For tests: whether the parts agree.

use super::room::Room;
use super::{Member, RoomKey, Rooms};
use crate::outbound::Outbound;

impl Rooms {
    /// How many records the room of this name keeps.
    pub fn records(&self, name: &str) -> usize {
        self.find(name)
            .and_then(|key| self.all.get(key.slot()))
            .map_or(0, |room| room.history.len())
    }

    /// Panics where members, rooms and channels do not agree. Work: everything; for tests.
    pub fn check_invariants(&self, outbound: &Outbound) {
        assert!(self.all.len() <= self.limits.rooms_max as usize + 1, "and the lobby");
        assert_eq!(self.all.len(), self.names.len());
        let held: usize = self.all.iter().map(|(_, room)| room.held()).sum();
        assert_eq!(held, self.held(), "memory is counted");
        let counted: usize = self.all.iter().map(|(_, room)| room.members(outbound)).sum();
        assert_eq!(counted, self.members.len(), "the readers of its channels are the members");
        for (slot, room) in &self.all {
            assert_eq!(self.names.get(&room.name), Some(&RoomKey::new(slot)));
            self.check_room(RoomKey::new(slot), room, outbound);
        }
    }

    fn check_room(&self, key: RoomKey, room: &Room, outbound: &Outbound) {
        let name = &room.name;
        let is_empty = room.members(outbound) == 0;
        assert!(!is_empty || !room.history.is_empty(), "room {name} costs nothing");
        assert!(!is_empty || room.departed.is_empty(), "nobody is there to be told in {name}");
        let is_open = room.gate(outbound).is_none();
        assert!(!is_open || room.departed.is_empty(), "room {name} is told who has left");
        for (version, channel) in room.open_channels() {
            for &id in outbound.readers(channel) {
                let member = self.members.get(id);
                let is_here = |member: &Member| (member.room, member.version) == (key, version);
                assert!(member.is_some_and(is_here), "{id} is in {name}");
            }
        }
    }
}
