//! Several clients in two rooms, and a shadow that knows what each of them may have seen.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use hallway::hub::PeerId;
use hallway::limits::Limits;
use hallway::server::Server;
use serde::Deserialize;

use crate::house::{House, Socket, handshake, masked};
use crate::input::Input;
use crate::stream::{self, CLOSE, Frame, PONG, TEXT};

/// Bytes of input beyond which a run says nothing new.
const INPUT_BYTES_MAX: usize = 1024;

/// Messages in one segment; enough to fill the smaller queue twice over.
const SEGMENT_MESSAGES_MAX: usize = 20;

const ROOMS: usize = 2;
const CLIENTS: usize = 6;

/// How long time stands still or moves, in milliseconds; never so long that an observer, who
/// answers in between, would be taken for dead.
const PAUSES: [u64; 6] = [1, 900, 2_001, 4_501, 10_001, 30_000];

/// What is known of a connection apart from the server.
#[derive(Clone, Copy)]
struct Client {
    room: usize,
    /// Counts what it has said, so that each message is another.
    said: usize,
    /// Whether it has sent what the fuzzer made of it, Pings with any body among that.
    makes_noise: bool,
}

struct World {
    house: House,
    clients: BTreeMap<usize, Client>,
}

/// Target `server`. One byte chooses the limits; then operations, each a letter, whom it concerns
/// and what it needs.
pub fn server(data: &[u8]) {
    let mut input = Input::new(&data[..data.len().min(INPUT_BYTES_MAX)]);
    let mut world = World::new(input.byte());
    while !input.is_empty() {
        world.step(&mut input);
        world.house.check();
    }
    world.settle();
    world.check();
}

impl World {
    fn new(choice: u8) -> Self {
        let limits = Limits {
            queue_frames_max: [256, 8][usize::from(choice & 1)],
            history_frames_max: [100, 0, 3][usize::from(choice >> 1) % 3],
            announce_up_to: [1000, 0, 4][usize::from(choice >> 3) % 3],
            rate_per_second: [50, 2][usize::from(choice >> 5 & 1)],
            burst: [1000, 3][usize::from(choice >> 6 & 1)],
            queue_bytes_max: [64 * 1024, 8 * 1024][usize::from(choice >> 7)],
            message_bytes_max: 1024,
            peers_max: 7,
            text_bytes_max: 100,
            ..Limits::default()
        };
        limits.check().expect("coherent limits");
        let house = House::new(Server::new, &limits, CLIENTS + ROOMS);
        let mut world = Self { house, clients: BTreeMap::new() };
        for room in 0..ROOMS {
            world.connect(CLIENTS + room, room, true);
        }
        world
    }

    fn connect(&mut self, slot: usize, room: usize, is_second: bool) {
        let Some(serial) = self.house.connect(slot, usize::MAX) else { return };
        self.clients.insert(serial, Client { room, said: 0, makes_noise: false });
        let protocol = if is_second { "Sec-WebSocket-Protocol: hallway.v2\r\n" } else { "" };
        let query = format!("username=u{serial}&room=r{room}");
        self.house.arrive(slot, &handshake(&query, protocol));
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        let slot = usize::from(input.byte()) % CLIENTS;
        match operation {
            b'c' => {
                let choice = usize::from(input.byte());
                self.connect(slot, choice % ROOMS, choice & 2 != 0);
            }
            b'n' => {
                self.house.connect(slot, usize::MAX);
            }
            b'm' => self.say(slot, "chatMessage", 1),
            b'M' => self.say(slot, "chatMessage", usize::from(input.byte()) % SEGMENT_MESSAGES_MAX),
            b'x' => self.say(slot, "private", 1),
            b'y' => self.house.arrive(slot, &masked(0x81, br#"{"type":"typing"}"#)),
            b'p' => self.ping(slot),
            b'f' => {
                let (first, len) = (input.byte(), input.byte());
                self.make_noise(slot, &masked(first, input.take(len.into())));
            }
            b'b' => {
                let len = input.byte();
                self.make_noise(slot, input.take(len.into()));
            }
            b's' => self.house.limit(slot, input.byte().into()),
            b'r' => {
                let more = input.byte();
                let more = if more == u8::MAX { usize::MAX } else { more.into() };
                self.house.read(slot, more);
            }
            other => self.end(other, slot, input),
        }
    }

    fn end(&mut self, operation: u8, slot: usize, input: &mut Input<'_>) {
        match (operation, self.house.id(slot)) {
            (b'e', Some(id)) => self.house.with_server(|server, now| server.handle_eof(id, now)),
            (b'q', Some(id)) => self.house.with_server(|server, now| server.handle_closed(id, now)),
            // What still names a peer that is gone finds nobody.
            (b'z', _) => self.disturb(),
            (b'd', _) => self.house.with_server(Server::drain),
            (b't', _) => {
                let ms = input.one_of(&PAUSES);
                for observer in CLIENTS..CLIENTS + ROOMS {
                    self.house.arrive(observer, &masked(0x8a, b""));
                }
                self.house.pass(ms);
            }
            _ => self.house.turn(),
        }
    }

    fn disturb(&mut self) {
        let gone: Vec<PeerId> = self.house.closed.iter().map(|socket| socket.id).collect();
        let frame = masked(0x81, br#"{"type":"chatMessage","payload":{"message":"ghost"}}"#);
        for id in gone {
            let mut frame = frame.clone();
            self.house.with_server(|server, now| {
                server.handle_input(id, &mut frame, now);
                server.handle_writable(id);
                server.handle_postponed(id);
                server.handle_eof(id, now);
                server.handle_closed(id, now);
            });
        }
    }

    fn client(&mut self, slot: usize) -> Option<(usize, &mut Client)> {
        let serial = self.house.sockets[slot].as_ref()?.serial;
        Some((serial, self.clients.get_mut(&serial)?))
    }

    fn make_noise(&mut self, slot: usize, bytes: &[u8]) {
        if let Some((_, client)) = self.client(slot) {
            client.makes_noise = true;
        }
        self.house.arrive(slot, bytes);
    }

    /// A Ping with the sender's mark, which comes back in the Pong.
    fn ping(&mut self, slot: usize) {
        if let Some((serial, _)) = self.client(slot) {
            self.house.arrive(slot, &masked(0x89, mark(serial).as_bytes()));
        }
    }

    /// One segment with some messages of a client, each with its own `ref`.
    fn say(&mut self, slot: usize, kind: &str, count: usize) {
        let Some((serial, client)) = self.client(slot) else { return };
        let mut segment = Vec::new();
        for _ in 0..count {
            client.said += 1;
            let said = client.said;
            let text = format!(
                r#"{{"type":"{kind}{}","payload":{{"message":"m-{serial}-{said}","ref":"ref-{serial}-{said}"}}}}"#,
                if kind == "private" { mark(serial) } else { String::new() }
            );
            segment.extend(masked(0x81, text.as_bytes()));
        }
        self.house.arrive(slot, &segment);
    }

    /// Lets everybody read all that there is.
    fn settle(&mut self) {
        self.house.turn();
        for slot in 0..CLIENTS + ROOMS {
            self.house.read(slot, usize::MAX);
            self.house.turn();
        }
    }

    fn check(&self) {
        let open = self.house.sockets.iter().flatten();
        let mut notices = Notices::new();
        let seen: Vec<Seen> = open
            .map(|socket| (socket, true))
            .chain(self.house.closed.iter().map(|socket| (socket, false)))
            .filter_map(|(socket, is_open)| self.seen(socket, is_open, &mut notices))
            .collect();
        for room in 0..ROOMS {
            // Observers came first, serials 1 and 2, and read everything.
            let order = seen.iter().find(|seen| seen.serial == room + 1);
            let order = &order.expect("an observer").messages;
            let others = seen.iter().filter(|seen| seen.room == room);
            others.for_each(|seen| seen.check(order));
        }
    }

    fn seen<'s>(
        &self,
        socket: &'s Socket,
        is_open: bool,
        notices: &mut Notices<'s>,
    ) -> Option<Seen> {
        let client = self.clients.get(&socket.serial)?;
        let stream = stream::read(&socket.stream, is_open)?;
        let is_closing = stream.frames.last().is_some_and(|(opcode, _)| *opcode == CLOSE);
        let mut seen = Seen {
            serial: socket.serial,
            room: client.room,
            makes_noise: client.makes_noise,
            is_current: is_open && !is_closing && stream.status == 101,
            messages: Vec::new(),
        };
        stream.frames.iter().for_each(|&frame| seen.take(frame, notices, &self.clients));
        Some(seen)
    }
}

/// What the house has said, read once for all who got it: most of the work of a run.
type Notices<'s> = HashMap<&'s [u8], Notice>;

/// What the house says, as far as it is looked at.
#[derive(Deserialize)]
struct Envelope<'e> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'e, str>,
    #[serde(borrow)]
    payload: Payload<'e>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'e> {
    #[serde(borrow)]
    username: Cow<'e, str>,
    #[serde(borrow)]
    message: Cow<'e, str>,
    #[serde(borrow)]
    text: Cow<'e, str>,
    #[serde(borrow, rename = "ref")]
    reference: Cow<'e, str>,
}

/// What a notice tells, as far as it matters who gets it.
#[derive(Clone, Copy)]
struct Notice {
    /// Whom alone it is for, if anybody.
    is_for: Option<usize>,
    /// Who said which of its messages.
    said: Option<(usize, usize)>,
}

impl Notice {
    /// Clients that make noise can say things that are not from [`World::say`], even what another
    /// would say; those tell nothing.
    fn read(json: &[u8], clients: &BTreeMap<usize, Client>) -> Self {
        let Envelope { kind, payload } = serde_json::from_slice(json).expect("an envelope");
        let makes_noise = || {
            let serial = payload.username.strip_prefix('u').and_then(|serial| serial.parse().ok());
            serial.and_then(|serial: usize| clients.get(&serial)).is_some_and(|it| it.makes_noise)
        };
        let is_own = |&(serial, _): &(usize, usize)| {
            let is_own = payload.username == format!("u{serial}");
            assert!(is_own || makes_noise(), "under another name");
            is_own
        };
        let said = (kind == "chatMessage").then(|| numbers(&payload.message, "m-")).flatten();
        let said = said.filter(is_own);
        let is_for = numbers(&payload.reference, "ref-").or(numbers(&payload.text, "private-"));
        Self { is_for: is_for.map(|(serial, _)| serial), said }
    }
}

/// The two numbers after `prefix`, with a dash between them; 0 where the second is missing.
fn numbers(text: &str, prefix: &str) -> Option<(usize, usize)> {
    let (_, rest) = text.split_once(prefix)?;
    let mut parts = rest.split(|char: char| !char.is_ascii_digit());
    let first = parts.next()?.parse().ok()?;
    Some((first, parts.next().and_then(|second| second.parse().ok()).unwrap_or_default()))
}

/// What is in everything that a client says for itself alone.
fn mark(serial: usize) -> String {
    format!("-{serial}-")
}

/// What one client has seen.
struct Seen {
    serial: usize,
    room: usize,
    makes_noise: bool,
    /// Whether it is a member now, and has been told all.
    is_current: bool,
    /// Who said which, in this order.
    messages: Vec<(usize, usize)>,
}

impl Seen {
    fn take<'s>(
        &mut self,
        (opcode, payload): Frame<'s>,
        notices: &mut Notices<'s>,
        clients: &BTreeMap<usize, Client>,
    ) {
        match opcode {
            PONG => {
                let is_own = payload == mark(self.serial).as_bytes();
                assert!(is_own || self.makes_noise, "the Pong of another");
            }
            TEXT => {
                let read = |json: &&[u8]| Notice::read(json, clients);
                let notice = *notices.entry(payload).or_insert_with_key(read);
                // What is wrong with noise is told with words of the noise, whatever they are.
                let is_due =
                    self.makes_noise || notice.is_for.is_none_or(|serial| serial == self.serial);
                assert!(is_due, "client {} got what is for {:?}", self.serial, notice.is_for);
                self.messages.extend(notice.said);
            }
            _ => {}
        }
    }

    /// All members of a room see one order, each a part of it without a gap, up to its end for
    /// those who are there.
    fn check(&self, order: &[(usize, usize)]) {
        let Some(first) = self.messages.first() else { return };
        let start = order.iter().position(|message| message == first).expect("a known message");
        let end = start + self.messages.len();
        assert_eq!(order.get(start..end), Some(&self.messages[..]), "one order for all");
        assert!(!self.is_current || end == order.len(), "client {} is not up to date", self.serial);
    }
}
