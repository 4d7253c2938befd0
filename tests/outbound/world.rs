//! Rooms and their readers, as `outbound` has them and as they must be, side by side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::rc::Rc;

use hallway::limits::Limits;
use hallway::outbound::{
    Block, ChannelKey, Counted, Depth, Frames, Kind, Next, Outbound, Owner, Thresholds,
};
use hallway::peer::PeerId;

use crate::peer::{Class, Item, Peer};
use crate::random::Random;

/// Ids in one block of the past.
const BLOCK_IDS: u64 = 8;

/// Records that a room keeps, besides those that somebody still needs.
const RECORDS_KEPT: usize = 15;

/// Calls of `poll` without an end that are taken for a loop without one.
const POLLS_MAX: usize = 20_000;

/// How often what is rare has happened, so that a run can tell that it has tried it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    pub(crate) dismissed: usize,
    pub(crate) too_slow: usize,
    pub(crate) gated: usize,
    pub(crate) parked: usize,
    pub(crate) deferred: usize,
    pub(crate) held: usize,
    pub(crate) echoes: usize,
    pub(crate) replays: usize,
    pub(crate) rendered: usize,
    pub(crate) evicted: usize,
}

/// A room: one channel, its past, and what its owner owes.
#[derive(Debug, Default)]
struct Room {
    key: Option<ChannelKey>,
    records: BTreeMap<u64, Rc<[u8]>>,
    last_id: u64,
    /// Since when it owes its readers something.
    owes_since_ms: Option<u64>,
    is_in_pass: bool,
    parked: Vec<PeerId>,
}

pub(crate) struct World {
    pub(crate) out: Outbound,
    thresholds: Thresholds,
    queue: Counted,
    now_ms: u64,
    random: Random,
    rooms: Vec<Room>,
    peers: BTreeMap<PeerId, Peer>,
    /// Who was closed, and which channels were.
    gone: Vec<PeerId>,
    gone_keys: Vec<ChannelKey>,
    free_slots: Vec<u32>,
    generation: u32,
    /// Who has been parked and must be woken, in this order.
    due: VecDeque<PeerId>,
    serial: u32,
    /// Frames that count, times their readers; and what has become of them.
    expected: u64,
    frames: Frames,
    renders_in_a_row: usize,
    pub(crate) tried: Tried,
}

impl World {
    pub(crate) fn new(seed: u64, limits: &Limits, thresholds: Thresholds) -> Self {
        let queue = Counted {
            frames: limits.queue_frames_max.into(),
            bytes: limits.queue_bytes_max.into(),
        };
        Self {
            out: Outbound::new(limits, thresholds),
            thresholds,
            queue,
            now_ms: 1_000,
            random: Random::new(seed),
            rooms: (0..3).map(|_| Room::default()).collect(),
            peers: BTreeMap::new(),
            gone: Vec::new(),
            gone_keys: Vec::new(),
            free_slots: (0..14).rev().collect(),
            generation: 0,
            due: VecDeque::new(),
            serial: 0,
            expected: 0,
            frames: Frames::default(),
            renders_in_a_row: 0,
            tried: Tried::default(),
        }
    }

    // --- what happens

    /// Lets something happen.
    pub(crate) fn step(&mut self) {
        match self.random.below(32) {
            0..=2 => self.open_and_join(),
            3 => self.answer_http(),
            4 => self.with_any(Self::leave),
            5 if self.random.once_in(2) => self.with_any(Self::close),
            6 if self.random.once_in(4) => self.with_any(Self::dismiss),
            7..=10 => {
                let many = if self.random.once_in(6) { 12 } else { 1 };
                for _ in 0..many {
                    self.with_any(Self::say_text);
                }
            }
            11 => self.say_news(),
            12 => self.say_from_elsewhere(),
            13 | 14 => self.with_any(Self::say_and_echo),
            15 => self.with_any(Self::unicast),
            16 => self.with_any(Self::ping),
            17 | 18 => self.with_any(Self::pong),
            19 => self.owe(),
            20 => self.use_what_is_gone(),
            21 | 22 => self.now_ms += self.random.below(15) as u64,
            23..=25 => {
                for id in self.ids() {
                    if self.random.once_in(2) && !self.peers[&id].is_stuck {
                        self.unblock(id);
                    }
                }
            }
            _ => {
                for _ in 0..self.random.below(24) {
                    if !self.poll(false) {
                        break;
                    }
                }
            }
        }
    }

    fn ids(&self) -> Vec<PeerId> {
        self.peers.keys().copied().collect()
    }

    fn with_any(&mut self, act: impl FnOnce(&mut Self, PeerId)) {
        if let Some(id) = self.random.one_of(&self.ids()) {
            act(self, id);
        }
    }

    fn frame(&mut self, kind: u8, len: usize) -> Rc<[u8]> {
        self.serial += 1;
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&self.serial.to_be_bytes());
        bytes.resize(5 + len, b'.');
        bytes.into()
    }

    fn any_frame(&mut self, kind: u8) -> Rc<[u8]> {
        let len = if self.random.once_in(8) { 90 } else { self.random.below(30) };
        self.frame(kind, len)
    }

    fn open(&mut self) -> Option<PeerId> {
        let slot = self.free_slots.pop()?;
        self.generation += 1;
        let id = PeerId::new(slot, self.generation);
        self.out.open(id);
        let is_stuck = self.random.once_in(7);
        self.peers.insert(id, Peer { is_stuck, ..Peer::default() });
        if self.random.once_in(8) {
            self.out.set_blocked(id, true);
            self.peer(id).is_blocked = true;
        }
        Some(id)
    }

    fn peer(&mut self, id: PeerId) -> &mut Peer {
        self.peers.get_mut(&id).expect("of those that are open")
    }

    fn open_and_join(&mut self) {
        let Some(id) = self.open() else { return };
        if self.random.once_in(4) {
            self.pong(id);
        }
        let at = self.random.below(3);
        if self.parks(id, at) {
            return;
        }
        self.join(id, at);
    }

    /// The channel of a room, opened where it has none.
    fn key(&mut self, at: usize) -> ChannelKey {
        self.forget_closed(at);
        let owner = u32::try_from(at).expect("there are three");
        *self.rooms[at].key.get_or_insert_with(|| self.out.open_channel(owner))
    }

    fn forget_closed(&mut self, at: usize) {
        if let Some(key) = self.rooms[at].key.filter(|&key| !self.out.is_open(key)) {
            assert!(self.readers(at).is_empty(), "a channel is open as long as it is read");
            assert!(self.rooms[at].parked.is_empty(), "and as long as somebody waits at it");
            self.rooms[at].key = None;
            self.rooms[at].owes_since_ms = None;
            self.rooms[at].is_in_pass = false;
            self.gone_keys.push(key);
        }
    }

    fn join(&mut self, id: PeerId, at: usize) {
        let key = self.key(at);
        let last = match (self.rooms[at].last_id, self.random.once_in(4)) {
            (last @ 1.., true) => self.random.below(usize::try_from(last).expect("few")) as u64,
            (last, _) => last,
        };
        let first = match self.random.below(3) {
            0 => last + 1,
            1 => 1,
            _ => self.random.below(usize::try_from(last).expect("few") + 1) as u64,
        };
        self.out.attach(id, key, first..=last);
        let records: Vec<Item> = self.rooms[at]
            .records
            .iter()
            .filter(|(id, _)| (first..=last).contains(*id))
            .map(|(&id, bytes)| Item { class: Class::Replay(id), ..Item::plain(Rc::clone(bytes)) })
            .collect();
        self.tried.replays += usize::from(!records.is_empty());
        let ends_in_gap = first <= last && !self.rooms[at].records.contains_key(&last);
        let peer = self.peer(id);
        peer.room = Some(at);
        peer.items.extend(records);
        peer.ends_in_gap = ends_in_gap;
        // News may be longer than half a queue allows, if the gate has closed between.
        self.announce(at);
        if self.random.once_in(2) {
            let handshake = self.frame(b'h', 20);
            self.out.begin(id, Rc::clone(&handshake));
            self.peer(id).half = Some((Item::plain(handshake), 0));
        }
    }

    /// An answer to a request, and nothing after it.
    fn answer_http(&mut self) {
        let Some(id) = self.open() else { return };
        let len = self.random.below(200);
        let answer = self.frame(b'a', len);
        self.out.begin(id, Rc::clone(&answer));
        self.peer(id).half = Some((Item::plain(answer), 0));
        self.out.finish(id, None);
        self.peer(id).has_left = true;
    }

    /// Whether a peer must wait at the gate of a room, and does.
    fn parks(&mut self, id: PeerId, at: usize) -> bool {
        let Some(key) = self.rooms[at].key.filter(|&key| self.out.is_gated(key)) else {
            return false;
        };
        self.tried.gated += 1;
        if self.random.once_in(2) {
            self.out.park(id, key, false);
            self.rooms[at].parked.push(id);
            self.tried.parked += 1;
        }
        true
    }

    /// Whether a peer is not read now.
    fn is_deaf(&mut self, id: PeerId) -> bool {
        let is_deaf = self.peers[&id].must_write_first(self.thresholds.unicasts);
        if is_deaf && !self.peers[&id].has_left {
            self.out.defer(id);
            let peer = self.peer(id);
            (peer.is_deferred, peer.defers) = (true, peer.defers + 1);
            self.tried.deferred += 1;
        }
        is_deaf
    }

    fn say_text(&mut self, id: PeerId) {
        let Some(at) = self.peers[&id].room else { return };
        if !self.peers[&id].has_left && !self.is_deaf(id) && !self.parks(id, at) {
            let frame = self.any_frame(b't');
            self.text(at, &frame);
        }
    }

    /// Says a record to a room and remembers it.
    fn text(&mut self, at: usize, frame: &Rc<[u8]>) {
        let gap = if self.random.once_in(5) { self.random.below(20) as u64 } else { 0 };
        let id = self.rooms[at].last_id + 1 + gap;
        self.rooms[at].last_id = id;
        let key = self.key(at);
        self.out.forget_block(key, id);
        self.append(at, frame, Kind::Text);
        let needed_from = self.out.replayed_from(key);
        let records = &mut self.rooms[at].records;
        records.insert(id, Rc::clone(frame));
        while records.len() > RECORDS_KEPT
            && let Some((&oldest, _)) = records.first_key_value()
            && needed_from.is_none_or(|needed| oldest < needed)
        {
            records.pop_first();
            self.tried.evicted += 1;
        }
    }

    fn append(&mut self, at: usize, frame: &Rc<[u8]>, kind: Kind) {
        let key = self.key(at);
        self.out.append(key, frame, kind);
        let class = Class::Live { counts: kind != Kind::Optional, is_text: kind == Kind::Text };
        let item = Item { class, bytes: Rc::clone(frame), said_ms: self.now_ms };
        for id in self.readers(at) {
            self.peer(id).items.push_back(item.clone());
            self.expected += u64::from(kind != Kind::Optional);
        }
        let has_left = |peer: &&mut Peer| peer.room == Some(at) && peer.has_left;
        for peer in self.peers.values_mut().filter(has_left) {
            peer.said_since.frames += u64::from(kind != Kind::Optional);
            peer.said_since.bytes += frame.len() as u64;
        }
    }

    /// Who must be a reader of a room's channel.
    fn readers(&self, at: usize) -> Vec<PeerId> {
        let is_reader = |peer: &Peer| peer.room == Some(at) && !peer.has_left;
        self.peers.iter().filter(|(_, peer)| is_reader(peer)).map(|(&id, _)| id).collect()
    }

    fn say_news(&mut self) {
        let at = self.random.below(3);
        self.forget_closed(at);
        let is_gated = self.rooms[at].key.is_none_or(|key| self.out.is_gated(key));
        if !is_gated {
            let frame = self.any_frame(b'n');
            let kind = if self.random.once_in(3) { Kind::Optional } else { Kind::News };
            self.append(at, &frame, kind);
        }
    }

    /// Says records that no reader of the channel has said; maybe nobody reads it.
    fn say_from_elsewhere(&mut self) {
        let at = self.random.below(3);
        for _ in 0..self.random.below(24) {
            self.forget_closed(at);
            if self.rooms[at].key.is_some_and(|key| !self.out.is_gated(key)) {
                let frame = self.any_frame(b't');
                self.text(at, &frame);
            }
        }
    }

    /// Says to a room that somebody has come or left, or owes it.
    fn announce(&mut self, at: usize) {
        let key = self.key(at);
        let is_gated = self.out.is_gated(key);
        if is_gated || self.random.once_in(2) {
            self.owe_in(at);
        } else {
            let frame = self.frame(b'n', 8);
            self.append(at, &frame, Kind::News);
        }
    }

    fn owe(&mut self) {
        let at = self.random.below(3);
        self.owe_in(at);
    }

    fn owe_in(&mut self, at: usize) {
        self.forget_closed(at);
        if let Some(key) = self.rooms[at].key {
            self.out.owe(key);
            self.rooms[at].owes_since_ms.get_or_insert(self.now_ms);
        }
    }

    /// A member says something, and its own copy is another.
    fn say_and_echo(&mut self, id: PeerId) {
        let Some(at) = self.peers[&id].room else { return };
        if self.peers[&id].has_left || self.is_deaf(id) || self.parks(id, at) {
            return;
        }
        let frame = self.any_frame(b't');
        self.text(at, &frame);
        let (mut replaced, mut count) = (frame.len(), 1);
        if self.random.once_in(3) {
            let news = self.frame(b'n', 4);
            let kind = if self.random.once_in(2) { Kind::Optional } else { Kind::News };
            self.append(at, &news, kind);
            (replaced, count) = (replaced + news.len(), 2);
        }
        let echo = self.any_frame(b'e');
        self.out.tell(id, Rc::clone(&echo), replaced);
        for _ in 0..count {
            let item = self.peer(id).items.pop_back().expect("it was just said");
            let Class::Live { counts, .. } = item.class else { panic!("it is from the log") };
            self.expected -= u64::from(counts);
        }
        self.push_unicast(id, echo);
        self.tried.echoes += 1;
    }

    fn unicast(&mut self, id: PeerId) {
        if self.peers[&id].room.is_none() || (!self.random.once_in(6) && self.is_deaf(id)) {
            return;
        }
        let frame = self.any_frame(b'u');
        self.out.tell(id, Rc::clone(&frame), 0);
        if !self.peers[&id].has_left {
            self.push_unicast(id, frame);
        }
    }

    fn push_unicast(&mut self, id: PeerId, bytes: Rc<[u8]>) {
        let item = Item { class: Class::Unicast, bytes, said_ms: self.now_ms };
        self.expected += 1;
        self.peer(id).items.push_back(item);
    }

    fn ping(&mut self, id: PeerId) {
        let frame = self.frame(b'i', 0);
        self.out.ping(id, Rc::clone(&frame));
        if !self.peers[&id].has_left {
            self.peer(id).ping = Some(frame);
        }
    }

    fn pong(&mut self, id: PeerId) {
        let frame = self.any_frame(b'o');
        self.out.pong(id, Rc::clone(&frame));
        if !self.peers[&id].has_left {
            self.peer(id).pong = Some(frame);
        }
    }

    fn leave(&mut self, id: PeerId) {
        let close = if self.random.once_in(3) { None } else { Some(self.frame(b'c', 2)) };
        self.out.finish(id, close.clone());
        let peer = self.peer(id);
        if !peer.has_left {
            peer.has_left = true;
            peer.items.extend(close.map(Item::plain));
            self.announce_left(id);
        }
    }

    fn announce_left(&mut self, id: PeerId) {
        if let Some(at) = self.peers[&id].room
            && !self.readers(at).is_empty()
        {
            self.announce(at);
        }
    }

    fn dismiss(&mut self, id: PeerId) {
        if !self.peers[&id].has_left {
            let close = self.frame(b'd', 6);
            self.out.dismiss(id, Rc::clone(&close));
            let mut frames = self.frames;
            self.peer(id).dismiss(close, &mut frames);
            self.frames = frames;
            self.tried.dismissed += 1;
            self.announce_left(id);
        }
    }

    fn close(&mut self, id: PeerId) {
        self.out.close(id);
        let peer = self.peers.remove(&id).expect("it was open");
        self.frames.gone += peer.lag().frames;
        self.free_slots.push(u32::try_from(id.slot()).expect("there are few"));
        self.gone.push(id);
    }

    fn unblock(&mut self, id: PeerId) {
        self.out.set_blocked(id, false);
        let peer = self.peer(id);
        (peer.is_blocked, peer.must_be_dismissed) = (false, false);
    }

    /// What is gone is found no more, and nothing else is found in its place.
    fn use_what_is_gone(&mut self) {
        (0..3).for_each(|at| self.forget_closed(at));
        if let Some(id) = self.random.one_of(&self.gone) {
            let frame = self.frame(b'x', 5);
            match self.random.below(11) {
                0 => self.out.tell(id, frame, 0),
                1 => self.out.ping(id, frame),
                2 => self.out.pong(id, frame),
                3 => self.out.finish(id, Some(frame)),
                4 => self.out.dismiss(id, frame),
                5 => self.out.begin(id, frame),
                6 => self.out.defer(id),
                7 => self.out.close(id),
                8 => self.out.set_blocked(id, true),
                9 => self.out.set_blocked(id, false),
                _ => self.out.handle_sent(id, 0),
            }
            assert_eq!(self.out.transmit(id, &mut [IoSlice::new(&[])]), 0);
            assert!(self.out.is_finished(id) && !self.out.must_write_first(id));
        }
        if let Some(key) = self.random.one_of(&self.gone_keys) {
            match self.random.below(5) {
                0 => self.out.append(key, b"stale", Kind::Text),
                1 => self.out.owe(key),
                2 => self.out.forget_block(key, 1),
                3 => self.out.render(key, Block::new(0..8)),
                _ => self.with_any(|world, id| {
                    world.out.park(id, key, false);
                    world.due.push_back(id);
                }),
            }
            assert!(!self.out.is_open(key) && self.out.readers(key).is_empty());
            assert!(!self.out.is_gated(key) && !self.out.is_busy(key));
            assert_eq!(self.out.replayed_from(key), None);
        }
    }

    // --- what is to be done

    /// Does the next thing, if there is one.
    fn poll(&mut self, is_generous: bool) -> bool {
        let is_due = self.out.poll_timeout().is_some_and(|at_ms| at_ms <= self.now_ms);
        let Some(next) = self.out.poll(self.now_ms) else {
            self.check_rest();
            return false;
        };
        assert!(is_due, "{next:?} was not announced");
        match next {
            Next::Write(id) => {
                self.render(id);
                // Where no record is left to replay there may be nothing to write.
                if self.has_bytes(id) || !self.peers[&id].ends_in_gap {
                    self.write(id, is_generous);
                }
            }
            Next::TooSlow(id) => {
                let peer = &self.peers[&id];
                let lag = if peer.has_left { peer.said_since } else { peer.lag() };
                assert!(peer.is_blocked, "{id}: who is not blocked does not lag");
                assert!(
                    lag.frames > self.queue.frames || lag.bytes > self.queue.bytes,
                    "{id} is within its queue: {lag:?}"
                );
                self.tried.too_slow += 1;
                if peer.has_left {
                    self.close(id);
                } else {
                    self.dismiss(id);
                }
            }
            Next::Woken(id) if self.due.front() == Some(&id) => {
                self.due.pop_front();
            }
            Next::Woken(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    // It may have been deferred again before it is told of the first time.
                    assert!(peer.defers > 0, "{id} is woken for nothing");
                    (peer.is_deferred, peer.defers) = (false, peer.defers - 1);
                } else {
                    assert!(self.gone.contains(&id));
                }
            }
            Next::Finished(id) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    assert!(peer.is_finished(), "{id} has not all");
                    assert!(!peer.was_finished, "{id} is finished again");
                    peer.was_finished = true;
                } else {
                    assert!(self.gone.contains(&id));
                }
            }
            Next::Channel(key, owner) => {
                self.handle_channel(key, owner);
                if let Owner::PassBegins(_) = owner {
                    // What is owed after this is for the next pass, so the pass begins first.
                    return self.poll(is_generous);
                }
            }
        }
        true
    }

    fn write(&mut self, id: PeerId, is_generous: bool) {
        self.renders_in_a_row = 0;
        let peer = &self.peers[&id];
        assert!(!peer.is_blocked, "{id} is blocked");
        let slices_max = if self.random.once_in(4) { 1 + self.random.below(3) } else { 1_000 };
        let mut slices = vec![IoSlice::new(&[]); slices_max];
        let count = self.out.transmit(id, &mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(slices[..count].iter().all(|slice| !slice.is_empty()), "no empty slices");
        drop(slices);
        assert!(!bytes.is_empty(), "{id} has nothing to write");
        let wanted = peer.wanted();
        assert!(wanted.starts_with(&bytes), "{id} wants {peer:?}, gets {}", text(&bytes));
        let whole = match peer.next_replayed() {
            // Up to the end of this block; those after it may not be rendered yet.
            Some(id) => wanted.len() - peer.len_after(id - id % BLOCK_IDS + BLOCK_IDS),
            None => wanted.len(),
        };
        assert!(count == slices_max || bytes.len() >= whole, "{id}: a write is all that can be");
        let taken = match self.random.below(3) {
            _ if is_generous => bytes.len(),
            _ if peer.is_stuck => 0,
            0 => self.random.below(bytes.len() + 1),
            _ => bytes.len(),
        };
        if taken > 0 {
            self.out.handle_sent(id, taken);
            let mut frames = self.frames;
            self.peer(id).handle_sent(taken, &mut frames);
            self.frames = frames;
        }
        let is_short = taken < bytes.len();
        // A short write need not mean that the socket is full, and a whole one may fill it.
        if taken == 0
            || (is_short && self.random.once_in(2))
            || (!is_generous && self.random.once_in(9))
        {
            self.out.set_blocked(id, true);
            self.peer(id).is_blocked = true;
        }
    }

    fn handle_channel(&mut self, key: ChannelKey, owner: Owner) {
        let (Owner::PassBegins(at) | Owner::PassEnded(at)) = owner;
        let at = at as usize;
        assert_eq!(self.rooms[at].key, Some(key), "{owner:?}: the owner has this channel");
        match owner {
            Owner::PassBegins(_) => {
                assert!(!std::mem::replace(&mut self.rooms[at].is_in_pass, true));
                if self.rooms[at].owes_since_ms.take().is_some() {
                    let frame = self.frame(b'n', 1);
                    self.append(at, &frame, Kind::News);
                }
            }
            Owner::PassEnded(_) => {
                assert!(std::mem::replace(&mut self.rooms[at].is_in_pass, false));
                // Where half a queue was said during the pass, the next one opens the gate.
                if !self.out.is_gated(key) {
                    self.due.extend(std::mem::take(&mut self.rooms[at].parked));
                }
                for id in self.readers(at) {
                    let Counted { frames, bytes } = self.peers[&id].lag();
                    let exceeds = frames > self.queue.frames || bytes > self.queue.bytes;
                    let peer = self.peer(id);
                    peer.must_be_dismissed |= exceeds && peer.is_blocked;
                }
                self.forget_closed(at);
                if self.random.once_in(9)
                    && self.rooms[at].key.is_some_and(|key| !self.out.is_gated(key))
                {
                    let frame = self.frame(b'n', 2);
                    self.append(at, &frame, Kind::News);
                }
            }
        }
    }

    fn has_bytes(&self, id: PeerId) -> bool {
        self.out.transmit(id, &mut [IoSlice::new(&[])]) > 0
    }

    /// Renders what a reader replays next, as its owner does before it is written to.
    fn render(&mut self, id: PeerId) {
        let mut rendered = 0;
        while let Some((key, at, from)) = self.out.missing(id) {
            self.tried.rendered += 1;
            rendered += 1;
            assert!(rendered < 500, "it renders for ever");
            let first = from - from % BLOCK_IDS;
            let mut block = Block::new(first..first + BLOCK_IDS);
            for (&id, frame) in self.rooms[at as usize].records.range(first..first + BLOCK_IDS) {
                block.push(id, frame);
            }
            self.out.render(key, block);
        }
    }

    // --- what must hold

    /// What must hold at any time.
    pub(crate) fn check(&self) {
        self.out.check_invariants();
        assert_eq!(self.out.frames(), self.frames, "each frame is counted once");
        for (&id, peer) in &self.peers {
            let is_finished = self.out.is_finished(id);
            assert!(
                is_finished == peer.is_finished() || (!is_finished && peer.ends_in_gap),
                "{id} is finished: {is_finished}"
            );
            let is_deaf = peer.must_write_first(self.thresholds.unicasts);
            assert_eq!(self.out.must_write_first(id), is_deaf, "{id} must write first");
        }
        for (at, room) in self.rooms.iter().enumerate() {
            let Some(key) = room.key else { continue };
            let readers: BTreeSet<PeerId> = self.out.readers(key).iter().copied().collect();
            assert_eq!(readers, self.readers(at).into_iter().collect(), "readers of room {at}");
            for peer in self.peers.values().filter(|peer| peer.room == Some(at)) {
                let from = self.out.replayed_from(key);
                assert!(
                    peer.next_replayed().is_none_or(|id| from.is_some_and(|from| from <= id)),
                    "what is still to be replayed is kept"
                );
            }
        }
    }

    /// What must hold when there is nothing to do at present.
    fn check_rest(&mut self) {
        (0..self.rooms.len()).for_each(|at| self.forget_closed(at));
        assert!(self.due.is_empty(), "all who were parked have been woken");
        let timeout = self.out.poll_timeout();
        assert!(timeout.is_none_or(|at_ms| at_ms > self.now_ms), "nothing is due");
        for (&id, peer) in &self.peers {
            let is_deaf = peer.must_write_first(self.thresholds.unicasts) && !peer.has_left;
            assert!(!peer.is_deferred || is_deaf, "{id} was deferred and is not woken");
            assert!(
                peer.was_finished == peer.is_finished() || (peer.is_blocked && peer.ends_in_gap),
                "{id} is told of"
            );
            assert!(
                !peer.must_be_dismissed || peer.has_left || !peer.is_blocked,
                "{id} was beyond its queue when a pass ended"
            );
            let Counted { frames, bytes } = peer.said_since;
            assert!(
                !peer.is_stuck
                    || peer.next_replayed().is_none()
                    || timeout.is_some()
                    || (frames <= self.queue.frames && bytes <= self.queue.bytes),
                "{id} has left, and records are kept for it"
            );
        }
        for peer in self.peers.values_mut() {
            peer.must_be_dismissed = false;
        }
        let (mut is_held, mut least, mut most) = (false, Depth::default(), Depth::default());
        for (&id, peer) in &self.peers {
            let Counted { frames, bytes } = peer.lag();
            if peer.is_blocked {
                // Who has left may be in no channel any more, and is not counted then.
                for depth in [&mut least, &mut most].into_iter().skip(peer.has_left.into()) {
                    depth.max.frames = depth.max.frames.max(frames);
                    depth.max.bytes = depth.max.bytes.max(bytes);
                    depth.sum.frames += frames;
                    depth.sum.bytes += bytes;
                }
                continue;
            }
            assert!(!peer.has_own(), "{id} waits for what is for it alone: {peer:?}");
            let Some(first) = peer.items.front() else { continue };
            // What is left is news that are held.
            is_held = true;
            assert!(!peer.has_left, "{id} leaves, and nothing is held for it");
            let is_text = |item: &Item| matches!(item.class, Class::Live { is_text: true, .. });
            assert!(!peer.items.iter().any(is_text), "{id} waits for a message");
            let is_due_by = first.said_ms + self.thresholds.news_ms;
            assert!(timeout.is_some_and(|at_ms| at_ms <= is_due_by), "{id} waits too long");
            assert!(
                frames * 4 < self.queue.frames && bytes * 4 < self.queue.bytes,
                "{id} waits for so much: {frames} frames, {bytes} bytes"
            );
        }
        for room in &self.rooms {
            assert!(room.parked.is_empty(), "nobody waits where no pass is");
            assert!(!room.is_in_pass, "each pass ends");
            if let Some(since_ms) = room.owes_since_ms {
                is_held = true;
                let is_due_by = since_ms + self.thresholds.news_ms;
                assert!(timeout.is_some_and(|at_ms| at_ms <= is_due_by), "it owes too long");
            }
            if let (Some(key), None) = (room.key, timeout) {
                assert!(!self.out.is_gated(key) && !self.out.is_busy(key), "all is offered");
            }
        }
        self.tried.held += usize::from(is_held);
        if !is_held {
            let depth = self.out.depth();
            for of in [|depth: Depth| depth.max, |depth: Depth| depth.sum] {
                let (least, depth, most) = (of(least), of(depth), of(most));
                assert!((least.frames..=most.frames).contains(&depth.frames), "{depth:?}");
                assert!((least.bytes..=most.bytes).contains(&depth.bytes), "{depth:?}");
            }
        }
    }

    /// Every socket takes everything, and time passes: everybody has all, and nothing is left.
    pub(crate) fn finish(&mut self) {
        for _ in 0..4 {
            self.ids().into_iter().for_each(|id| self.unblock(id));
            self.rest();
            self.now_ms += self.thresholds.news_ms;
        }
        self.rest();
        assert_eq!(self.out.poll_timeout(), None, "it comes to rest");
        for (id, peer) in &self.peers {
            assert!(peer.has_all(), "{id} still wants {peer:?}");
        }
        assert_eq!(self.out.depth(), Depth::default());
        let Frames { sent, too_slow, gone } = self.frames;
        assert_eq!(sent + too_slow + gone, self.expected, "each frame is counted once");
        for room in &self.rooms {
            let from = room.key.and_then(|key| self.out.replayed_from(key));
            assert_eq!(from, None, "nobody replays");
        }
        self.ids().into_iter().for_each(|id| self.close(id));
        self.now_ms += self.thresholds.news_ms;
        self.rest();
        for room in &self.rooms {
            assert!(
                !room.key.is_some_and(|key| self.out.is_open(key)),
                "nobody reads it {:?}",
                self.out
            );
        }
    }

    fn rest(&mut self) {
        for _ in 0..POLLS_MAX {
            if !self.poll(true) {
                return;
            }
            self.check();
        }
        panic!("it never comes to rest");
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
