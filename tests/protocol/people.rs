//! A house without sockets, and the people in it: what tests/rooms.rs and tests/resume.rs share.
//!
//! Nothing happens by itself. People arrive, send and leave when a test says so, and
//! [`House::turn`] ends the turn, so a test decides what falls into the same one.

#![allow(dead_code, reason = "each test uses its part of it")]

use std::io::IoSlice;

use hallway::clock::Now;
use hallway::hub::PeerId;
use hallway::limits::Limits;
use hallway::server::{Origins, Output, Server};
use hallway::wire::envelope::Dialect;
use serde_json::Value;

/// The epoch of every house here; the rooms' own are made of it.
pub(crate) const EPOCH: u64 = 0xe;

/// A number for each person that a house has seen.
pub(crate) type Who = usize;

/// A server, its people, and the time.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) now: Now,
    /// Whether the invariants are checked after everything that happens, or once a turn: their
    /// check looks at everybody.
    pub(crate) checks_each_step: bool,
    people: Vec<Person>,
    /// Who has which slot, and the slots that nobody has any more, as in the reactor's slab.
    slots: Vec<Option<Who>>,
    free: Vec<usize>,
}

/// One connection, as its client sees it.
pub(crate) struct Person {
    /// Until the server drops the socket.
    pub(crate) peer: Option<PeerId>,
    /// Of the answer to the request.
    pub(crate) status: Option<u16>,
    /// The head of that answer.
    pub(crate) head: String,
    /// Texts that no test has taken yet.
    unread: Vec<String>,
    /// Of the server's Close frame; 1005 where it has none.
    pub(crate) close: Option<u16>,
    /// Bytes that the socket holds and the client has not read.
    socket: Vec<u8>,
    socket_bytes_max: usize,
    is_reading: bool,
    is_blocked: bool,
    /// What was read and is no whole frame yet.
    cut: Vec<u8>,
}

impl House {
    pub(crate) fn new(limits: Limits) -> Self {
        limits.check().expect("limits that fit together");
        let mono_ms = 1;
        Self {
            server: Server::with(limits, Origins::default(), EPOCH),
            now: Now { mono_ms, unix_ms: 1_700_000_000_123, utc_offset_s: 0 },
            checks_each_step: true,
            people: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Somebody asks for `/chat` with this query, and the turn goes on.
    pub(crate) fn arrive(&mut self, query: &str, dialect: Dialect) -> Who {
        let who = self.people.len();
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        let number = u32::try_from(slot).expect("few slots");
        let peer = self.server.accept(number, None, self.now);
        self.slots[slot] = peer.map(|_| who);
        self.people.push(Person::new(peer));
        self.send_bytes(who, request(query, dialect).into_bytes());
        who
    }

    /// Somebody arrives, and the turn ends.
    pub(crate) fn join(&mut self, query: &str, dialect: Dialect) -> Who {
        let who = self.arrive(query, dialect);
        self.turn();
        who
    }

    /// Sends one text message.
    pub(crate) fn send(&mut self, who: Who, text: &str) {
        self.send_bytes(who, masked(0x81, text.as_bytes()));
    }

    pub(crate) fn say(&mut self, who: Who, message: &str) {
        self.send(who, &chat(message));
    }

    /// A reset: nothing more arrives in either direction.
    pub(crate) fn leave(&mut self, who: Who) {
        if let Some(peer) = self.people[who].peer {
            self.server.handle_closed(peer, self.now);
            self.check_step();
        }
    }

    /// The socket takes `bytes` more, and nobody reads them until [`House::read`].
    pub(crate) fn stall(&mut self, who: Who, bytes: usize) {
        let person = &mut self.people[who];
        person.is_reading = false;
        person.socket_bytes_max = person.socket.len() + bytes;
    }

    /// Reads all that has come and whatever comes from now on.
    pub(crate) fn read(&mut self, who: Who) {
        let person = &mut self.people[who];
        person.is_reading = true;
        person.read();
        person.socket_bytes_max = usize::MAX;
        self.unblock(who);
    }

    /// Reads at most `bytes` of what the socket holds; the rest waits.
    pub(crate) fn read_some(&mut self, who: Who, bytes: usize) {
        let person = &mut self.people[who];
        let bytes = bytes.min(person.socket.len());
        person.cut.extend(person.socket.drain(..bytes));
        person.take_frames();
        self.unblock(who);
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += i64::try_from(ms).expect("a short time");
    }

    /// Ends the turn as the reactor does: what is due, then all outputs.
    pub(crate) fn turn(&mut self) {
        self.server.handle_timeout(self.now);
        while let Some(output) = self.server.poll_output(self.now) {
            match output {
                Output::Transmit(peer) => self.write(peer),
                Output::Close(peer) => self.drop_socket(peer),
            }
        }
        self.server.check_invariants();
    }

    /// The texts that have come since the last time.
    pub(crate) fn take(&mut self, who: Who) -> Vec<String> {
        std::mem::take(&mut self.people[who].unread)
    }

    /// Forgets everybody who is gone, so that what is left in memory is the server's own.
    pub(crate) fn forget_people(&mut self) {
        assert!(self.people.iter().all(|person| person.peer.is_none()));
        (self.people, self.slots, self.free) = (Vec::new(), Vec::new(), Vec::new());
    }

    pub(crate) fn person(&self, who: Who) -> &Person {
        &self.people[who]
    }

    /// Hands in bytes of a client, whatever they are.
    pub(crate) fn send_bytes(&mut self, who: Who, mut bytes: Vec<u8>) {
        let mut rest = &mut bytes[..];
        while let Some(peer) = self.people[who].peer
            && !rest.is_empty()
        {
            let taken = self.server.handle_input(peer, rest, self.now);
            rest = &mut rest[taken..];
            self.check_step();
            if !rest.is_empty() {
                self.turn();
            }
        }
    }

    fn check_step(&self) {
        if self.checks_each_step {
            self.server.check_invariants();
        }
    }

    fn write(&mut self, peer: PeerId) {
        let Some(who) = self.slots[peer.slot()] else { panic!("nobody is at {peer}") };
        let person = &mut self.people[who];
        let mut slices = [IoSlice::new(&[]); 4];
        let count = self.server.transmit(peer, &mut slices);
        let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
        let taken = offered.min(person.socket_bytes_max.saturating_sub(person.socket.len()));
        let bytes = slices[..count].iter().flat_map(|slice| slice.iter().copied());
        person.socket.extend(bytes.take(taken));
        person.is_blocked = taken < offered;
        if person.is_reading {
            person.read();
        }
        self.server.handle_sent(peer, taken);
        match self.people[who].is_blocked {
            true => self.server.handle_blocked(peer),
            false => self.server.handle_postponed(peer),
        }
    }

    fn unblock(&mut self, who: Who) {
        let person = &mut self.people[who];
        let has_place = person.socket.len() < person.socket_bytes_max;
        if let Some(peer) = person.peer
            && person.is_blocked
            && has_place
        {
            person.is_blocked = false;
            self.server.handle_writable(peer);
        }
    }

    fn drop_socket(&mut self, peer: PeerId) {
        if let Some(who) = self.slots[peer.slot()].take() {
            self.people[who].peer = None;
            self.free.push(peer.slot());
        }
    }
}

impl Person {
    fn new(peer: Option<PeerId>) -> Self {
        Self {
            peer,
            status: None,
            head: String::new(),
            unread: Vec::new(),
            close: None,
            socket: Vec::new(),
            socket_bytes_max: usize::MAX,
            is_reading: true,
            is_blocked: false,
            cut: Vec::new(),
        }
    }

    fn read(&mut self) {
        self.cut.append(&mut self.socket);
        self.take_frames();
        if self.cut.is_empty() {
            // Ten thousand people are in some tests, which also measure what the house costs.
            (self.cut, self.socket) = (Vec::new(), Vec::new());
        }
    }

    fn take_frames(&mut self) {
        if self.status.is_none() {
            self.take_head();
        }
        match self.status {
            Some(101) => {}
            // The sentence of a refusal, in as many pieces as it comes in.
            Some(_) => return self.cut.clear(),
            None => return,
        }
        while let Some((opcode, payload)) = take_frame(&mut self.cut) {
            assert_eq!(self.close, None, "nothing follows a Close");
            match opcode {
                0x1 => self.unread.push(String::from_utf8(payload).expect("text is UTF-8")),
                0x8 => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    self.close = Some(code.unwrap_or(1005));
                }
                0x9 | 0xa => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    /// Takes the head of the answer, once it is here.
    fn take_head(&mut self) {
        let Some(end) = self.cut.windows(4).position(|four| four == b"\r\n\r\n") else { return };
        let rest = self.cut.split_off(end + 4);
        self.head = String::from_utf8(std::mem::replace(&mut self.cut, rest)).expect("ASCII");
        self.status = self.head.split(' ').nth(1).and_then(|status| status.parse().ok());
    }
}

/// A handshake that a browser could send, but for the query, which may be anything.
fn request(query: &str, dialect: Dialect) -> String {
    let offer = match dialect.subprotocol() {
        Some(name) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        None => String::new(),
    };
    format!(
        "GET /chat?{query} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n{offer}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A frame as a client sends it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    let len = u16::try_from(payload.len()).expect("a short message");
    match u8::try_from(len) {
        Ok(short) if short < 126 => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn take_frame(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let [first, form, ..] = *bytes.as_slice() else { return None };
    assert_eq!(first & 0xf0, 0x80, "one final frame without reserved bits");
    let (start, len) = match form {
        0..=125 => (2, u64::from(form)),
        126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        _ => panic!("a server masks nothing"),
    };
    let end = start + usize::try_from(len).ok()?;
    let payload = bytes.get(start..end)?.to_vec();
    bytes.drain(..end);
    Some((first & 0x0f, payload))
}

/// A chat message as a client sends it; `message` is free of characters that JSON escapes.
pub(crate) fn chat(message: &str) -> String {
    format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#)
}

/// The same with a `ref`.
pub(crate) fn chat_with_reference(message: &str, reference: &str) -> String {
    format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}","ref":"{reference}"}}}}"#)
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
