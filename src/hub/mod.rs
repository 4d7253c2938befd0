//! The hub: rooms, their members, and who is told what.
//!
//! One total order for each room: what happens is appended to the room's turn, and all members
//! get the same bytes in the same order. The hub owns the outbound half of every peer (its
//! [`Outbox`]), the server the inbound half, so that text borrowed from the read buffer can be
//! said to a room without a copy.
//!
//! A slow reader costs itself and nobody else: an outbox that cannot take a turn is noted while
//! the turn goes out to the others, and given up afterwards ([`Outboxes::next_laggard`]).

mod column;
mod history;
mod outbox;
mod outboxes;
mod room;
mod rooms;
mod traffic;
mod turn;

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

pub use column::{Column, PeerId};
pub use history::History;
pub use outbox::{Full, Outbox};
use outboxes::Line;
pub use outboxes::Outboxes;
pub use room::Resume;
pub use traffic::Traffic;

use crate::clock::Now;
use crate::limits::{
    CROWD_NEWS_MS_MIN, Limits, REFERENCE_BYTES_MAX, TYPING_MS_MIN, USERNAME_CHARS_MAX,
};
use crate::wire::envelope::{self, Announced, Dialect, Notice, Rejection, Said, Terms, Welcome};
use crate::wire::frame::{Data, Frame, OpCode};
use room::Room;
use rooms::{RoomKey, Rooms};
use turn::{Aside, Part, Sealed, count_frames};

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

/// Rooms, members and outboxes.
#[derive(Debug)]
pub struct Hub {
    /// What is to be written to whom.
    pub outboxes: Outboxes,
    limits: Rc<Limits>,
    rooms: Rooms,
    /// Rooms in which something has happened this turn, by the line that it will go out in.
    dirty: [VecDeque<RoomKey>; Line::ALL.len()],
    /// Whether the turn of one of them is full.
    is_full: bool,
    /// Crowds in which there are only news to tell, and when it is time for news, by the monotonic
    /// clock. A room that has left its rest may still be among them.
    resting: VecDeque<RoomKey>,
    news_from_ms: u64,
}

impl Hub {
    /// A hub without rooms. `epoch` should be another one in every process.
    pub fn new(limits: Rc<Limits>, epoch: u64) -> Self {
        Self {
            outboxes: Outboxes::new(Rc::clone(&limits)),
            rooms: Rooms::new(Rc::clone(&limits), epoch),
            limits,
            dirty: Default::default(),
            is_full: false,
            resting: VecDeque::new(),
            news_from_ms: 0,
        }
    }

    /// Makes sure that a room of this name can be joined; whether it can. Where the house has as
    /// many rooms as it may, the one that was empty for longest is forgotten; never the lobby.
    pub fn make_place(&mut self, room: &str) -> bool {
        self.rooms.make_place(room)
    }

    /// Whether [`Self::make_place`] would find one; changes nothing.
    pub fn has_place(&self, room: &str) -> bool {
        self.rooms.has_place(room)
    }

    /// Makes a peer a member of a room: a welcome and the replay to the newcomer alone, then its
    /// name to all, and a count when the turn ends.
    pub fn join(&mut self, id: PeerId, entrance: &Entrance<'_>) {
        let Entrance { username, dialect, .. } = *entrance;
        let key = self.rooms.named(entrance.room);
        let Some(room) = self.rooms.get_mut(key) else { return };
        let (after, complete) = room.resume(entrance.resume.filter(|_| dialect == Dialect::Second));
        let replay = room.history.replay(dialect, after);
        if let Some(welcome) = self.welcome(key, entrance, complete) {
            self.outboxes.push_whole(id, welcome.into_bytes());
        }
        if let Some(replay) = replay {
            self.outboxes.push_replay(id, replay);
        }
        self.rooms.enter(id, key, username, dialect);
        self.announce(key, |count| Notice::Joined(Announced { username, count }));
    }

    /// Says a member's message to its room, the member included, and remembers it. The member's
    /// own echo carries its `reference`, if it has one; second dialect only.
    pub fn publish(&mut self, id: PeerId, message: &str, reference: Option<&str>, now: Now) {
        let Some((member, room)) = self.rooms.member_and_room(id) else { return };
        let said = Said {
            id: room.history.next_id(),
            unix_ms: now.unix_ms,
            username: &member.name,
            message,
        };
        let dialect = member.dialect;
        let place = room.publish(&said, dialect);
        if let Some(reference) = reference {
            let before = member.take_part(place.start, place.end);
            let frame = room.turn.echo(reference);
            room.turn.aside(Aside { to: id, dialect, before, frame, last: false });
        }
        let key = member.room;
        self.touch(key);
    }

    /// Tells a member's room that the member writes; not too often, and not where the room has
    /// much else to say.
    pub fn typing(&mut self, id: PeerId, now: Now) {
        let Some((member, room)) = self.rooms.member_and_room(id) else { return };
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
        self.rooms.member(id).map(|member| member.dialect)
    }

    /// Takes a member out of its room: its name to those who stay, unless `quietly`, and a count
    /// when the turn ends. With `close` that is the last that the peer itself gets, after what
    /// the room has said so far; nothing more is queued for it.
    pub fn leave(&mut self, id: PeerId, close: Option<Frame>, quietly: bool, now: Now) {
        if let Some(close) = close {
            self.aside(id, close, true);
        }
        // What the room has said since, in this turn, is for a member that is gone.
        if let Some((member, room)) = self.rooms.member_and_room(id) {
            let bytes = room.turn.bytes(member.dialect);
            let unheard = member.take_part(bytes.len(), bytes.len());
            self.outboxes.note_gone(count_frames(&bytes[unheard]));
        }
        let Some(member) = self.rooms.exit(id, now.mono_ms) else { return };
        if quietly {
            self.touch(member.room);
        } else {
            let username = &member.name;
            self.announce(member.room, |count| Notice::Left(Announced { username, count }));
        }
    }

    /// Ends the turns of rooms and hands them out, once what was handed out before has been
    /// written: a turn fits into the empty queue of a reader who keeps up, and two may not. Crowds
    /// wait for each other only, so a crowd that is told much is told it in few writes, and nobody
    /// else waits for that. Mere news are told to crowds only now and then.
    pub fn seal(&mut self, now: Now) {
        if !self.outboxes.is_served(Line::Short) {
            return;
        }
        if self.outboxes.is_served(Line::Crowd) {
            self.seal_crowds(now);
        }
        while let Some(key) = self.dirty[Line::Short as usize].pop_front() {
            self.seal_room(key);
        }
        self.is_full &= !self.dirty[Line::Crowd as usize].is_empty();
    }

    /// When [`Hub::seal`] has something to do that has to wait, in milliseconds of
    /// [`Now::mono_ms`].
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.resting.is_empty()).then_some(self.news_from_ms)
    }

    /// Whether this peer must wait for a turn to go out before it may do anything: that of its
    /// room, or any where it is in none, for it may be about to join.
    pub fn is_full_for(&self, id: PeerId) -> bool {
        self.is_full && self.rooms.room_of(id).is_none_or(|room| room.is_full)
    }

    /// Whether a turn must go out before anything may happen that can concern any room.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether there is anything to seal, to write, or to give up.
    pub fn has_output(&self) -> bool {
        !self.dirty.iter().all(VecDeque::is_empty) || self.outboxes.has_output()
    }

    /// Members of a room; 0 where there is no such room.
    pub fn members(&self, room: &str) -> usize {
        self.rooms.find(room).map_or(0, |room| room.members.len())
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Panics where members, rooms and outboxes do not agree. Work: everything; for tests.
    pub fn check_invariants(&self) {
        let is_all_said = self.dirty.iter().all(VecDeque::is_empty) && self.resting.is_empty();
        self.outboxes.check_invariants(is_all_said);
        self.rooms.check_invariants();
    }

    /// The first frame of the second dialect; the first dialect has none.
    fn welcome(&self, key: RoomKey, entrance: &Entrance<'_>, complete: bool) -> Option<Frame> {
        let room = self.rooms.get(key).filter(|_| entrance.dialect == Dialect::Second)?;
        let is_announced = room.members.len() < self.limits.announce_up_to as usize;
        let name = |&id| Some(&*self.rooms.member(id)?.name);
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

    /// Tells a room who came or went, where that is no nuisance, and how many there are now.
    fn announce<'n>(&mut self, key: RoomKey, notice: impl FnOnce(usize) -> Notice<'n>) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        let count = room.members.len();
        room.count_changed = true;
        if count <= self.limits.announce_up_to as usize {
            room.say(&notice(count));
        } else {
            room.count_unannounced = true;
        }
        self.touch(key);
    }

    /// Notes that something has happened in a room.
    fn touch(&mut self, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else { return };
        room.is_full = room.turn.is_full(&self.limits);
        self.is_full |= room.is_full;
        let is_woken = room.is_resting && room.is_pressing();
        if !room.is_dirty || is_woken {
            (room.is_dirty, room.is_resting) = (true, false);
            self.dirty[Line::of_room(room.members.len()) as usize].push_back(key);
        }
    }

    fn seal_crowds(&mut self, now: Now) {
        let is_time_for_news = now.mono_ms >= self.news_from_ms;
        if is_time_for_news {
            let is_resting =
                |key: &RoomKey| self.rooms.get(*key).is_some_and(|room| room.is_resting);
            let rested = std::mem::take(&mut self.resting).into_iter().filter(is_resting);
            self.dirty[Line::Crowd as usize].extend(rested);
        }
        while let Some(key) = self.dirty[Line::Crowd as usize].pop_front() {
            let Some(room) = self.rooms.get_mut(key) else { continue };
            if room.is_pressing() {
                self.seal_room(key);
            } else if is_time_for_news {
                self.news_from_ms = now.mono_ms + CROWD_NEWS_MS_MIN;
                self.seal_room(key);
            } else {
                room.is_resting = true;
                self.resting.push_back(key);
            }
        }
    }

    fn seal_room(&mut self, key: RoomKey) {
        if let Some(room) = self.rooms.get_mut(key) {
            let sealed = room.seal();
            self.hand_out(key, sealed);
        }
        if self.rooms.get(key).is_some_and(Room::is_disposable) {
            self.rooms.forget(key);
        }
    }

    /// A frame for one peer alone, in the order of events: into the turn of its room, which it
    /// helps to fill, so that no number of faults in one segment overflows a queue whose reader
    /// keeps up; into its queue where it is in no room.
    fn aside(&mut self, id: PeerId, frame: Frame, last: bool) {
        match self.rooms.member_and_room(id) {
            Some((member, room)) => {
                let dialect = member.dialect;
                let here = room.turn.bytes(dialect).len();
                let before = member.take_part(here, here);
                room.turn.aside(Aside { to: id, dialect, before, frame, last });
                if !last {
                    room.turn.expect_one();
                }
                let key = member.room;
                self.touch(key);
            }
            None => self.push_aside(id, frame, last),
        }
    }

    fn push_aside(&mut self, id: PeerId, frame: Frame, last: bool) {
        if last {
            self.outboxes.finish(id, Some(frame));
        } else {
            self.outboxes.push_alone(id, frame);
        }
    }

    /// Gives each member its part of a turn, and each aside to the peer that it is for.
    ///
    /// Work: constant for each aside, and for each member where the room has said anything; but
    /// linear in the frames for a member that came in during the turn.
    fn hand_out(&mut self, key: RoomKey, sealed: Sealed) {
        self.outboxes.note_expected(sealed.expected);
        for Aside { to, dialect, before, frame, last } in sealed.asides {
            self.push_part(to, &sealed.parts[dialect.index()], before, Line::Short);
            self.push_aside(to, frame, last);
            self.outboxes.note_handed_out(Line::Short);
        }
        if sealed.parts.iter().all(|part| part.bytes.is_empty()) {
            return;
        }
        let Some(room) = self.rooms.get_mut(key) else { return };
        let members = std::mem::take(&mut room.members);
        let line = Line::of_room(members.len());
        for &id in &members {
            let Some(member) = self.rooms.member_mut(id) else { continue };
            let part = &sealed.parts[member.dialect.index()];
            let range = member.take_part(part.bytes.len(), 0);
            if part.is_dispensable && !self.outboxes.is_empty(id) {
                self.outboxes.note_spared(part.frames_of(&range));
            } else {
                self.push_part(id, part, range, line);
            }
        }
        if let Some(room) = self.rooms.get_mut(key) {
            room.members = members;
        }
        self.outboxes.note_handed_out(line);
    }

    fn push_part(&mut self, id: PeerId, part: &Part, range: Range<usize>, line: Line) {
        let frames = part.frames_of(&range);
        self.outboxes.push(id, &part.bytes, range, frames, line);
    }
}

fn text_frame(notice: &Notice<'_>, dialect: Dialect) -> Frame {
    let mut json = Vec::new();
    envelope::write(notice, dialect, &mut json);
    Frame::new(OpCode::Data(Data::Text), &json)
}
