//! The server, its clients and the network between them.

use std::io::IoSlice;

use hallway::clock::Now;
use hallway::hub::PeerId;
use hallway::limits::{Limits, WRITE_SLICES_MAX};
use hallway::server::{Output, Server};

use super::action::{Action, Kind};
use super::client::{Client, TEMPERS, Temper};
use super::heap::held;
use super::random::Random;

const ROOMS: usize = 3;

/// Turns after which deadlines that are due must be met: a full turn puts them off.
const TURNS_MAX: usize = 100;

pub(crate) struct World {
    server: Server,
    /// Bytes of heap that the server holds, and that it held when it was new.
    pub(crate) held: usize,
    pub(crate) held_when_new: usize,
    pub(crate) limits: Limits,
    pub(crate) now: Now,
    /// The last ones are observers, one in each room, who read everything at once: what they
    /// have seen is the order of their rooms.
    pub(crate) clients: Vec<Client>,
    /// Which slots have a connection.
    slots: Vec<bool>,
    /// Connections that are gone.
    ghosts: Vec<PeerId>,
    pub(crate) is_draining: bool,
}

impl World {
    pub(crate) fn new(seed: u64, clients: usize) -> Self {
        let mut random = Random::new(seed);
        let limits = limits(&mut random, clients);
        limits.check().expect("coherent limits");
        let before = held();
        let server = Server::new(limits.clone());
        let held = held().wrapping_sub(before);
        let mut world = Self {
            server,
            held,
            held_when_new: held,
            limits,
            now: Now { mono_ms: 1, unix_ms: 1_700_000_000_000, utc_offset_s: 0 },
            clients: (0..clients).map(|number| any_client(number, &mut random)).collect(),
            slots: Vec::new(),
            ghosts: Vec::new(),
            is_draining: false,
        };
        for room in 0..ROOMS {
            let observer = Client::new(format!("o{room}"), Temper::Healthy, true, room);
            world.clients.push(observer);
            world.connect(clients + room);
            world.arrive_all(clients + room);
            world.turn();
        }
        world
    }

    pub(crate) fn act(&mut self, Action { kind, who, how }: Action) {
        let mut random = Random::new(how);
        match kind {
            Kind::Connect => self.connect(who),
            Kind::Say => self.say(who, &mut random),
            Kind::Arrive => self.arrive(who, random.below(200)),
            Kind::Read => self.read(who, random.below(400)),
            Kind::Turn => self.turn(),
            Kind::Typing if self.clients[who].is_second => {
                self.frame(who, 0x81, br#"{"type":"typing"}"#, &mut random);
            }
            Kind::Typing => {}
            Kind::Ping => self.frame(who, 0x89, b"?", &mut random),
            Kind::Close => {
                self.frame(who, 0x88, b"\x03\xe8", &mut random);
                self.clients[who].connection.is_leaving = true;
            }
            Kind::Eof => self.eof(who),
            Kind::Reset => self.reset(who, &mut random),
            Kind::Vanish => self.vanish(who),
            Kind::Misbehave => self.misbehave(who, &mut random),
            Kind::Ghost => self.haunt(&mut random),
            Kind::Time => self.advance(random.one_of(&[10, 1_000, 11_000, 40_000])),
        }
        self.check_step();
    }

    /// Lets everything arrive and be read by all who read, and checks that they know all.
    pub(crate) fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let is_quiet = self.clients.iter().all(|client| client.connection.sending.is_empty());
            (0..self.clients.len()).for_each(|who| self.arrive_all(who));
            self.turn();
            if is_quiet && !self.server.has_output() {
                return self.check_settled();
            }
        }
        panic!("it never comes to rest");
    }

    /// Says goodbye to all; five seconds later it may end.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        let members: Vec<usize> =
            (0..self.clients.len()).filter(|&who| self.clients[who].is_member()).collect();
        let now = self.now;
        self.serve(|server| server.drain(now));
        self.turn();
        self.check_goodbye(&members);
        self.advance(5_000);
        let now = self.now;
        assert!(self.serve(|server| server.is_drained(now)), "the drain has an end");
    }

    /// Everybody goes.
    pub(crate) fn leave_all(&mut self) {
        for who in 0..self.clients.len() {
            self.drop_connection(who);
        }
        self.turn();
        self.check_empty();
    }

    /// Has the server do something, and counts the memory that it takes or gives back.
    pub(crate) fn serve<T>(&mut self, call: impl FnOnce(&mut Server) -> T) -> T {
        let before = held();
        let outcome = call(&mut self.server);
        self.held = self.held.wrapping_add(held()).wrapping_sub(before);
        outcome
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The client in whose room order this one takes part.
    pub(crate) fn observer(&self, room: usize) -> &Client {
        &self.clients[self.clients.len() - ROOMS + room]
    }

    pub(crate) fn is_observer(&self, who: usize) -> bool {
        who >= self.clients.len() - ROOMS
    }

    fn connect(&mut self, who: usize) {
        if self.clients[who].connection.peer.is_some() {
            return;
        }
        // The lowest free slot, as a slab gives it out: slots are used again at once.
        let free = self.slots.iter().position(|is_taken| !is_taken);
        let slot = free.unwrap_or(self.slots.len());
        let (number, now) = (u32::try_from(slot).expect("few slots"), self.now);
        let Some(peer) = self.serve(|server| server.accept(number, None, now)) else { return };
        if slot == self.slots.len() {
            self.slots.push(false);
        }
        self.slots[slot] = true;
        self.clients[who].connect(peer);
    }

    fn say(&mut self, who: usize, random: &mut Random) {
        if self.clients[who].is_member() && self.clients[who].connection.vanished_ms.is_none() {
            (0..=random.below(3)).for_each(|_| self.clients[who].say(random));
        }
    }

    fn frame(&mut self, who: usize, first: u8, payload: &[u8], random: &mut Random) {
        if self.clients[who].is_member() {
            self.clients[who].frame(first, payload, random);
        }
    }

    fn misbehave(&mut self, who: usize, random: &mut Random) {
        let client = &mut self.clients[who];
        if client.temper != Temper::Malicious || client.connection.peer.is_none() {
            return;
        }
        match random.below(6) {
            0 => client.frame(0x81, b"no JSON", random),
            1 => client.frame(0x82, b"binary", random),
            2 => client.frame(0xf1, b"reserved bits", random),
            3 => client.frame(0x81, b"\xff", random),
            4 => client.frame(0x01, b"never finished", random),
            _ => {
                let noise = (0..random.below(100)).map(|_| random.next().to_be_bytes()[0]);
                client.connection.sending.extend(noise);
            }
        }
    }

    fn arrive_all(&mut self, who: usize) {
        while !self.clients[who].connection.sending.is_empty() {
            self.arrive(who, usize::MAX);
        }
    }

    /// Hands the server a segment of what a client has sent.
    fn arrive(&mut self, who: usize, len: usize) {
        let (now, joined) = (self.now, self.server.counters().joined);
        let client = &mut self.clients[who];
        let connection = &mut client.connection;
        let Some(peer) = connection.peer.filter(|_| connection.vanished_ms.is_none()) else {
            return connection.sending.clear();
        };
        let len = if client.temper == Temper::Dribbling { 1 } else { len };
        let len = len.min(connection.sending.len());
        let mut segment: Vec<u8> = connection.sending.iter().take(len).copied().collect();
        let taken = self.serve(|server| server.handle_input(peer, &mut segment, now));
        self.clients[who].connection.sending.drain(..taken);
        assert!(taken == len || self.server.has_output(), "what is not taken waits for outputs");
        if self.server.counters().joined > joined {
            self.note_joined(who);
        } else if taken < len {
            self.turn();
        }
    }

    /// Notes how much the room had said when somebody joined.
    fn note_joined(&mut self, who: usize) {
        // What this turn has said so far is in the replay already, and the observer has it only
        // after the outputs.
        self.turn();
        let room = self.clients[who].room;
        let told = self.observer(room).connection.seen.len();
        self.clients[who].connection.joined_at = Some(told);
    }

    fn read(&mut self, who: usize, len: usize) {
        let client = &mut self.clients[who];
        if !client.reads() {
            return;
        }
        client.read(len);
        let connection = &mut client.connection;
        if connection.is_blocked && connection.receiving.len() < client.socket_bytes {
            connection.is_blocked = false;
            if let Some(peer) = connection.peer {
                self.serve(|server| server.handle_writable(peer));
            }
        }
    }

    fn reset(&mut self, who: usize, random: &mut Random) {
        // Healthy clients are there to see everything, so they lose their connection less often.
        if self.clients[who].temper != Temper::Healthy || random.below(4) == 0 {
            self.drop_connection(who);
        }
    }

    fn drop_connection(&mut self, who: usize) {
        let now = self.now;
        if let Some(peer) = self.clients[who].connection.peer {
            self.clients[who].connection.is_leaving = true;
            self.serve(|server| server.handle_closed(peer, now));
        }
    }

    fn eof(&mut self, who: usize) {
        let (now, client) = (self.now, &mut self.clients[who]);
        if client.temper != Temper::Healthy
            && let Some(peer) = client.connection.peer
        {
            client.connection.is_leaving = true;
            client.connection.sending.clear();
            self.serve(|server| server.handle_eof(peer, now));
        }
    }

    fn vanish(&mut self, who: usize) {
        let now = self.now;
        let connection = &mut self.clients[who].connection;
        if connection.peer.is_some() {
            connection.vanished_ms.get_or_insert(now.mono_ms);
            connection.sending.clear();
        }
    }

    /// Every event that a poll may still bring, for a connection that is gone.
    fn haunt(&mut self, random: &mut Random) {
        if self.ghosts.is_empty() {
            return;
        }
        let (now, ghost) = (self.now, random.one_of(&self.ghosts));
        let mut ghostly = Client::new("ghost".to_owned(), Temper::Healthy, false, 0);
        ghostly.say(random);
        let mut bytes: Vec<u8> = ghostly.connection.sending.into();
        self.serve(|server| {
            server.handle_input(ghost, &mut bytes, now);
            server.handle_writable(ghost);
            server.handle_eof(ghost, now);
            server.handle_closed(ghost, now);
        });
    }

    fn advance(&mut self, ms: u64) {
        for step in [ms / 2, ms - ms / 2] {
            self.now.mono_ms += step;
            // The wall clock jumps; only what people read may show it.
            self.now.unix_ms -= i64::try_from(step).expect("a short time");
            // Who reads answers pings, so that only the others are silent.
            for who in 0..self.clients.len() {
                if self.clients[who].reads() {
                    self.frame(who, 0x8a, b"", &mut Random::new(step));
                    self.arrive_all(who);
                }
            }
            self.turn();
        }
        self.check_vanished();
    }

    /// The rest of a turn of the reactor.
    fn turn(&mut self) {
        let now = self.now;
        for _ in 0..TURNS_MAX {
            self.serve(|server| server.handle_timeout(now));
            while let Some(output) = self.serve(|server| server.poll_output(now)) {
                match output {
                    Output::Transmit(peer) => self.write(peer),
                    Output::Close(peer) => self.close(peer),
                }
            }
            if self.server.poll_timeout().is_none_or(|at| at > now.mono_ms) {
                break;
            }
        }
        for client in self.clients.iter_mut().filter(|client| client.reads_all()) {
            client.read(usize::MAX);
        }
        self.check_turn();
    }

    fn find(&mut self, peer: PeerId) -> &mut Client {
        let found = self.clients.iter_mut().find(|client| client.connection.peer == Some(peer));
        found.expect("outputs are for connections that are there")
    }

    /// Writes to a socket as much as it takes.
    fn write(&mut self, peer: PeerId) {
        let client = self.find(peer);
        let room = client.socket_bytes.saturating_sub(client.connection.receiving.len());
        let mut bytes = self.transmit(peer);
        let is_all = bytes.len() <= room;
        bytes.truncate(room);
        let connection = &mut self.find(peer).connection;
        connection.is_blocked = !is_all;
        connection.receiving.extend(&bytes);
        self.serve(|server| {
            server.handle_sent(peer, bytes.len());
            match is_all {
                true => server.handle_postponed(peer),
                false => server.handle_blocked(peer),
            }
        });
    }

    fn transmit(&mut self, peer: PeerId) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let before = held();
        let count = self.server.transmit(peer, &mut slices);
        self.held = self.held.wrapping_add(held()).wrapping_sub(before);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn close(&mut self, peer: PeerId) {
        self.slots[peer.slot()] = false;
        self.ghosts.push(peer);
        let client = self.find(peer);
        // What is in the socket's buffer still arrives.
        if client.reads() {
            client.read(usize::MAX);
        }
        client.connection.peer = None;
        client.connection.sending.clear();
        client.connection.receiving.clear();
    }
}

fn limits(random: &mut Random, clients: usize) -> Limits {
    Limits {
        history_frames_max: random.one_of(&[0, 3, 100]),
        queue_frames_max: random.one_of(&[8, 16, 256]),
        queue_bytes_max: 64 * 1024,
        text_bytes_max: 64,
        message_bytes_max: 1024,
        rate_per_second: random.one_of(&[0, 20]),
        burst: 10,
        announce_up_to: random.one_of(&[0, 5, 1000]),
        // Somebody has to wait outside.
        peers_max: u32::try_from(clients).expect("hundreds") - 4,
        ..Limits::default()
    }
}

fn any_client(number: usize, random: &mut Random) -> Client {
    let temper = random.one_of(&TEMPERS);
    let (is_second, room) = (random.below(2) == 0, random.below(ROOMS));
    let mut client = Client::new(format!("u{number}"), temper, is_second, room);
    if matches!(temper, Temper::Slow | Temper::Stalled) {
        client.socket_bytes = 200 + random.below(2_000);
    }
    client
}
