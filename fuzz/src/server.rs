//! Several clients in two rooms, and a shadow that knows what each of them may have seen.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use hallway::chat::{Chat, Server, Setup};
use hallway::conn::Ending;
use hallway::limits::Limits;
use hallway::peer::PeerId;
use serde::Deserialize;
use testkit::Driver;
use testkit::client::{V2, handshake, masked};

use crate::input::Input;
use crate::stream::{self, CLOSE, Frame, PONG, TEXT};
use crate::watch::{Remembered, Watch};

/// Bytes of input beyond which a run says nothing new.
const INPUT_BYTES_MAX: usize = 1024;

/// Messages in one segment; enough to fill the smaller queue twice over.
const SEGMENT_MESSAGES_MAX: usize = 20;

const ROOMS: usize = 2;
const CLIENTS: usize = 6;

/// How long time stands still or moves, in milliseconds; never so long that an observer, who
/// answers in between, would be taken for dead.
const PAUSES: [u64; 6] = [1, 900, 2_001, 4_501, 10_001, 30_000];

/// Longer than any news are held.
const NEWS_MS_MAX: u64 = 3_000;

/// The code of the Close to a slow reader.
const TOO_SLOW: [u8; 2] = 1013u16.to_be_bytes();

/// Which connection it is, counted from the first.
type Serial = u32;

/// What is known of a connection apart from the server.
#[derive(Clone, Copy, Default)]
struct Client {
    /// The room that it has asked for; `None` where it has asked for nothing.
    room: Option<usize>,
    /// Counts what it has sent, so that each message is another.
    sent: usize,
    /// Whether it has sent what the fuzzer made of it, Pings with any body among that.
    makes_noise: bool,
    /// Whether it has ever kept the server waiting.
    was_slow: bool,
}

struct World {
    driver: Driver,
    watch: Watch<Chat>,
    /// The connection of each client, then those of the observers.
    ids: [Option<PeerId>; CLIENTS + ROOMS],
    /// All connections that there ever were.
    clients: BTreeMap<Serial, Client>,
}

/// Target `server`. Two bytes choose the limits and the thresholds; then operations, each a letter,
/// whom it concerns and what it needs.
pub fn server(data: &[u8]) {
    let mut input = Input::new(&data[..data.len().min(INPUT_BYTES_MAX)]);
    let mut world = World::new(&mut input);
    while !input.is_empty() {
        world.step(&mut input);
        world.watch.check(&world.driver);
    }
    world.settle();
    world.check();
}

/// What a chat server has to remember.
pub fn remembered(server: &Server) -> Remembered {
    let messages = usize::try_from(server.chat_counters().messages).expect("few messages");
    Remembered { rooms: server.rooms(), messages }
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let thresholds = input.thresholds();
        let limits = Limits {
            queue_frames_max: [256, 8][usize::from(choice & 1)],
            history_frames_max: [100, 0, 3][usize::from(choice >> 1) % 3],
            announce_up_to: [1000, 0, 4][usize::from(choice >> 3) % 3],
            rate_per_second: [0, 2][usize::from(choice >> 5 & 1)],
            burst: [8, 3][usize::from(choice >> 6 & 1)],
            queue_bytes_max: [64 * 1024, 8 * 1024][usize::from(choice >> 7)],
            message_bytes_max: 1024,
            peers_max: 7,
            text_bytes_max: 100,
            ..Limits::default()
        };
        let driver = Driver::chat(Setup { limits: limits.clone(), thresholds, ..Setup::default() });
        let watch = Watch::new(&driver, &limits, thresholds, Server::check, remembered);
        let (ids, clients) = Default::default();
        let mut world = Self { driver, watch, ids, clients };
        for room in 0..ROOMS {
            world.join(CLIENTS + room, room, true);
        }
        world
    }

    /// Opens a connection for a client that has none.
    fn connect(&mut self, client: usize) -> Option<PeerId> {
        if self.id(client).is_some() {
            return None;
        }
        let id = self.driver.connect(None)?;
        self.ids[client] = Some(id);
        self.clients.insert(id.generation(), Client::default());
        Some(id)
    }

    fn join(&mut self, client: usize, room: usize, is_v2: bool) {
        let Some(id) = self.connect(client) else { return };
        let serial = id.generation();
        self.known(id).room = Some(room);
        let query = format!("username=u{serial}&room=r{room}");
        self.driver.send(id, handshake(&query, if is_v2 { V2 } else { "" }).as_bytes());
    }

    /// The connection of a client, if it is open.
    fn id(&self, client: usize) -> Option<PeerId> {
        self.ids[client].filter(|&id| self.driver.socket(id).is_some())
    }

    fn known(&mut self, id: PeerId) -> &mut Client {
        self.clients.get_mut(&id.generation()).expect("a connection that was made")
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let operation = input.byte();
        let client = usize::from(input.byte()) % CLIENTS;
        match operation {
            b'c' => {
                let choice = usize::from(input.byte());
                self.join(client, choice % ROOMS, choice & 2 != 0);
            }
            b'n' => {
                self.connect(client);
            }
            // What still names a peer that is gone finds nobody.
            b'z' => self.disturb(),
            b'd' => self.driver.serve(Server::drain),
            b't' => {
                let ms = input.one_of(&PAUSES);
                let observers: Vec<PeerId> =
                    self.ids[CLIENTS..].iter().copied().flatten().collect();
                speak_up(&mut self.driver, &observers);
                self.watch.pass(&mut self.driver, ms);
            }
            // Some of what is due, and then input comes in between.
            b'o' => {
                for _ in 0..input.byte() {
                    self.driver.step();
                }
            }
            other => match self.id(client) {
                Some(id) => self.act(other, id, input),
                None => self.skip(other, input),
            },
        }
    }

    /// What a client does that is connected.
    fn act(&mut self, operation: u8, id: PeerId, input: &mut Input<'_>) {
        match operation {
            b'm' => self.say(id, "chatMessage", 1),
            b'M' => {
                let count = usize::from(input.byte()) % SEGMENT_MESSAGES_MAX;
                self.say(id, "chatMessage", count);
            }
            b'x' => self.say(id, "private", 1),
            b'y' => self.driver.send(id, &masked(0x81, br#"{"type":"typing"}"#)),
            // A Ping with the sender's mark, which comes back in the Pong.
            b'p' => self.driver.send(id, &masked(0x89, mark(id.generation()).as_bytes())),
            b'f' => {
                let (first, len) = (input.byte(), input.byte());
                self.make_noise(id, &masked(first, input.take(len.into())));
            }
            b'b' => {
                let len = input.byte();
                self.make_noise(id, input.take(len.into()));
            }
            b's' => {
                self.known(id).was_slow = true;
                self.driver.take_only(id, input.byte().into());
            }
            b'r' => {
                let more = input.byte();
                self.driver.take_more(id, if more == u8::MAX { usize::MAX } else { more.into() });
            }
            b'e' => self.driver.eof(id),
            b'q' => self.driver.reset(id),
            _ => self.watch.flush(&mut self.driver),
        }
    }

    /// What an operation needs is taken, whether or not there is somebody to do it.
    fn skip(&mut self, operation: u8, input: &mut Input<'_>) {
        match operation {
            b'M' | b's' | b'r' => {
                input.byte();
            }
            b'f' => {
                let (_, len) = (input.byte(), input.byte());
                input.take(len.into());
            }
            b'b' => {
                let len = input.byte();
                input.take(len.into());
            }
            b'm' | b'x' | b'y' | b'p' | b'e' | b'q' => {}
            _ => self.watch.flush(&mut self.driver),
        }
    }

    fn disturb(&mut self) {
        let gone: Vec<PeerId> = self.driver.closed.iter().map(|socket| socket.id).collect();
        let frame = masked(0x81, br#"{"type":"chatMessage","payload":{"message":"ghost"}}"#);
        for id in gone {
            let mut frame = frame.clone();
            self.driver.serve(|server, now| {
                server.handle_input(id, &mut frame, now);
                server.handle_sent(id, 0);
                server.handle_blocked(id, now);
                server.handle_hang_up(id, now);
                server.handle_writable(id);
                server.handle_eof(id, now);
                server.handle_closed(id, now);
            });
        }
    }

    fn make_noise(&mut self, id: PeerId, bytes: &[u8]) {
        self.known(id).makes_noise = true;
        self.driver.send(id, bytes);
    }

    /// One segment with some messages of a client, each with its own `ref`.
    fn say(&mut self, id: PeerId, kind: &str, count: usize) {
        let serial = id.generation();
        let mut segment = Vec::new();
        for _ in 0..count {
            let client = self.known(id);
            client.sent += 1;
            let sent = client.sent;
            let text = format!(
                r#"{{"type":"{kind}{}","payload":{{"message":"m-{serial}-{sent}","ref":"ref-{serial}-{sent}"}}}}"#,
                if kind == "private" { mark(serial) } else { String::new() }
            );
            segment.extend(masked(0x81, text.as_bytes()));
        }
        self.driver.send(id, &segment);
    }

    /// Lets everybody read all that there is, as soon as no news are held any more.
    fn settle(&mut self) {
        self.watch.flush(&mut self.driver);
        for client in 0..CLIENTS + ROOMS {
            if let Some(id) = self.id(client) {
                self.driver.take_more(id, usize::MAX);
            }
            self.watch.flush(&mut self.driver);
        }
        let observers: Vec<PeerId> = self.ids[CLIENTS..].iter().copied().flatten().collect();
        self.watch.await_tokens(&mut self.driver, 20_000, |driver| speak_up(driver, &observers));
        self.watch.pass(&mut self.driver, NEWS_MS_MAX);
        self.watch.check_idle(&self.driver);
    }

    fn check(&self) {
        let open = self.driver.sockets().map(|socket| (socket, true));
        let closed = self.driver.closed.iter().map(|socket| (socket, false));
        let written: Vec<(Serial, bool, Vec<u8>)> = open
            .chain(closed)
            .map(|(socket, is_open)| {
                (socket.id.generation(), is_open, Vec::from(socket.received.clone()))
            })
            .collect();
        let mut notices = Notices::new();
        let seen: Vec<Seen> = written
            .iter()
            .filter_map(|(serial, is_open, bytes)| {
                self.seen(*serial, *is_open, bytes, &mut notices)
            })
            .collect();
        for room in 0..ROOMS {
            // Observers came first, and read everything.
            let order = seen.iter().find(|seen| seen.serial as usize == room + 1);
            let order = &order.expect("an observer").messages;
            let others = seen.iter().filter(|seen| seen.room == room);
            others.for_each(|seen| seen.check(order));
        }
        let too_slow = self.driver.server.counters().exited.of(Ending::TooSlow);
        let slow = self.clients.values().filter(|client| client.was_slow).count();
        assert!(too_slow <= slow as u64, "{too_slow} were dismissed, and {slow} were slow");
    }

    fn seen<'s>(
        &self,
        serial: Serial,
        is_open: bool,
        bytes: &'s [u8],
        notices: &mut Notices<'s>,
    ) -> Option<Seen> {
        let Client { room, makes_noise, was_slow, .. } = self.clients[&serial];
        let stream = stream::read(bytes, is_open)?;
        let close = stream.frames.last().filter(|(opcode, _)| *opcode == CLOSE);
        let is_too_slow = close.is_some_and(|(_, payload)| payload.starts_with(&TOO_SLOW));
        assert!(was_slow || makes_noise || !is_too_slow, "client {serial} has read everything");
        let mut seen = Seen {
            serial,
            room: room?,
            makes_noise,
            is_current: is_open && close.is_none() && stream.status == 101,
            messages: Vec::new(),
        };
        stream.frames.iter().for_each(|&frame| seen.take(frame, notices, &self.clients));
        Some(seen)
    }
}

/// Nobody of these is silent.
fn speak_up(driver: &mut Driver, ids: &[PeerId]) {
    ids.iter().for_each(|&id| driver.send(id, &masked(0x8a, b"")));
}

/// What the server has said, read once for all who got it: most of the work of a run.
type Notices<'s> = HashMap<&'s [u8], Notice>;

/// What the server says, as far as it is looked at.
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

/// Who said it, and which of its messages it is.
type Message = (Serial, usize);

/// What a notice tells, as far as it matters who gets it.
#[derive(Clone, Copy)]
struct Notice {
    /// Whom alone it is for, if anybody.
    is_for: Option<Serial>,
    /// The message that it is, if it is one.
    said: Option<Message>,
}

impl Notice {
    /// Clients that make noise can say things that are not from [`World::say`], even what another
    /// would say; those tell nothing.
    fn read(json: &[u8], clients: &BTreeMap<Serial, Client>) -> Self {
        let Envelope { kind, payload } = serde_json::from_slice(json).expect("an envelope");
        let makes_noise = || {
            let serial = payload.username.strip_prefix('u').and_then(|serial| serial.parse().ok());
            serial.and_then(|serial: Serial| clients.get(&serial)).is_some_and(|it| it.makes_noise)
        };
        let is_own = |&(serial, _): &Message| {
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
fn numbers(text: &str, prefix: &str) -> Option<Message> {
    let (_, rest) = text.split_once(prefix)?;
    let mut parts = rest.split(|char: char| !char.is_ascii_digit());
    let first = parts.next()?.parse().ok()?;
    Some((first, parts.next().and_then(|second| second.parse().ok()).unwrap_or_default()))
}

/// What is in everything that a client says for itself alone.
fn mark(serial: Serial) -> String {
    format!("-{serial}-")
}

/// What one client has seen.
struct Seen {
    serial: Serial,
    room: usize,
    makes_noise: bool,
    /// Whether it is a member now, and has been told all.
    is_current: bool,
    messages: Vec<Message>,
}

impl Seen {
    fn take<'s>(
        &mut self,
        (opcode, payload): Frame<'s>,
        notices: &mut Notices<'s>,
        clients: &BTreeMap<Serial, Client>,
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
    fn check(&self, order: &[Message]) {
        let Some(first) = self.messages.first() else { return };
        let start = order.iter().position(|message| message == first).expect("a known message");
        let end = start + self.messages.len();
        assert_eq!(order.get(start..end), Some(&self.messages[..]), "one order for all");
        assert!(!self.is_current || end == order.len(), "client {} is not up to date", self.serial);
    }
}
