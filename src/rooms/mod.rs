//! Rooms: who is in which, what each remembers, and what its members are told.
//!
//! What is said is a [`Record`]: proposed ([`Rooms::propose`]), then applied ([`Rooms::apply`]).
//! Only `apply` writes the log and the history of a room, so whoever owns the order of records
//! decides when it is called: alone, a proposal is applied at once.
//!
//! One order for each room: all that happens in it is appended to the channel of each version.
//! The readers of these channels are its members.

mod check;
mod history;
mod memory;
mod record;
mod room;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use slab::Slab;

pub use history::History;
pub use record::{Draft, Record, Source};
pub use room::Resume;

use crate::clock::Now;
use crate::envelope::{self, Announced, ClientLimits, Notice, Rejection, Version, Welcome};
use crate::limits::{Limits, REFERENCE_BYTES_MAX, TYPING_MS_MIN, USERNAME_CHARS_MAX};
use crate::outbound::{Block, ChannelKey, Kind, Outbound, Owner};
use crate::peer::{PeerId, PeerMap};
use crate::ws::frame::{self, Data, OpCode};
use room::Room;

/// The room of everybody who names none.
pub const LOBBY: &str = "lobby";

/// A room, as long as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomKey(u32);

impl RoomKey {
    /// There are not so many rooms that it matters.
    fn new(slot: usize) -> Self {
        Self(u32::try_from(slot).unwrap_or(u32::MAX))
    }

    fn slot(self) -> usize {
        self.0 as usize
    }
}

/// The membership of one peer.
#[derive(Debug)]
pub struct Member {
    /// Its name, as the server has resolved it.
    pub name: Rc<str>,
    /// How it speaks.
    pub version: Version,
    /// Where it is.
    pub room: RoomKey,
    /// When others may be told again that it writes.
    typing_from_ms: u64,
}

/// How a peer joins.
#[derive(Debug)]
pub struct Entrance<'e> {
    /// The room, which is made if need be.
    pub room: &'e str,
    /// The name, as the server has resolved it.
    pub username: Rc<str>,
    /// How the peer speaks.
    pub version: Version,
    /// Where it wants to go on; V2 only.
    pub resume: Option<Resume<'e>>,
    /// The address to which a room is charged that is made for it.
    pub maker: Option<IpAddr>,
}

/// All rooms, and who is in which.
#[derive(Debug)]
pub struct Rooms {
    limits: Rc<Limits>,
    all: Slab<Room>,
    names: BTreeMap<Rc<str>, RoomKey>,
    members: PeerMap<Member>,
    /// What makes the epochs of this process differ from those of any other, and the rooms made
    /// so far, which makes each differ from the others.
    epoch: u64,
    made: u64,
    /// Bytes of memory of all rooms.
    memory: usize,
    scratch: Scratch,
}

/// What is written last: its JSON, and that as a frame.
#[derive(Debug, Default)]
struct Scratch {
    json: Vec<u8>,
    frame: Vec<u8>,
}

/// Bytes of capacity that a scratch buffer keeps; what a long message takes more is given back.
const SCRATCH_BYTES_KEPT: usize = 16 * 1024;

impl Scratch {
    /// Writes a notice as a frame; empty where the version has no words for it.
    fn write(&mut self, notice: &Notice<'_>, version: Version) {
        self.json.clear();
        self.json.shrink_to(SCRATCH_BYTES_KEPT);
        envelope::write(notice, version, &mut self.json);
        self.frame.clear();
        self.frame.shrink_to(SCRATCH_BYTES_KEPT);
        if !self.json.is_empty() {
            frame::append(OpCode::Data(Data::Text), &self.json, &mut self.frame);
        }
    }
}

impl Rooms {
    /// No rooms yet. `epoch` should be another one in every process.
    pub fn new(limits: Rc<Limits>, epoch: u64) -> Self {
        let (all, names, members, scratch) = Default::default();
        Self { limits, all, names, members, epoch, made: 0, memory: 0, scratch }
    }

    // --- getters

    /// How many rooms exist.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The membership of a peer.
    pub fn member(&self, id: PeerId) -> Option<&Member> {
        self.members.get(id)
    }

    /// The room of this name.
    pub fn find(&self, name: &str) -> Option<RoomKey> {
        self.names.get(name).copied()
    }

    /// How many are in a room.
    pub fn members(&self, key: RoomKey, outbound: &Outbound) -> usize {
        self.all.get(key.slot()).map_or(0, |room| room.members(outbound))
    }

    /// The channel whose pass must be over before more is said in a room, if there is one.
    pub fn gate(&self, key: RoomKey, outbound: &Outbound) -> Option<ChannelKey> {
        self.all.get(key.slot())?.gate(outbound)
    }

    /// The same of the room of this name.
    pub fn gate_of(&self, name: &str, outbound: &Outbound) -> Option<ChannelKey> {
        self.gate(self.find(name)?, outbound)
    }

    /// Whether [`Rooms::make_place`] would find one; changes nothing.
    pub fn has_place(&self, name: &str, outbound: &Outbound) -> bool {
        self.is_free_for(name) || self.has_idle(outbound)
    }

    fn is_free_for(&self, name: &str) -> bool {
        let is_below = self.all.len() < self.limits.rooms_max as usize;
        is_below || name == LOBBY || self.names.contains_key(name)
    }

    /// The room that is forgotten for another, if one can be.
    fn next_forgotten(&self, outbound: &Outbound) -> Option<RoomKey> {
        self.idle(outbound).first().copied()
    }

    // --- who comes and goes

    /// Makes sure that a room of this name can be joined; whether it can. Where there are as many
    /// rooms as there may be, an empty one is forgotten; never the lobby.
    pub fn make_place(&mut self, name: &str, outbound: &Outbound) -> bool {
        if self.is_free_for(name) {
            return true;
        }
        let Some(idle) = self.next_forgotten(outbound) else { return false };
        self.forget(idle);
        true
    }

    /// Makes a peer a member of a room, and tells the others; appends to `first` what the peer is
    /// sent before the replay.
    pub fn join(
        &mut self,
        outbound: &mut Outbound,
        id: PeerId,
        entrance: Entrance<'_>,
        first: &mut Vec<u8>,
    ) {
        let Entrance { username, version, .. } = entrance;
        let key = self.named(entrance.room, entrance.maker);
        let resume = entrance.resume.filter(|_| version == Version::V2);
        let Some(room) = self.all.get(key.slot()) else { return };
        let (replay, is_complete) = room.resume(resume);
        if version == Version::V2 {
            self.welcome(outbound, key, &username, is_complete);
            first.extend_from_slice(&self.scratch.frame);
        }
        let channel = self.channel(outbound, key, version);
        outbound.attach(id, channel, replay);
        let member = Member { name: Rc::clone(&username), version, room: key, typing_from_ms: 0 };
        self.members.insert(id, member);
        self.announce(outbound, key, &username, Notice::Joined);
    }

    /// A member has left, and reads its room's channel no more. Those who stay are told, unless
    /// `quietly`.
    pub fn leave(&mut self, outbound: &mut Outbound, id: PeerId, quietly: bool, now: Now) {
        let Some(Member { name, room: key, .. }) = self.members.remove(id) else { return };
        let Some(room) = self.all.get_mut(key.slot()) else { return };
        room.empty_since_ms = now.mono_ms;
        if room.members(outbound) == 0 {
            room.departed.clear();
            room.owes_count = Default::default();
            if room.history.is_empty() {
                self.forget(key);
            }
        } else if !quietly {
            room.departed.push_back(name);
            self.announce_departed(outbound, key);
        }
    }

    /// Tells a room who has left, as long as its gate is open.
    fn announce_departed(&mut self, outbound: &mut Outbound, key: RoomKey) {
        while let Some(room) = self.all.get_mut(key.slot())
            && room.gate(outbound).is_none()
            && let Some(name) = room.departed.pop_front()
        {
            self.announce(outbound, key, &name, Notice::Left);
        }
    }

    /// Tells a room who came or left, where that is no nuisance, and how many there are now.
    fn announce<'n>(
        &mut self,
        outbound: &mut Outbound,
        key: RoomKey,
        username: &'n str,
        notice: fn(Announced<'n>) -> Notice<'n>,
    ) {
        let Some(room) = self.all.get_mut(key.slot()) else { return };
        let count = room.told_members(outbound);
        let is_announced = count <= self.limits.announce_up_to as usize;
        room.owe_count(outbound, Version::V1);
        if is_announced {
            self.say(outbound, key, &notice(Announced { username, count }), Kind::News);
        } else {
            room.owe_count(outbound, Version::V2);
        }
    }

    // --- what is said

    /// Proposes a record. Nobody else orders them, so it is applied at once, with the next id.
    pub fn propose(
        &mut self,
        outbound: &mut Outbound,
        key: RoomKey,
        Draft { author, text }: Draft<'_>,
        source: Source<'_>,
        now: Now,
    ) {
        let Some(room) = self.all.get(key.slot()) else { return };
        let record = Record { id: room.history.next_id(), unix_ms: now.unix_ms, author, text };
        self.apply(outbound, key, record, source);
    }

    /// Says a record to a room and remembers it. Its id must be higher than all before it. Where a
    /// member has proposed it, its own copy has its `ref`.
    pub fn apply(
        &mut self,
        outbound: &mut Outbound,
        key: RoomKey,
        record: Record<&str>,
        source: Source<'_>,
    ) {
        let Some(room) = self.all.get_mut(key.slot()) else { return };
        for (version, channel) in room.open_channels() {
            outbound.forget_block(channel, record.id);
            if !outbound.is_used(channel) {
                continue;
            }
            self.scratch.write(&Notice::Text(record.as_text()), version);
            outbound.append(channel, &self.scratch.frame, Kind::Text);
            if let Source::Member(id, reference) = source
                && version == Version::V2
            {
                let mut json = Vec::with_capacity(self.scratch.json.len() + 2 * reference.len());
                envelope::write_with_reference(&self.scratch.json, reference, &mut json);
                let echo = frame::encode(OpCode::Data(Data::Text), &json);
                outbound.tell(id, echo, self.scratch.frame.len());
            }
        }
        let Record { id, unix_ms, author, text } = record;
        let kept = Record { id, unix_ms, author, text: text.into() };
        let (needed_from, before) = (room.replayed_from(outbound), room.held());
        room.history.push(kept, needed_from);
        self.recount(key, before);
    }

    /// Tells a member's room that the member writes; not too often, and not where much else is
    /// said.
    pub fn typing(&mut self, outbound: &mut Outbound, id: PeerId, now: Now) {
        let Some(member) = self.members.get_mut(id) else { return };
        let Some(room) = self.all.get(member.room.slot()) else { return };
        if now.mono_ms < member.typing_from_ms || room.is_busy(outbound) {
            return;
        }
        member.typing_from_ms = now.mono_ms + TYPING_MS_MIN;
        let (key, name) = (member.room, Rc::clone(&member.name));
        self.say(outbound, key, &Notice::Typing { username: &name }, Kind::Optional);
    }

    /// Tells a member alone what is wrong with a message of its, after what its room has said so
    /// far.
    pub fn reject(&mut self, outbound: &mut Outbound, id: PeerId, rejection: Rejection<'_>) {
        if let Some(member) = self.members.get(id) {
            self.scratch.write(&Notice::Rejected(rejection), member.version);
            outbound.tell(id, self.scratch.frame[..].into(), 0);
        }
    }

    /// Does what is to be done for the channel of a room.
    pub fn handle_channel(&mut self, outbound: &mut Outbound, channel: ChannelKey, owner: Owner) {
        let (Owner::PassBegins(slot) | Owner::PassEnded(slot)) = owner;
        let key = RoomKey(slot);
        let Some((room, version)) = self.owner(channel, slot) else { return };
        match owner {
            Owner::PassBegins(_) if std::mem::take(&mut room.owes_count[version.index()]) => {
                let count = Notice::Count(room.told_members(outbound));
                self.scratch.write(&count, version);
                outbound.append(channel, &self.scratch.frame, Kind::News);
            }
            Owner::PassBegins(_) => {}
            Owner::PassEnded(_) => self.announce_departed(outbound, key),
        }
    }

    /// Renders the block of records that has this id, or the first after it.
    pub fn render(&mut self, channel: ChannelKey, slot: u32, from: u64) -> Block {
        let Some((room, version)) = self.owner(channel, slot) else {
            return Block::new(from..u64::MAX);
        };
        let ids = room.history.block_at(from);
        let mut block = Block::new(ids.clone());
        let room = &self.all[slot as usize];
        for record in room.history.from(ids.start).take_while(|record| record.id < ids.end) {
            self.scratch.write(&Notice::Text(record.as_text()), version);
            block.push(record.id, &self.scratch.frame);
        }
        block
    }

    /// The room in a slot, and the version of a channel of its. Where that room is gone, another
    /// may have its slot by now.
    fn owner(&mut self, channel: ChannelKey, slot: u32) -> Option<(&mut Room, Version)> {
        let room = self.all.get_mut(slot as usize)?;
        let version = room.version_of(channel)?;
        Some((room, version))
    }

    /// Says something to all members, once for each version that one of them speaks.
    fn say(&mut self, outbound: &mut Outbound, key: RoomKey, notice: &Notice<'_>, kind: Kind) {
        let Some(room) = self.all.get(key.slot()) else { return };
        for (version, channel) in room.open_channels() {
            if !outbound.readers(channel).is_empty() {
                self.scratch.write(notice, version);
                if !self.scratch.frame.is_empty() {
                    outbound.append(channel, &self.scratch.frame, kind);
                }
            }
        }
    }

    /// Writes the first message to a newcomer; V2 only.
    fn welcome(&mut self, outbound: &Outbound, key: RoomKey, username: &str, complete: bool) {
        let Some(room) = self.all.get(key.slot()) else { return };
        let is_announced = room.members(outbound) < self.limits.announce_up_to as usize;
        let here = room.open_channels().flat_map(|(_, channel)| outbound.readers(channel));
        let name = |&id| Some(&*self.members.get(id)?.name);
        let welcome = Welcome {
            username,
            room: &room.name,
            epoch: &room.epoch(),
            last_id: room.history.last_id().map(|id| id.to_string()),
            complete,
            users: is_announced.then(|| here.filter_map(name).collect()),
            limits: ClientLimits {
                text_bytes: self.limits.text_bytes_max,
                ref_bytes: REFERENCE_BYTES_MAX,
                username_chars: USERNAME_CHARS_MAX,
                rate: self.limits.rate_per_second,
                burst: self.limits.burst,
            },
        };
        self.scratch.write(&Notice::Welcome(&welcome), Version::V2);
    }

    // --- how the parts are kept in agreement

    /// The room of this name, which is made if need be.
    fn named(&mut self, name: &str, maker: Option<IpAddr>) -> RoomKey {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        let name: Rc<str> = name.into();
        self.made += 1;
        let made = (self.epoch, self.made);
        let records_max = self.limits.history_frames_max as usize;
        let room = Room::new(Rc::clone(&name), made, records_max, maker);
        self.memory += room.held();
        let key = RoomKey::new(self.all.insert(room));
        self.names.insert(name, key);
        key
    }

    /// The channel of a version, which is opened if need be.
    fn channel(&mut self, outbound: &mut Outbound, key: RoomKey, version: Version) -> ChannelKey {
        let channel = self.all.get(key.slot()).and_then(|room| room.channels[version.index()]);
        if let Some(channel) = channel.filter(|&channel| outbound.is_open(channel)) {
            return channel;
        }
        let channel = outbound.open_channel(key.0);
        if let Some(room) = self.all.get_mut(key.slot()) {
            room.channels[version.index()] = Some(channel);
        }
        channel
    }

    /// Drops a room, and with the last one the memory of all.
    fn forget(&mut self, key: RoomKey) {
        let room = self.all.remove(key.slot());
        self.memory -= room.held();
        self.names.remove(&room.name);
        if self.all.is_empty() {
            self.all = Slab::new();
        }
    }
}
