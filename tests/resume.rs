//! Resuming, in a server without sockets: who comes back with the last id that it saw gets every
//! message of the room exactly once, as long as the history reaches; where it does not,
//! `complete` is false. What is no resume point gets a whole replay and no more.
//!
//! `RESUME_SEEDS=10000 cargo test --release --test resume` runs as many seeds as one
//! likes; `RESUME_SEED=17` replays one.

#[path = "protocol/people.rs"]
mod people;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use hallway::conn::{Ending, Output};
use hallway::envelope::Version::{V1, V2};
use hallway::limits::Limits;
use people::{People, Who, chat_with_reference, json};
use serde_json::Value;
use testkit::client::masked;

// --- a random life of clients that come back

const SEEDS: u64 = 100;
const STEPS: usize = 500;
const ROOMS: u32 = 3;
const CLIENTS: usize = 8;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// The last message that a client has seen: the life of the room, and the id in it. Id 0 is the
/// position before a room's first message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    epoch: String,
    id: u64,
}

/// A client as docs/protocol.md describes it: it keeps its point, and comes back with it.
struct Client {
    name: String,
    room: u32,
    /// Its present connection.
    who: Option<Who>,
    point: Option<Point>,
    /// With which point it has come, until the welcome says what came of that.
    asked: Option<Point>,
    epoch: String,
    /// The id that must come next; `None` before the welcome.
    next: Option<u64>,
    /// What it has said on its present connection, and the server has not taken yet.
    unheard: VecDeque<String>,
    /// Everything it ever saw, to see that nothing comes twice.
    seen: BTreeSet<(String, u64)>,
    /// What its present and earlier connections told it, for the counts at the end.
    resumed: usize,
    incomplete: usize,
}

impl Client {
    fn new(number: u32) -> Self {
        Self {
            name: format!("c{number}"),
            room: number % ROOMS,
            who: None,
            point: None,
            asked: None,
            epoch: String::new(),
            next: None,
            unheard: VecDeque::new(),
            seen: BTreeSet::new(),
            resumed: 0,
            incomplete: 0,
        }
    }

    /// The server has taken so many more of its messages.
    fn was_heard(&mut self, count: u64, order: &mut Order) {
        let said = order.said.entry(self.room).or_default();
        (0..count).for_each(|_| said.push(self.unheard.pop_front().expect("it was said")));
    }

    fn query(&self) -> String {
        let resume = match &self.point {
            Some(Point { epoch, id }) => format!("&since={id}&epoch={epoch}"),
            None => String::new(),
        };
        format!("username={}&room=r{}{resume}", self.name, self.room)
    }

    fn handle(&mut self, frame: &str, history: u64, order: &mut Order) {
        let frame = json(frame);
        let payload = &frame["payload"];
        match frame["type"].as_str() {
            Some("welcome") => self.handle_welcome(payload, history),
            Some("chatMessage") => self.handle_message(payload, order),
            _ => {}
        }
    }

    /// Works out which message must come next, from what the welcome promises.
    fn handle_welcome(&mut self, payload: &Value, history: u64) {
        let text = |key: &str| payload[key].as_str();
        self.epoch = text("epoch").expect("an epoch").to_owned();
        let last: u64 = text("lastId").map_or(0, |id| id.parse().expect("an id of this server"));
        let oldest = last.saturating_sub(history) + 1;
        let same_life = self.asked.as_ref().filter(|asked| asked.epoch == self.epoch);
        let reached = same_life.filter(|asked| asked.id + 1 >= oldest);
        let is_complete = self.asked.is_none() || reached.is_some();
        assert_eq!(payload["complete"], is_complete, "{}: {:?}, {payload}", self.name, self.asked);
        self.resumed += usize::from(reached.is_some());
        self.incomplete += usize::from(!is_complete);
        self.next = Some(reached.map_or(oldest, |asked| asked.id + 1));
        if last == 0 {
            self.point = Some(Point { epoch: self.epoch.clone(), id: 0 });
        }
    }

    fn handle_message(&mut self, payload: &Value, order: &mut Order) {
        let id = payload["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let message = payload["message"].as_str().expect("a message");
        assert_eq!(Some(id), self.next, "{}: {payload}", self.name);
        self.next = Some(id + 1);
        let is_new = self.seen.insert((self.epoch.clone(), id));
        assert!(is_new, "{} sees {id} of {} twice", self.name, self.epoch);
        order.check(self.room, &self.epoch, id, message);
        self.point = Some(Point { epoch: self.epoch.clone(), id });
    }
}

/// What was said in each room, in the order in which the server took it.
#[derive(Default)]
struct Order {
    said: BTreeMap<u32, Vec<String>>,
    /// How much had been said in a room before each of its lives.
    before: BTreeMap<String, usize>,
}

impl Order {
    /// Panics where this id of this life is not that message of the room.
    fn check(&mut self, room: u32, epoch: &str, id: u64, message: &str) {
        let said = self.said.entry(room).or_default();
        let position = said.iter().position(|said| said == message);
        let position = position.unwrap_or_else(|| panic!("nobody said {message} in room {room}"));
        let index = usize::try_from(id).expect("a small id") - 1;
        let before = *self.before.entry(epoch.to_owned()).or_insert(position.wrapping_sub(index));
        assert_eq!(position, before.wrapping_add(index), "{message} is {id} of {epoch}");
    }
}

struct World {
    people: People,
    history: u64,
    clients: Vec<Client>,
    order: Order,
    random: Random,
    said: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let limits = Limits {
            history_frames_max: random.choose(&[0, 3, 20, 100]),
            queue_frames_max: random.choose(&[8, 16, 256]),
            queue_bytes_max: 4096,
            text_bytes_max: 64,
            rate_per_second: 0,
            announce_up_to: random.choose(&[0, 1000]),
            // With one room less than there are, empty ones are forgotten with their history.
            rooms_max: random.choose(&[ROOMS - 1, ROOMS]),
            ..Limits::default()
        };
        Self {
            history: limits.history_frames_max.into(),
            people: People::new(limits),
            clients: (0..).take(CLIENTS).map(Client::new).collect(),
            order: Order::default(),
            random,
            said: 0,
        }
    }

    fn step(&mut self) {
        let at = self.random.below(CLIENTS);
        match self.random.below(20) {
            0..=2 => self.connect(at),
            3..=11 => self.say(at),
            12..=13 => self.stall(at),
            14 => self.read_some(at),
            15 => self.read(at),
            16 => self.drop(at),
            17 => self.close(at),
            _ => self.people.wait(10),
        }
        if self.random.below(2) == 0 {
            self.flush();
        }
        for at in 0..CLIENTS {
            self.look(at);
        }
    }

    fn flush(&mut self) {
        let mut by_peer = BTreeMap::new();
        for (at, client) in self.clients.iter().enumerate() {
            let peer = client.who.and_then(|who| self.people.person(who).peer);
            by_peer.extend(peer.map(|peer| (peer, at)));
        }
        let mut taken = self.people.server().chat_counters().messages;
        self.people.flush_step_by_step(|server, output| {
            let before = std::mem::replace(&mut taken, server.chat_counters().messages);
            if let Output::Read(peer) = output
                && let Some(&at) = by_peer.get(&peer)
            {
                self.clients[at].was_heard(taken - before, &mut self.order);
            }
        });
    }

    fn connect(&mut self, at: usize) {
        let client = &mut self.clients[at];
        if client.who.is_none() {
            client.asked = client.point.clone();
            client.next = None;
            client.unheard.clear();
            client.who = Some(self.people.arrive(&client.query(), V2));
        }
    }

    /// A few messages in a row, some with a `ref`, so that there are echoes among others.
    fn say(&mut self, at: usize) {
        let Some(who) = self.clients[at].who else { return };
        for _ in 0..=self.random.below(4) {
            self.said += 1;
            let message = format!("message {}", self.said);
            let taken = self.people.server().chat_counters().messages;
            match self.random.below(3) {
                0 => self.people.send(who, &chat_with_reference(&message, "r")),
                1 => {
                    self.people.send(who, r#"{"type":"typing"}"#);
                    continue;
                }
                _ => self.people.say(who, &message),
            }
            self.clients[at].unheard.push_back(message);
            let taken = self.people.server().chat_counters().messages - taken;
            self.clients[at].was_heard(taken, &mut self.order);
        }
    }

    /// From now on the socket takes only so much more: what is written ends within a frame.
    fn stall(&mut self, at: usize) {
        let bytes = self.random.below(1_000);
        if let Some(who) = self.clients[at].who {
            self.people.stall(who, bytes);
        }
    }

    fn read_some(&mut self, at: usize) {
        let bytes = self.random.below(600);
        if let Some(who) = self.clients[at].who {
            self.people.read_some(who, bytes);
        }
    }

    fn read(&mut self, at: usize) {
        if let Some(who) = self.clients[at].who {
            self.people.read(who);
        }
    }

    /// The connection breaks, wherever it is; what was in the socket never arrives.
    fn drop(&mut self, at: usize) {
        self.look(at);
        if let Some(who) = self.clients[at].who.take() {
            self.people.leave(who);
        }
    }

    fn close(&mut self, at: usize) {
        if let Some(who) = self.clients[at].who {
            self.people.send_bytes(who, &masked(0x88, &[0x03, 0xe8]));
        }
    }

    /// The client looks at what has come; a connection that the server has ended is no more.
    fn look(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(who) = client.who else { return };
        for frame in self.people.take(who) {
            client.handle(&frame, self.history, &mut self.order);
        }
        let person = self.people.person(who);
        let is_refused = person.status.is_some_and(|status| status != 101);
        if is_refused || person.close.is_some() || person.peer.is_none() {
            client.who = None;
            self.people.leave(who);
        }
    }

    /// Everybody comes back, reads all there is, and must then be where the room is.
    fn settle(&mut self) {
        for at in 0..CLIENTS {
            self.read(at);
            self.drop(at);
        }
        self.flush();
        for at in 0..CLIENTS {
            self.connect(at);
            self.flush();
            self.look(at);
            let client = &self.clients[at];
            if client.who.is_none() {
                continue; // there is one room too many
            }
            let room = format!("username=observer&room=r{}", client.room);
            let observer = self.people.join(&room, V2);
            let welcome = json(&self.people.take(observer)[0])["payload"].clone();
            self.people.leave(observer);
            self.people.flush();
            assert_eq!(welcome["epoch"], client.epoch, "{}", client.name);
            let next = welcome["lastId"].as_str().map_or(1, |id| id.parse::<u64>().unwrap() + 1);
            assert_eq!(client.next, Some(next), "{} has seen all", client.name);
        }
    }
}

/// How often what the test is about has happened.
#[derive(Default)]
struct Tally {
    resumed: usize,
    incomplete: usize,
    too_slow: u64,
}

fn run(seed: u64) -> Tally {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.settle();
    let too_slow = world.people.server().counters().exited.of(Ending::TooSlow);
    let mut tally = Tally { too_slow, ..Tally::default() };
    for client in &world.clients {
        tally.resumed += client.resumed;
        tally.incomplete += client.incomplete;
    }
    tally
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn who_comes_back_gets_every_message_exactly_once() {
    if let Some(seed) = number("RESUME_SEED") {
        run(seed);
        return;
    }
    let mut all = Tally::default();
    let seeds = number("RESUME_SEEDS").unwrap_or(SEEDS);
    for seed in 0..seeds {
        match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(tally) => {
                all.resumed += tally.resumed;
                all.incomplete += tally.incomplete;
                all.too_slow += tally.too_slow;
            }
            Err(panic) => {
                eprintln!("replay with RESUME_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    // A test in which nothing of this happens would prove nothing.
    println!("{} in time, {} too late, {} too slow", all.resumed, all.incomplete, all.too_slow);
    let is_short = seeds < SEEDS;
    assert!(is_short || all.resumed > 100 && all.incomplete > 100 && all.too_slow > 100);
}

// --- resume points one by one

/// A people whose lobby has heard seven messages and keeps the last five, 3 to 7; somebody is in.
fn lobby_of_seven() -> People {
    let mut people = People::new(Limits { history_frames_max: 5, ..Limits::default() });
    let alice = people.join("username=alice", V2);
    for message in 1..=7 {
        people.say(alice, &message.to_string());
    }
    people.flush();
    people
}

/// What somebody is told on coming with these parameters: `complete`, and the ids of the replay.
fn come_back(people: &mut People, parameters: &str) -> (bool, Vec<String>) {
    let who = people.join(&format!("username=bob&{parameters}"), V2);
    assert_eq!(people.person(who).status, Some(101), "{parameters}");
    let told: Vec<Value> = people.take(who).iter().map(|frame| json(frame)).collect();
    people.leave(who);
    people.flush();
    let replay = told.iter().filter(|frame| frame["type"] == "chatMessage");
    let ids = replay.map(|frame| frame["payload"]["id"].as_str().expect("an id").to_owned());
    (told[0]["payload"]["complete"].as_bool().expect("yes or no"), ids.collect())
}

const EPOCH: &str = "e-1";
const WHOLE: [&str; 5] = ["3", "4", "5", "6", "7"];

#[test]
fn the_decision_table() {
    let mut people = lobby_of_seven();
    let table = [
        ("", true, 3),
        ("since=", true, 3),
        ("epoch=e-1", true, 3),
        ("since=7", false, 3),
        ("since=7&epoch=", false, 3),
        ("since=7&epoch=e-1", true, 8),
        ("since=6&epoch=e-1", true, 7),
        ("since=3&epoch=e-1", true, 4),
        ("since=2&epoch=e-1", true, 3),
        ("since=1&epoch=e-1", false, 3),
        ("since=0&epoch=e-1", false, 3),
        ("since=8&epoch=e-1", false, 3),
        ("since=5&epoch=e-2", false, 3),
        ("since=5&epoch=E-1", false, 3),
        ("since=5&epoch=e-1&since=7", true, 6), // the first of each counts
    ];
    for (parameters, complete, from) in table {
        let ids: Vec<String> = (from..=7).map(|id: u32| id.to_string()).collect();
        assert_eq!(come_back(&mut people, parameters), (complete, ids), "{parameters}");
    }
}

#[test]
fn before_the_first_message_the_point_is_0() {
    let mut people = People::new(Limits { history_frames_max: 5, ..Limits::default() });
    let alice = people.join("username=alice", V2);
    let since = "since=0&epoch=e-1";
    assert_eq!(come_back(&mut people, since), (true, vec![]));
    people.say(alice, "first");
    assert_eq!(come_back(&mut people, since), (true, vec!["1".to_owned()]));
    for _ in 0..5 {
        people.say(alice, "more");
    }
    let (complete, ids) = come_back(&mut people, since);
    assert_eq!((complete, ids.len()), (false, 5));
}

#[test]
fn a_broken_point_is_a_whole_replay_and_no_more() {
    let mut people = lobby_of_seven();
    // As long as a request allows, and the second one in digits that are not ASCII's.
    let (nines, digits) = ("9".repeat(5_000), "%D9%A3".repeat(1_000));
    let broken = [
        "garbage",
        "%00",
        "%ff",
        "-1",
        "-7",
        "%2B5",
        "+5",
        "5+",
        "5.0",
        "5e0",
        "0x5",
        "5%00",
        "5,6",
        "null",
        "NaN",
        "%D9%A5",    // ARABIC-INDIC DIGIT FIVE
        "%EF%BC%95", // FULLWIDTH DIGIT FIVE
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "9223372036854775807",
        "%F0%9F%98%80",
        "..%2F..%2Fetc%2Fpasswd",
        "'%20OR%201=1",
        &nines,
        &digits,
    ];
    for since in broken {
        let parameters = format!("since={since}&epoch={EPOCH}");
        let (complete, ids) = come_back(&mut people, &parameters);
        assert_eq!((complete, ids), (false, WHOLE.map(str::to_owned).to_vec()), "{since}");
        let parameters = format!("since=5&epoch={since}");
        assert!(!come_back(&mut people, &parameters).0, "{since} as an epoch");
    }
}

#[test]
fn a_point_of_ten_kilobytes_is_no_request() {
    let mut people = lobby_of_seven();
    let who = people.join(&format!("since={}&epoch={EPOCH}", "7".repeat(10_000)), V2);
    assert_eq!(people.person(who).status, Some(431));
    assert_eq!(people.server().members("lobby"), 1);
}

#[test]
fn version_1_knows_no_point() {
    let mut people = lobby_of_seven();
    let who = people.join("username=bob&since=6&epoch=e-1", V1);
    let told = people.take(who);
    let replay = told.iter().filter(|frame| frame.contains(r#""type":"chatMessage""#));
    assert_eq!(replay.count(), 5, "the whole replay, as ever");
}

#[test]
fn ids_of_a_room_given_back_mean_nothing_in_the_next() {
    let mut people = People::new(Limits { rooms_max: 1, ..Limits::default() });
    let alice = people.join("username=alice&room=a", V2);
    people.say(alice, "one");
    people.leave(alice);
    people.flush();
    let point = "since=1&epoch=e-1&room=a";
    assert_eq!(come_back(&mut people, point), (true, vec![]));
    let bob = people.join("username=bob&room=b", V2); // for which a is forgotten
    people.leave(bob);
    people.flush();
    let carol = people.join("username=carol&room=a", V2);
    people.say(carol, "another one");
    people.flush();
    assert_eq!(come_back(&mut people, point), (false, vec!["1".to_owned()]));
}

#[test]
fn another_room_is_another_epoch() {
    let mut people = lobby_of_seven();
    let other = people.join("username=alice&room=den", V2);
    people.say(other, "one");
    people.flush();
    assert_eq!(come_back(&mut people, "room=den&since=1&epoch=e-1"), (false, vec!["1".to_owned()]));
}

#[test]
fn a_reader_that_was_too_slow_misses_nothing() {
    let mut people =
        People::new(Limits { queue_frames_max: 8, rate_per_second: 0, ..Limits::default() });
    let alice = people.join("username=alice", V2);
    let bob = people.join("username=bob", V2);
    people.take(bob);
    people.stall(bob, 200); // within the second message
    for message in 1..=30 {
        people.say(alice, &message.to_string());
        people.flush();
    }
    people.read(bob);
    people.flush();
    assert_eq!(people.person(bob).close, Some(1013));
    let seen = people.take(bob);
    let last = json(seen.last().expect("what was half written is completed"));
    assert_eq!((seen.len(), &last["payload"]["id"]), (2, &Value::from("2")));
    let (complete, ids) = come_back(&mut people, "since=2&epoch=e-1");
    let missing: Vec<String> = (3..=30).map(|id: u32| id.to_string()).collect();
    assert_eq!((complete, ids), (true, missing));
}
