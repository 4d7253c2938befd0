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
pub use room::Resume;

use crate::clock::Now;
use crate::limits::{Limits, REFERENCE_BYTES_MAX, TYPING_MS_MIN, USERNAME_CHARS_MAX};
use crate::wire::envelope::{self, Announced, Dialect, Notice, Rejection, Said, Terms, Welcome};
use crate::wire::frame::{Data, Frame, OpCode, sent_len};
use room::Room;
use turn::{Aside, Part, Sealed};

/// The room of everybody who names none.
pub const LOBBY: &str = "lobby";

/// How a peer comes in.
#[derive(Debug)]
pub struct Entrance<'e> {
    /// The room, which is made if need be.
    pub room: &'e str,
    /// The name, as the server has resolved it.
    pub username: &'e str,
    /// How the peer speaks.
    pub dialect: Dialect,
    /// Where it wants to go on; second dialect only.
    pub resume: Option<Resume<'e>>,
}

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

#[derive(Debug)]
struct Member {
    name: Box<str>,
    dialect: Dialect,
    room: usize,
    /// Its place in the room's list of members.
    place: usize,
    /// Where its next part of the room's turn begins, in bytes: where it came in, or its last
    /// aside.
    from: usize,
    /// When others may be told again that it writes.
    typing_from_ms: u64,
}

/// Rooms, members and outboxes.
#[derive(Debug)]
pub struct Hub {
    limits: Rc<Limits>,
    seats: Column<Seat>,
    rooms: Slab<Room>,
    names: BTreeMap<Rc<str>, usize>,
    /// What makes the epochs of this process differ from those of any other, and the rooms made
    /// so far, which makes each differ from the others.
    epoch: u64,
    rooms_made: u64,
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
    /// A hub without rooms. `epoch` should be another one in every process.
    pub fn new(limits: Rc<Limits>, epoch: u64) -> Self {
        Self {
            limits,
            seats: Column::default(),
            rooms: Slab::new(),
            names: BTreeMap::new(),
            epoch,
            rooms_made: 0,
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

    /// Makes sure that a room of this name can be joined; whether it can. Where the house has as
    /// many rooms as it may, the one that was empty for longest is forgotten; never the lobby.
    pub fn make_place(&mut self, room_name: &str) -> bool {
        if self.names.contains_key(room_name) || room_name == LOBBY {
            return true;
        }
        if self.rooms.len() < self.limits.rooms_max as usize {
            return true;
        }
        let empty = self.rooms.iter().filter(|(_, room)| {
            room.members.is_empty() && room.turn.is_empty() && &*room.name != LOBBY
        });
        let Some((oldest, _)) = empty.min_by_key(|(_, room)| room.empty_since_ms) else {
            return false;
        };
        self.forget_room(oldest);
        true
    }

    /// Makes a peer a member of a room: a welcome and the replay to the newcomer alone, then its
    /// name to all, and a count when the turn ends.
    pub fn join(&mut self, id: PeerId, entrance: &Entrance<'_>) {
        let Entrance { username, dialect, .. } = *entrance;
        let key = self.room_named(entrance.room);
        let resume = entrance.resume.filter(|_| dialect == Dialect::Second);
        let (after, complete) = self.rooms[key].resume(resume);
        let welcome = self.welcome(key, entrance, complete);

        let (Some(seat), Some(room)) = (self.seats.get_mut(id), self.rooms.get_mut(key)) else {
            return;
        };
        if let Some(welcome) = welcome {
            seat.outbox.push_whole(welcome.into_bytes());
        }
        if let Some(replay) = room.history.replay(dialect, after) {
            seat.outbox.push_replay(replay);
        }
        seat.member = Some(Member {
            name: username.into(),
            dialect,
            room: key,
            place: room.members.len(),
            from: room.turn.bytes(dialect).len(),
            typing_from_ms: 0,
        });
        room.members.push(id);
        room.speakers[dialect.index()] += 1;
        let count = room.members.len();
        self.make_ready(id);
        self.announce(key, count, &Notice::Joined(Announced { username, count }));
    }

    /// Says a member's message to its room, the member included, and remembers it. The member's
    /// own echo carries its `reference`, if it has one.
    pub fn publish(&mut self, id: PeerId, message: &str, reference: Option<&str>, now: Now) {
        let Some(Seat { member: Some(member), .. }) = self.seats.get_mut(id) else { return };
        let Some(room) = self.rooms.get_mut(member.room) else { return };
        let said = Said {
            id: room.history.next_id(),
            unix_ms: now.unix_ms,
            username: &member.name,
            message,
        };
        let dialect = member.dialect;
        let place = room.publish(&said, dialect);
        if let Some(reference) = reference.filter(|_| dialect == Dialect::Second) {
            let before = member.from..place.start;
            let frame = room.turn.echo(reference);
            room.turn.aside(Aside { to: id, dialect, before, frame, last: false });
            member.from = place.end;
        }
        let key = member.room;
        self.touch(key);
    }

    /// Tells a member's room that the member writes; not too often, and not where the room has
    /// much else to say.
    pub fn typing(&mut self, id: PeerId, now: Now) {
        let Some(Seat { member: Some(member), .. }) = self.seats.get_mut(id) else { return };
        let Some(room) = self.rooms.get_mut(member.room) else { return };
        if now.mono_ms < member.typing_from_ms || room.turn.is_busy(&self.limits) {
            return;
        }
        member.typing_from_ms = now.mono_ms + TYPING_MS_MIN;
        room.say(&Notice::Typing(&member.name));
        let key = member.room;
        self.touch(key);
    }

    /// Tells a member alone what is wrong with a message of its, after what its room has said so
    /// far.
    pub fn reject(&mut self, id: PeerId, rejection: Rejection<'_>) {
        let Some(dialect) = self.dialect(id) else { return };
        let frame = text_frame(&Notice::Rejected(rejection), dialect);
        self.aside(id, frame, false);
    }

    /// How a member speaks; `None` for who is no member.
    pub fn dialect(&self, id: PeerId) -> Option<Dialect> {
        self.seats.get(id)?.member.as_ref().map(|member| member.dialect)
    }

    /// Takes a member out of its room: its name to those who stay, unless `quietly`, and a count
    /// when the turn ends. With `close` that is the last that the peer itself gets, after what
    /// the room has said so far; nothing more is queued for it.
    pub fn leave(&mut self, id: PeerId, close: Option<Frame>, quietly: bool, now: Now) {
        if let Some(close) = close {
            self.aside(id, close, true);
        }
        let Some(Member { name, room: key, place, dialect, .. }) =
            self.seats.get_mut(id).and_then(|seat| seat.member.take())
        else {
            return;
        };
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.members.swap_remove(place);
        room.speakers[dialect.index()] -= 1;
        room.empty_since_ms = now.mono_ms;
        let count = room.members.len();
        if let Some(&moved) = room.members.get(place)
            && let Some(member) = self.seats.get_mut(moved).and_then(|seat| seat.member.as_mut())
        {
            member.place = place;
        }
        if quietly {
            self.touch(key);
        } else {
            self.announce(key, count, &Notice::Left(Announced { username: &name, count }));
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
        let Some(room) = self.rooms.get_mut(key) else { return true };
        room.is_dirty = false;
        let count = Notice::Count(room.members.len());
        if std::mem::take(&mut room.count_changed) && room.speakers[Dialect::First.index()] > 0 {
            room.turn.append(&count, Dialect::First);
        }
        if std::mem::take(&mut room.count_unannounced) && room.speakers[Dialect::Second.index()] > 0
        {
            room.turn.append(&count, Dialect::Second);
        }
        room.history.release_replays();
        let sealed = room.turn.seal();
        self.hand_out(key, sealed);
        if self.rooms[key].is_disposable() {
            self.forget_room(key);
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
            if let Some(member) = &seat.member {
                assert_eq!(self.rooms[member.room].members[member.place], id);
            }
            assert!(!seat.is_lagging || self.laggards.contains(&id));
            let must_be_ready = !seat.outbox.is_empty() && !seat.is_blocked && !seat.is_lagging;
            assert!(!must_be_ready || seat.is_ready, "peer {id} would never be written to");
        }
        assert!(self.rooms.len() <= self.limits.rooms_max as usize + 1, "and the lobby");
        assert_eq!(self.rooms.len(), self.names.len());
        for (key, room) in &self.rooms {
            self.check_room(key, room);
        }
    }

    fn check_room(&self, key: usize, room: &Room) {
        assert_eq!(self.names.get(&room.name), Some(&key));
        assert!(room.history.len() <= self.limits.history_frames_max as usize);
        assert!(room.is_dirty || room.turn.is_empty(), "room {} would say nothing", room.name);
        assert!(room.is_dirty || !room.is_disposable(), "room {} costs nothing", room.name);
        let mut speakers = [0; Dialect::ALL.len()];
        for (place, &id) in room.members.iter().enumerate() {
            let member = self.seats.get(id).and_then(|seat| seat.member.as_ref());
            assert!(member.is_some_and(|member| (member.room, member.place) == (key, place)));
            speakers[member.map_or(0, |member| member.dialect.index())] += 1;
        }
        assert_eq!(room.speakers, speakers);
    }

    fn room_named(&mut self, name: &str) -> usize {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        let name: Rc<str> = name.into();
        self.rooms_made += 1;
        let epoch = format!("{:x}-{}", self.epoch, self.rooms_made);
        let room = Room::new(Rc::clone(&name), epoch, self.limits.history_frames_max as usize);
        let key = self.rooms.insert(room);
        self.names.insert(name, key);
        key
    }

    fn forget_room(&mut self, key: usize) {
        let room = self.rooms.remove(key);
        self.names.remove(&room.name);
        if self.rooms.is_empty() {
            self.rooms = Slab::new();
        }
    }

    /// The first frame of the second dialect; the first dialect has none.
    fn welcome(&self, key: usize, entrance: &Entrance<'_>, complete: bool) -> Option<Frame> {
        if entrance.dialect == Dialect::First {
            return None;
        }
        let room = &self.rooms[key];
        let is_announced = room.members.len() < self.limits.announce_up_to as usize;
        let name = |&id| Some(&*self.seats.get(id)?.member.as_ref()?.name);
        let welcome = Welcome {
            username: entrance.username,
            room: &room.name,
            epoch: &room.epoch,
            last_id: room.history.last_id().map(|id| id.to_string()),
            complete,
            users: is_announced.then(|| room.members.iter().filter_map(name).collect()),
            limits: Terms {
                text_bytes: self.limits.text_bytes_max,
                ref_bytes: REFERENCE_BYTES_MAX,
                username_chars: USERNAME_CHARS_MAX,
                rate: self.limits.rate_per_second,
                burst: self.limits.burst,
            },
        };
        Some(text_frame(&Notice::Welcome(&welcome), entrance.dialect))
    }

    /// Tells a room who came or went, where that is no nuisance, and that it has `count` members.
    fn announce(&mut self, key: usize, count: usize, notice: &Notice<'_>) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.count_changed = true;
        if count <= self.limits.announce_up_to as usize {
            room.say(notice);
        } else {
            room.count_unannounced = true;
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
            let dialect = member.dialect;
            let here = room.turn.bytes(dialect).len();
            let before = std::mem::replace(&mut member.from, here)..here;
            room.turn.aside(Aside { to: id, dialect, before, frame, last });
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
        for Aside { to, dialect, before, frame, last } in sealed.asides {
            self.push_part(to, &sealed.parts[dialect.index()], before);
            self.push_aside(to, frame, last);
        }
        let members = std::mem::take(&mut self.rooms[key].members);
        for &id in &members {
            let Some(Seat { member: Some(member), outbox, .. }) = self.seats.get_mut(id) else {
                continue;
            };
            let part = &sealed.parts[member.dialect.index()];
            let from = std::mem::take(&mut member.from);
            if !part.is_dispensable || outbox.is_empty() {
                self.push_part(id, part, from..part.bytes.len());
            }
        }
        self.rooms[key].members = members;
    }

    fn push_part(&mut self, id: PeerId, part: &Part, range: Range<usize>) {
        let frames = match range.len() == part.bytes.len() {
            true => part.frames,
            false => count_frames(&part.bytes[range.clone()]),
        };
        self.push(id, &part.bytes, range, frames);
    }

    /// Queues a part of a turn for one peer, or notes that it lags too far for that.
    fn push(&mut self, id: PeerId, bytes: &Rc<[u8]>, range: Range<usize>, frames: u32) {
        let Some(seat) = self.seats.get_mut(id) else { return };
        if seat.is_lagging {
            return;
        }
        match seat.outbox.push(bytes, range, frames, &self.limits) {
            Ok(()) => self.deliveries += u64::from(frames),
            Err(Full) => {
                seat.is_lagging = true;
                self.laggards.push_back(id);
            }
        }
        self.make_ready(id);
    }
}

fn text_frame(notice: &Notice<'_>, dialect: Dialect) -> Frame {
    let mut json = Vec::new();
    envelope::write(notice, dialect, &mut json);
    Frame::new(OpCode::Data(Data::Text), &json)
}

fn count_frames(mut bytes: &[u8]) -> u32 {
    let mut count = 0;
    while !bytes.is_empty() {
        bytes = &bytes[sent_len(bytes)..];
        count += 1;
    }
    count
}
