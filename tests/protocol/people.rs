//! People who talk to a server without sockets: what tests/rooms.rs and tests/resume.rs share.
//!
//! Nothing happens by itself. People arrive, send and leave when a test says so, and
//! [`People::flush`] does all that follows, so a test decides what happens in the same moment.

#![allow(dead_code, reason = "each test uses its part of it")]

use std::collections::BTreeMap;

use hallway::chat::{Server, Setup};
use hallway::conn::Output;
use hallway::envelope::Version;
use hallway::limits::Limits;
use hallway::peer::PeerId;
use serde_json::Value;
use testkit::client::{V2, handshake, masked, take_frames};
use testkit::{Driver, Socket};

/// The epoch of every server here; the rooms' own are made of it.
pub(crate) const EPOCH: u64 = 0xe;

/// A number for each person that a server has seen.
pub(crate) type Who = usize;

/// A server, and the people who talk to it.
pub(crate) struct People {
    pub(crate) driver: Driver,
    /// Whether the invariants are checked after everything that happens, or once a flush: their
    /// check looks at everybody.
    pub(crate) checks_each_step: bool,
    people: Vec<Person>,
    /// Who has which connection.
    by_peer: BTreeMap<PeerId, Who>,
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
    is_reading: bool,
    /// The socket after the server has dropped it, with what it still holds.
    dropped: Option<Socket>,
    /// What was read and is no whole frame yet.
    cut: Vec<u8>,
}

impl People {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            driver: Driver::chat(Setup { limits, epoch: EPOCH, ..Setup::default() }),
            checks_each_step: true,
            people: Vec::new(),
            by_peer: BTreeMap::new(),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.driver.server
    }

    /// Somebody asks for `/chat` with this query.
    pub(crate) fn arrive(&mut self, query: &str, version: Version) -> Who {
        let who = self.people.len();
        let peer = self.driver.connect(None);
        self.by_peer.extend(peer.map(|peer| (peer, who)));
        self.people.push(Person::new(peer));
        let fields = if version == Version::V2 { V2 } else { "" };
        self.send_bytes(who, handshake(query, fields).as_bytes());
        who
    }

    /// Somebody arrives, and all that follows is done.
    pub(crate) fn join(&mut self, query: &str, version: Version) -> Who {
        let who = self.arrive(query, version);
        self.flush();
        who
    }

    /// Sends one text message.
    pub(crate) fn send(&mut self, who: Who, text: &str) {
        self.send_bytes(who, &masked(0x81, text.as_bytes()));
    }

    pub(crate) fn say(&mut self, who: Who, message: &str) {
        self.send(who, &chat(message));
    }

    /// A reset: nothing more arrives in either direction.
    pub(crate) fn leave(&mut self, who: Who) {
        if let Some(peer) = self.people[who].peer {
            self.driver.reset(peer);
            self.check_step();
        }
    }

    /// The socket takes `bytes` more, and nobody reads them until [`People::read`].
    pub(crate) fn stall(&mut self, who: Who, bytes: usize) {
        self.people[who].is_reading = false;
        if let Some(peer) = self.people[who].peer {
            self.driver.block_after(peer, bytes);
        }
    }

    /// Reads all that has come and whatever comes from now on.
    pub(crate) fn read(&mut self, who: Who) {
        self.people[who].is_reading = true;
        if let Some(peer) = self.people[who].peer {
            self.driver.set_capacity(peer, usize::MAX);
        }
        self.read_some(who, usize::MAX);
    }

    /// Reads at most `bytes` of what the socket holds; the rest waits.
    pub(crate) fn read_some(&mut self, who: Who, bytes: usize) {
        let person = &mut self.people[who];
        let bytes = match (person.peer, &mut person.dropped) {
            (Some(peer), _) => self.driver.read(peer, bytes),
            (None, Some(Socket { received, .. })) => {
                received.drain(..bytes.min(received.len())).collect()
            }
            (None, None) => return,
        };
        person.cut.extend(bytes);
        person.take_frames();
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.driver.now.mono_ms += ms;
        self.driver.now.unix_ms += i64::try_from(ms).expect("a short time");
    }

    /// Does all that is due, and all that follows from it.
    pub(crate) fn flush(&mut self) {
        self.flush_step_by_step(|_, _| {});
    }

    /// The same, and looks at the server after each step.
    pub(crate) fn flush_step_by_step(&mut self, mut look: impl FnMut(&Server, Output)) {
        self.driver.serve(Server::handle_timeout);
        while let Some(output) = self.driver.step() {
            look(&self.driver.server, output);
        }
        self.server().check();
        for socket in std::mem::take(&mut self.driver.closed) {
            if let Some(who) = self.by_peer.remove(&socket.id) {
                self.people[who].peer = None;
                self.people[who].dropped = Some(socket);
            }
        }
        for who in 0..self.people.len() {
            if self.people[who].is_reading {
                self.read_some(who, usize::MAX);
            }
        }
    }

    /// The texts that have come since the last time.
    pub(crate) fn take(&mut self, who: Who) -> Vec<String> {
        std::mem::take(&mut self.people[who].unread)
    }

    /// Forgets everybody who is gone.
    pub(crate) fn forget_people(&mut self) {
        assert!(self.people.iter().all(|person| person.peer.is_none()));
        self.people = Vec::new();
    }

    pub(crate) fn person(&self, who: Who) -> &Person {
        &self.people[who]
    }

    /// Hands in bytes of a client, whatever they are.
    pub(crate) fn send_bytes(&mut self, who: Who, bytes: &[u8]) {
        if let Some(peer) = self.people[who].peer {
            self.driver.send(peer, bytes);
            self.check_step();
        }
    }

    fn check_step(&self) {
        if self.checks_each_step {
            self.server().check();
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
            is_reading: true,
            dropped: None,
            cut: Vec::new(),
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
        for frame in take_frames(&mut self.cut) {
            assert_eq!(self.close, None, "nothing follows a Close");
            match frame.opcode {
                0x1 => self.unread.push(String::from_utf8(frame.payload).expect("text is UTF-8")),
                0x8 => {
                    let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
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
