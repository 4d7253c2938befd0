//! The hub: rooms, their members, and who is told what.
//!
//! One total order for each room: what happens is appended to the room's turn, and all members
//! get the same bytes in the same order. The hub owns the outbound half of every peer (its
//! [`Outbox`]), the server the inbound half, so that text borrowed from the read buffer can be
//! said to a room without a copy.
//!
//! A slow reader costs itself and nobody else: an outbox that cannot take a turn is noted while
//! the turn goes out to the others, and given up afterwards ([`Hub::next_laggard`]).

mod column;
mod history;
mod outbox;
mod room;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use slab::Slab;

pub use column::{Column, PeerId};
pub use history::History;
pub use outbox::{Full, Outbox};

use crate::limits::Limits;
use crate::wire::envelope::{self, Notice};
use crate::wire::frame::{Data, Frame, OpCode, sent_len};
use room::Room;
use turn::Sealed;

/// The room of everybody who names none.
pub const LOBBY: &str = "lobby";

/// The outbound half of one peer, and its membership.
#[derive(Debug, Default)]
struct Seat {
    outbox: Outbox,
    member: Option<Member>,
    /// The socket takes no more until it says so.
    is_blocked: bool,
    /// It stands in the line of those that have something to write.
    is_ready: bool,
    /// Its queue could not take a turn: nothing more goes in or out until it is given up.
    is_lagging: bool,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    room: usize,
    /// Its place in the room's list of members.
    place: usize,
    /// Where its next part of the room's turn begins, in bytes: where it came in, or its last
    /// aside.
    from: usize,
}

/// Rooms, members and outboxes.
#[derive(Debug)]
pub struct Hub {
    limits: Rc<Limits>,
    seats: Column<Seat>,
    rooms: Slab<Room>,
    names: BTreeMap<Rc<str>, usize>,
    /// Peers with something to write.
    ready: VecDeque<PeerId>,
    /// Rooms in which something has happened this turn.
    dirty: VecDeque<usize>,
    /// Members whose queue could not take a turn.
    laggards: VecDeque<PeerId>,
    is_full: bool,
    deliveries: u64,
}

impl Hub {
    /// A hub without rooms.
    pub fn new(limits: Rc<Limits>) -> Self {
        Self {
            limits,
            seats: Column::default(),
            rooms: Slab::new(),
            names: BTreeMap::new(),
            ready: VecDeque::new(),
            dirty: VecDeque::new(),
            laggards: VecDeque::new(),
            is_full: false,
            deliveries: 0,
        }
    }

    /// Gives a new peer its outbox.
    pub fn open(&mut self, id: PeerId) {
        self.seats.insert(id, Seat::default());
    }

    /// Takes a peer's outbox away. It must have left its room.
    pub fn close(&mut self, id: PeerId) {
        let seat = self.seats.remove(id);
        debug_assert!(seat.is_none_or(|seat| seat.member.is_none()), "left before closing");
    }

    /// Queues an HTTP answer.
    pub fn answer(&mut self, id: PeerId, bytes: Rc<[u8]>) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.outbox.push_whole(bytes);
            self.make_ready(id);
        }
    }

    /// Makes a peer a member of a room, which is made if need be: the replay to the newcomer
    /// alone, "NAME joined" to all, and a count to all when the turn ends.
    pub fn join(&mut self, id: PeerId, room_name: &str, name: &str) {
        let key = self.room_named(room_name);
        let (Some(seat), Some(room)) = (self.seats.get_mut(id), self.rooms.get_mut(key)) else {
            return;
        };
        seat.member = Some(Member { room: key, place: room.members.len(), from: room.turn.len() });
        room.members.push(id);
        room.count_changed = true;
        if let Some(replay) = room.history.replay() {
            seat.outbox.push_replay(replay);
        }
        self.make_ready(id);
        self.announce(key, &format!("{name} joined"));
    }

    /// Says a member's message to its room, the member included, and remembers it.
    pub fn publish(&mut self, id: PeerId, name: &str, message: &str) {
        let Some(Member { room: key, .. }) = self.member(id) else { return };
        let Some(room) = self.rooms.get_mut(key) else { return };
        let frame = room.turn.append(&Notice::ChatMessage { username: name, message });
        room.history.push(frame);
        self.touch(key);
    }

    /// Says something to one peer alone, after what its room has said so far.
    pub fn tell(&mut self, id: PeerId, notice: &Notice<'_>) {
        let mut json = Vec::new();
        envelope::write(notice, &mut json);
        self.aside(id, Frame::new(OpCode::Data(Data::Text), &json), false);
    }

    /// Takes a member out of its room: "NAME left" to those who stay if there is a name to
    /// announce, and a count when the turn ends. With `close` that is the last that the peer
    /// itself gets, after what the room has said so far; nothing more is queued for it.
    pub fn leave(&mut self, id: PeerId, announced: Option<&str>, close: Option<Frame>) {
        if let Some(close) = close {
            self.aside(id, close, true);
        }
        let Some(Member { room: key, place, .. }) = self.member(id) else { return };
        if let Some(seat) = self.seats.get_mut(id) {
            seat.member = None;
        }
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.members.swap_remove(place);
        room.count_changed = true;
        if let Some(&moved) = room.members.get(place)
            && let Some(member) = self.seats.get_mut(moved).and_then(|seat| seat.member.as_mut())
        {
            member.place = place;
        }
        match announced {
            Some(name) => self.announce(key, &format!("{name} left")),
            None => self.touch(key),
        }
    }

    /// Queues the last bytes for a peer that is in no room, if any.
    pub fn finish(&mut self, id: PeerId, close: Option<Frame>) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.outbox.finish(close);
            self.make_ready(id);
        }
    }

    /// Sets the Pong to send to a peer, in place of one not sent yet.
    pub fn set_pong(&mut self, id: PeerId, pong: Frame) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.outbox.set_pong(pong);
            self.make_ready(id);
        }
    }

    /// Queues a keepalive Ping.
    pub fn ping(&mut self, id: PeerId, ping: Frame) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.outbox.push_whole(ping.into_bytes());
            self.make_ready(id);
        }
    }

    /// Gives a laggard up: what it has half received is completed, and `close` is the last.
    pub fn overflow(&mut self, id: PeerId, close: Frame) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.is_lagging = false;
            seat.outbox.overflow(close);
            self.make_ready(id);
        }
    }

    /// The next member whose queue could not take a turn. It is still a member, and its queue is
    /// as it was before.
    pub fn next_laggard(&mut self) -> Option<PeerId> {
        self.laggards.pop_front()
    }

    /// The next peer with something to write; it leaves the line.
    pub fn next_ready(&mut self) -> Option<PeerId> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(seat) = self.seats.get_mut(id) {
                seat.is_ready = false;
                if !seat.is_lagging {
                    return Some(id);
                }
            }
        }
        None
    }

    /// Ends the turn of one room and hands it out; whether there was one.
    pub fn seal_next(&mut self) -> bool {
        let Some(key) = self.dirty.pop_front() else {
            self.is_full = false;
            return false;
        };
        if let Some(room) = self.rooms.get_mut(key) {
            room.is_dirty = false;
            if std::mem::take(&mut room.count_changed) && !room.members.is_empty() {
                room.turn.append(&Notice::UserCount { count: room.members.len() });
            }
            room.history.release_replay();
            let sealed = room.turn.seal();
            self.hand_out(key, sealed);
            if self.rooms[key].is_disposable() {
                let room = self.rooms.remove(key);
                self.names.remove(&room.name);
            }
        }
        true
    }

    /// The bytes to write next to a peer; see [`Outbox::transmit`].
    pub fn transmit<'h>(&'h mut self, id: PeerId, slices: &mut [IoSlice<'h>]) -> usize {
        self.seats.get_mut(id).map_or(0, |seat| seat.outbox.transmit(slices))
    }

    /// `len` more bytes are written to a peer.
    pub fn handle_sent(&mut self, id: PeerId, len: usize) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.outbox.handle_sent(len);
        }
    }

    /// The socket takes no more: the peer is in no line until [`Hub::handle_writable`].
    pub fn handle_blocked(&mut self, id: PeerId) {
        if let Some(seat) = self.seats.get_mut(id) {
            seat.is_blocked = true;
        }
    }

    /// The socket takes more again.
    pub fn handle_writable(&mut self, id: PeerId) {
        if let Some(seat) = self.seats.get_mut(id)
            && std::mem::take(&mut seat.is_blocked)
        {
            self.make_ready(id);
        }
    }

    /// Puts a peer in the line of those that have something to write, if it has.
    pub fn make_ready(&mut self, id: PeerId) {
        if let Some(seat) = self.seats.get_mut(id)
            && !seat.is_blocked
            && !seat.is_ready
            && !seat.is_lagging
            && !seat.outbox.is_empty()
        {
            seat.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Whether everything has been written to a peer that ever will be.
    pub fn is_finished(&self, id: PeerId) -> bool {
        self.seats.get(id).is_none_or(|seat| seat.outbox.is_finished())
    }

    /// Whether a turn must go out before anything else may happen.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a peer's own answers should go out before it asks for more: a Pong waits that the
    /// next would replace, and the socket has not refused it yet.
    pub fn wants_flush(&self, id: PeerId) -> bool {
        self.seats.get(id).is_some_and(|seat| seat.outbox.has_pong() && !seat.is_blocked)
    }

    /// Whether there is anything that [`Hub::seal_next`] or [`Hub::next_ready`] would give.
    pub fn has_output(&self) -> bool {
        !(self.ready.is_empty() && self.dirty.is_empty() && self.laggards.is_empty())
    }

    /// Members of a room; 0 where there is no such room.
    pub fn members(&self, room_name: &str) -> usize {
        let key = self.names.get(room_name);
        key.and_then(|&key| self.rooms.get(key)).map_or(0, |room| room.members.len())
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Frames handed out to members so far.
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// Panics where members, rooms and outboxes do not agree. Work: everything; for tests.
    pub fn check_invariants(&self) {
        for (id, seat) in self.seats.iter() {
            seat.outbox.check_invariants(&self.limits);
            if let Some(member) = seat.member {
                assert_eq!(self.rooms[member.room].members[member.place], id);
            }
            let must_be_ready = !seat.outbox.is_empty() && !seat.is_blocked && !seat.is_lagging;
            assert!(!seat.is_lagging || self.laggards.contains(&id));
            assert!(!must_be_ready || seat.is_ready, "peer {id} would never be written to");
        }
        for (key, room) in &self.rooms {
            assert_eq!(self.names.get(&room.name), Some(&key));
            assert!(room.history.len() <= self.limits.history_frames_max as usize);
            assert!(room.is_dirty || room.turn.is_empty(), "room {} would say nothing", room.name);
            for (place, &id) in room.members.iter().enumerate() {
                let member = self.seats.get(id).and_then(|seat| seat.member);
                assert!(member.is_some_and(|member| member.room == key && member.place == place));
            }
        }
    }

    fn member(&self, id: PeerId) -> Option<Member> {
        self.seats.get(id)?.member
    }

    fn room_named(&mut self, name: &str) -> usize {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        let name: Rc<str> = name.into();
        let room = Room::new(Rc::clone(&name), self.limits.history_frames_max as usize);
        let key = self.rooms.insert(room);
        self.names.insert(name, key);
        key
    }

    /// A line of the house about somebody, in rooms where that is no nuisance.
    fn announce(&mut self, key: usize, text: &str) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        if room.members.len() <= self.limits.announce_up_to as usize && !room.members.is_empty() {
            room.turn.append(&Notice::System { text });
        }
        self.touch(key);
    }

    /// Notes that something has happened in a room.
    fn touch(&mut self, key: usize) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        self.is_full |= room.turn.is_full(&self.limits);
        if !room.is_dirty {
            room.is_dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// A frame for one peer alone, in the order of events: into the turn of its room where that
    /// has begun, into its queue otherwise.
    fn aside(&mut self, id: PeerId, frame: Frame, last: bool) {
        let Some(seat) = self.seats.get_mut(id) else { return };
        if let Some(member) = &mut seat.member
            && let Some(room) = self.rooms.get_mut(member.room)
            && !room.turn.is_empty()
        {
            member.from = room.turn.aside(id, member.from, frame, last);
            let key = member.room;
            self.touch(key);
        } else {
            self.push_aside(id, frame, last);
        }
    }

    fn push_aside(&mut self, id: PeerId, frame: Frame, last: bool) {
        if last {
            self.finish(id, Some(frame));
        } else {
            let bytes = frame.into_bytes();
            self.push(id, &bytes, 0..bytes.len(), 1);
        }
    }

    /// Gives each member its part of a turn, and each aside to the peer that it is for.
    ///
    /// Work: constant for each member and aside, but for a member that came in during the turn.
    fn hand_out(&mut self, key: usize, sealed: Sealed) {
        for aside in sealed.asides {
            let frames = count_frames(&sealed.bytes[aside.before.clone()]);
            self.push(aside.to, &sealed.bytes, aside.before, frames);
            self.push_aside(aside.to, aside.frame, aside.last);
        }
        let members = std::mem::take(&mut self.rooms[key].members);
        for &id in &members {
            let Some(seat) = self.seats.get_mut(id) else { continue };
            let from = seat.member.as_mut().map_or(0, |member| std::mem::take(&mut member.from));
            let frames =
                if from == 0 { sealed.frames } else { count_frames(&sealed.bytes[from..]) };
            self.push(id, &sealed.bytes, from..sealed.bytes.len(), frames);
        }
        self.rooms[key].members = members;
    }

    /// Queues a part of a turn for one peer, or notes that it lags too far for that.
    fn push(&mut self, id: PeerId, bytes: &Rc<[u8]>, part: Range<usize>, frames: u32) {
        let Some(seat) = self.seats.get_mut(id) else { return };
        if seat.is_lagging {
            return;
        }
        match seat.outbox.push(bytes, part, frames, &self.limits) {
            Ok(()) => self.deliveries += u64::from(frames),
            Err(Full) => {
                seat.is_lagging = true;
                self.laggards.push_back(id);
            }
        }
        self.make_ready(id);
    }
}

fn count_frames(mut bytes: &[u8]) -> u32 {
    let mut count = 0;
    while !bytes.is_empty() {
        bytes = &bytes[sent_len(bytes)..];
        count += 1;
    }
    count
}
