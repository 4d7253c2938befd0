//! The server and its clients: what happens to whom.

use std::net::{IpAddr, Ipv4Addr};

use hallway::chat::Setup;
use hallway::clock::Now;
use hallway::limits::{JOINS_PERIOD_MS, Limits, REFUSALS_MAX};
use hallway::outbound::Thresholds;
use hallway::peer::PeerId;
use testkit::Driver;

use super::action::{Action, Kind};
use super::client::{Client, TEMPERS, Temper};
use super::ledger::Ledger;
use super::random::Random;

pub(crate) const ROOMS: usize = 3;

/// Addresses that clients come from, by their number.
pub(crate) const ADDRESSES: usize = 8;

/// Times that pass, in milliseconds: while news are held, between two iterations, and beyond each
/// deadline.
const TIMES_MS: [u64; 8] = [10, 10, 100, 1_000, 1_000, 4_000, 11_000, 80_000];

/// How long the process is stopped, in milliseconds.
const STOPS_MS: [u64; 2] = [60_000, 600_000];

/// How far the wall clock jumps, in milliseconds: back, by a year, and before 1970.
const WALL_JUMPS_MS: [i64; 4] = [0, -3_600_000, 31_536_000_000, -4_000_000_000_000];

/// Seconds in which all that was sent too fast is read.
const SETTLE_S_MAX: usize = 2_000;

/// Chat messages that somebody says at once: more than the gate of most rooms lets through.
const MANY_TEXTS: usize = 40;

/// How many connect and lose their connection at once.
const MANY_CONNECTS: usize = 8;
const MANY_RESETS: usize = 40;

/// Every threshold so small that a few clients cross it.
const TINY: Thresholds = Thresholds {
    crowd: 3,
    news_ms: 20,
    quantum_readers: 2,
    quantum_bytes: 200,
    unicasts: 2,
    replay_bytes: 300,
};

pub(crate) struct World {
    pub(crate) driver: Driver,
    /// Bytes of heap that the server held when it was new.
    pub(crate) held_when_new: usize,
    pub(crate) limits: Limits,
    pub(crate) thresholds: Thresholds,
    /// The last ones are observers, one in each room, who read everything at once: what they
    /// have seen is the order of their rooms.
    pub(crate) clients: Vec<Client>,
    /// How many are no observers.
    ordinary: usize,
    /// Who has the connection of each slot.
    pub(crate) slots: Vec<Option<usize>>,
    /// Connections that are gone.
    pub(crate) ghosts: Vec<PeerId>,
    pub(crate) is_draining: bool,
    /// How much of each room's order the model has looked at, and the number of the last message
    /// of each client in it.
    pub(crate) told: [usize; ROOMS],
    pub(crate) heard: Vec<usize>,
    /// What must add up.
    pub(crate) ledger: Ledger,
}

impl World {
    pub(crate) fn new(seed: u64, clients: usize) -> Self {
        let mut random = Random::new(seed);
        let limits = limits(&mut random, clients);
        let is_tiny = random.below(2) == 0;
        let thresholds = if is_tiny { TINY } else { Thresholds::default() };
        let limits = if is_tiny { tiny(&mut random, limits) } else { limits };
        let mut driver =
            Driver::chat(Setup { limits: limits.clone(), thresholds, ..Setup::default() });
        driver.now = Now { mono_ms: 1, unix_ms: 1_700_000_000_000, utc_offset_s: 0 };
        let mut world = Self {
            held_when_new: driver.held,
            driver,
            limits,
            thresholds,
            clients: ordinary(seed, clients),
            ordinary: clients,
            told: [0; ROOMS],
            heard: vec![0; clients + ROOMS],
            slots: Vec::new(),
            ghosts: Vec::new(),
            is_draining: false,
            ledger: Ledger::default(),
        };
        let observer = |room| Client::new(clients + room, Temper::Healthy, true, room);
        world.clients.extend((0..ROOMS).map(observer));
        for who in clients..clients + ROOMS {
            world.connect(who, &mut random);
            world.arrive_all(who);
        }
        world
    }

    pub(crate) fn act(&mut self, Action { kind, who, how }: Action) {
        let mut random = Random::new(how);
        match kind {
            Kind::Connect => self.connect(who, &mut random),
            Kind::ConnectMany => self.connect_many(who, &mut random),
            Kind::Say => {
                let texts = 1 + random.below(3);
                self.say(who, texts, &mut random);
            }
            Kind::SayMany => self.say_at_once(who, &mut random),
            Kind::Arrive => self.arrive(who, random.below(200)),
            Kind::Read => self.read(who, random.below(400)),
            Kind::Iterate => self.iterate(),
            Kind::Outputs => {
                self.act_on_outputs(random.below(6));
            }
            Kind::Typing if self.clients[who].is_v2 => {
                self.frame(who, 0x81, br#"{"type":"typing"}"#, &mut random);
            }
            Kind::Typing => {}
            Kind::Ping => self.frame(who, 0x89, b"?", &mut random),
            Kind::Close => {
                self.frame(who, 0x88, b"\x03\xe8", &mut random);
                self.clients[who].connection.is_leaving = true;
            }
            Kind::Eof if self.clients[who].temper != Temper::Healthy => self.eof(who),
            // Healthy clients are there to see everything, so they lose their connection less
            // often.
            Kind::Reset if self.is_healthy(who) && random.below(4) > 0 => {}
            Kind::Reset => self.drop_connection(who),
            Kind::ResetMany => {
                let last = (who + MANY_RESETS).min(self.ordinary);
                (who..last).for_each(|who| self.drop_connection(who));
            }
            Kind::Break if !self.is_healthy(who) => self.break_connection(who),
            Kind::Vanish if self.clients[who].temper == Temper::Vanishing => self.vanish(who),
            Kind::Misbehave => self.misbehave(who, &mut random),
            Kind::Flood => self.flood(who, &mut random),
            Kind::Ghost => self.haunt(&mut random),
            Kind::Time => self.advance(&mut random),
            Kind::Stop => self.stop(random.one_of(&STOPS_MS)),
            Kind::Eof | Kind::Break | Kind::Vanish => {}
        }
        self.check_step();
    }

    /// Lets everything arrive and be read by all who read, and checks that they know all.
    pub(crate) fn settle(&mut self) {
        loop {
            let is_quiet = self.clients.iter().all(|client| client.connection.sending.is_empty());
            (0..self.clients.len()).for_each(|who| self.arrive_all(who));
            self.iterate();
            if is_quiet {
                break;
            }
        }
        // What was sent too fast is read.
        for _ in 0..SETTLE_S_MAX {
            if !(0..self.clients.len()).any(|who| self.is_waiting(who)) {
                break;
            }
            self.pass(1_000);
        }
        // What is held is told.
        self.pass(self.thresholds.news_ms);
        self.check_settled();
    }

    /// Whether something that a client has sent is yet to be read, though it reads what comes.
    fn is_waiting(&self, who: usize) -> bool {
        let client = &self.clients[who];
        let socket = client.connection.peer.and_then(|peer| self.driver.socket(peer));
        client.reads_all() && socket.is_some_and(|socket| !socket.unread.is_empty())
    }

    /// Says goodbye to all, while some of them are still talking; five seconds later it may end.
    pub(crate) fn drain(&mut self) {
        (0..self.clients.len()).for_each(|who| self.arrive(who, 300));
        self.is_draining = true;
        let members: Vec<usize> =
            (0..self.clients.len()).filter(|&who| self.clients[who].is_member()).collect();
        self.watch(None, |driver| driver.serve(hallway::conn::Connections::drain));
        self.iterate();
        self.check_goodbye(&members);
        self.check_is_shut();
        self.pass(5_000);
        assert!(self.driver.server.is_drained(self.driver.now), "the drain has an end");
    }

    /// Somebody comes who finds the door shut.
    fn check_is_shut(&mut self) {
        self.drop_connection(0);
        self.iterate();
        self.clients[0].temper = Temper::Healthy;
        self.connect(0, &mut Random::new(0));
        self.arrive_all(0);
        self.iterate();
        let Client { name, connection, .. } = &self.clients[0];
        assert_eq!(connection.status, Some(503), "{name} comes too late");
    }

    /// Everybody goes, and the server is as it was: somebody from each address finds the door open.
    pub(crate) fn leave_all(&mut self) {
        self.empty();
        if !self.is_draining {
            // Each address may join again.
            self.pass(JOINS_PERIOD_MS);
            (0..ADDRESSES).for_each(|who| self.come_again(who));
            self.empty();
        }
    }

    fn empty(&mut self) {
        (0..self.clients.len()).for_each(|who| self.drop_connection(who));
        self.iterate();
        self.check_empty();
    }

    fn come_again(&mut self, who: usize) {
        self.clients[who].temper = Temper::Healthy;
        self.connect(who, &mut Random::new(0));
        self.arrive_all(who);
        self.iterate();
        let Client { name, connection, .. } = &self.clients[who];
        assert_eq!(connection.status, Some(101), "{name} comes in again");
    }

    /// Who has seen all that was said in a room.
    pub(crate) fn observer(&self, room: usize) -> &Client {
        &self.clients[self.ordinary + room]
    }

    /// The number of the address that a client comes from. Nobody is in an observer's way.
    pub(crate) fn address(&self, who: usize) -> Option<usize> {
        (who < self.ordinary).then_some(who % ADDRESSES)
    }

    fn is_healthy(&self, who: usize) -> bool {
        self.clients[who].temper == Temper::Healthy
    }

    pub(crate) fn connect(&mut self, who: usize, random: &mut Random) {
        if self.clients[who].connection.peer.is_some() {
            return;
        }
        let last = |number| u8::try_from(number).expect("few addresses");
        let ip = |number| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last(number)));
        let ip = self.address(who).map(ip);
        let most = (self.limits.peers_max + REFUSALS_MAX) as usize;
        let is_full = self.driver.server.peers().len() >= most;
        let sent_away: Vec<usize> =
            (0..self.clients.len()).filter(|&who| is_full && self.is_sent_away(who)).collect();
        let peer = self.watch(None, |driver| driver.connect(ip));
        if let Some(evicted) = self.driver.closed.last().filter(|_| is_full && peer.is_some()) {
            let evicted = evicted.id;
            self.check_evicted(evicted, who);
            let gone = self.find(evicted);
            self.clients[gone].connection.is_overdue |= sent_away.contains(&gone);
        }
        self.collect_closed();
        let Some(peer) = peer else { return };
        if peer.slot() == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[peer.slot()] = Some(who);
        self.driver.set_capacity(peer, self.clients[who].socket_bytes);
        let now_ms = self.driver.now.mono_ms;
        self.ledger.forget(&self.clients[who].connection);
        let is_announced = self.limits.announce_up_to as usize > self.clients.len();
        let client = &mut self.clients[who];
        client.connect(random);
        let connection = &mut client.connection;
        connection.peer = Some(peer);
        connection.since_ms = now_ms;
        connection.is_announced = is_announced;
        if client.temper == Temper::Malicious && random.below(4) == 0 {
            let connection = &mut client.connection;
            connection.sending.clear();
            connection.is_leaving = true;
            connection.sending.extend(nonsense(random));
        }
    }

    fn connect_many(&mut self, who: usize, random: &mut Random) {
        for who in who..(who + MANY_CONNECTS).min(self.ordinary) {
            self.connect(who, random);
            self.arrive_all(who);
            let speaker = random.below(self.ordinary);
            self.say(speaker, 1, random);
            self.arrive_all(speaker);
            self.act_on_outputs(random.below(4));
        }
    }

    fn say(&mut self, who: usize, texts: usize, random: &mut Random) {
        if self.clients[who].is_member() && self.clients[who].connection.vanished_ms.is_none() {
            (0..texts).for_each(|_| self.clients[who].say(random));
        }
    }

    /// All of it arrives in one segment, and in the middle of other people's.
    fn say_at_once(&mut self, who: usize, random: &mut Random) {
        for who in [who, random.below(self.ordinary)] {
            self.say(who, MANY_TEXTS, random);
            self.arrive_all(who);
        }
    }

    pub(crate) fn frame(&mut self, who: usize, first: u8, payload: &[u8], random: &mut Random) {
        if self.clients[who].is_member() {
            self.clients[who].frame(first, payload, random);
        }
    }

    fn misbehave(&mut self, who: usize, random: &mut Random) {
        let client = &mut self.clients[who];
        if client.temper == Temper::Malicious && client.connection.peer.is_some() {
            client.misbehave(random);
        }
    }

    /// The next malicious member talks too fast, for some seconds.
    fn flood(&mut self, who: usize, random: &mut Random) {
        let is_malicious = |who: &usize| {
            let client = &self.clients[*who];
            client.temper == Temper::Malicious && client.is_member()
        };
        let Some(who) = (who..self.ordinary).find(is_malicious) else { return };
        for _ in 0..4 {
            if self.clients[who].is_member() {
                (0..30).for_each(|_| self.clients[who].say(random));
                self.arrive_all(who);
                self.pass(900);
            }
        }
    }

    fn break_connection(&mut self, who: usize) {
        let connection = &mut self.clients[who].connection;
        connection.is_broken = true;
        if let Some(socket) = connection.peer.and_then(|peer| self.driver.socket_mut(peer)) {
            socket.is_broken = true;
        }
    }

    fn vanish(&mut self, who: usize) {
        let now = self.driver.now;
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
        let ghost = random.one_of(&self.ghosts);
        let mut ghostly = Client::new(usize::MAX, Temper::Healthy, false, 0);
        ghostly.say(random);
        let mut bytes: Vec<u8> = ghostly.connection.sending.into();
        let taken = self.driver.serve(|server, now| {
            let taken = server.handle_input(ghost, &mut bytes, now);
            server.handle_writable(ghost);
            server.handle_blocked(ghost, now);
            server.handle_hang_up(ghost, now);
            server.handle_sent(ghost, 0);
            server.handle_eof(ghost, now);
            server.handle_closed(ghost, now);
            taken as u64
        });
        self.driver.bytes_in += taken;
    }

    fn advance(&mut self, random: &mut Random) {
        self.driver.now.unix_ms += random.one_of(&WALL_JUMPS_MS);
        self.pass(random.one_of(&TIMES_MS));
    }
}

/// What comes in place of a request.
fn nonsense(random: &mut Random) -> Vec<u8> {
    let head = "GET /chat HTTP/1.1\r\nHost: box\r\n";
    match random.below(8) {
        // The first bytes of a TLS handshake.
        0 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        1 => format!("{head}{}\r\n", "X: 1\r\n".repeat(100)).into_bytes(),
        2 => format!("{head}X: {}\r\n\r\n", "a".repeat(9_000)).into_bytes(),
        3 => b"POST /chat HTTP/1.1\r\nHost: box\r\n\r\n".to_vec(),
        4 => b"GET /nowhere HTTP/1.1\r\nHost: box\r\n\r\n".to_vec(),
        5 => head.as_bytes().to_vec(),
        6 => b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n".to_vec(),
        _ => (0..200).map(|_| random.next().to_be_bytes()[0]).collect(),
    }
}

fn limits(random: &mut Random, clients: usize) -> Limits {
    Limits {
        history_frames_max: random.one_of(&[0, 3, 100]),
        queue_frames_max: random.one_of(&[8, 16, 256]),
        queue_bytes_max: random.one_of(&[5 * 1024, 64 * 1024]),
        text_bytes_max: 200,
        message_bytes_max: 1024,
        rate_per_second: random.one_of(&[0, 20]),
        burst: random.one_of(&[1, 8]),
        address_peers: random.one_of(&[1, 2, 20]),
        joins_per_minute: random.one_of(&[0, 2, 300]),
        announce_up_to: random.one_of(&[0, 5, 1000]),
        peers_per_ip_max: random.one_of(&[0, 0, 4]),
        // Somebody may have to wait outside.
        peers_max: u32::try_from(random.one_of(&[clients / 4, clients / 2, clients]) + ROOMS)
            .expect("hundreds"),
        ..Limits::default()
    }
}

/// Limits that tiny thresholds go with: a queue of one or two events.
fn tiny(random: &mut Random, limits: Limits) -> Limits {
    let queue_bytes_max = limits.event_bytes_max() + random.one_of(&[0, 1024, 60 * 1024]);
    let queue_frames_max = random.one_of(&[4, 8]);
    let burst = limits.burst.min(queue_frames_max);
    Limits { queue_frames_max, queue_bytes_max, burst, ..limits }
}

/// The clients of a seed but for the observers, before anything has happened to them.
pub(crate) fn ordinary(seed: u64, count: usize) -> Vec<Client> {
    // Not the numbers that the limits are made of.
    let mut random = Random::new(seed.rotate_left(32) ^ 1);
    (0..count).map(|number| any_client(number, &mut random)).collect()
}

fn any_client(number: usize, random: &mut Random) -> Client {
    let temper = random.one_of(&TEMPERS);
    let (is_v2, room) = (random.below(2) == 0, random.below(ROOMS));
    let mut client = Client::new(number, temper, is_v2, room);
    if matches!(temper, Temper::Slow | Temper::Stalled) || random.below(4) == 0 {
        client.socket_bytes = 200 + random.below(2_000);
    }
    client
}
