//! A virtual client: what it is like, and what it sends.

use serde_json::json;
use testkit::client::{V2, handshake, masked_by};

use super::connection::{Connection, Resumed};
use super::random::Random;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Reads all it can, at once, and stays.
    Healthy,
    /// Reads a little now and then.
    Slow,
    /// Never reads.
    Stalled,
    /// Sends a byte at a time.
    Dribbling,
    /// Stops without a word, in the middle of whatever it is doing.
    Vanishing,
    /// Sends what no client should.
    Malicious,
    /// Loses its connection, and comes back to where it was.
    Reconnecting,
}

pub(crate) const TEMPERS: [Temper; 7] = [
    Temper::Healthy,
    Temper::Slow,
    Temper::Stalled,
    Temper::Dribbling,
    Temper::Vanishing,
    Temper::Malicious,
    Temper::Reconnecting,
];

/// What messages and names are made of beside letters: whatever has to be escaped somewhere.
const CHARS: [char; 8] = ['a', ' ', '"', '\\', '\n', '\u{1}', 'é', '😀'];
const NAME_ENDS: [&str; 5] = ["", "é", "\"", "\\", "😀"];

/// Messages that come to nothing.
const FAULTS: [&str; 5] = [
    "no JSON",
    "[]",
    "{}",
    r#"{"type":"nope"}"#,
    r#"{"type":"chatMessage","payload":{"message":""}}"#,
];

/// The same in version 2 only; version 1 knows no `ref`.
const BAD_REF: &str = r#"{"type":"chatMessage","payload":{"message":"a","ref":1}}"#;

/// Resume points that a client never had.
const BROKEN_SINCE: [&str; 6] = ["x", "-1", "+1", "1.0", "18446744073709551616", "999999"];

/// A client, who may have many connections one after the other.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) temper: Temper,
    pub(crate) is_v2: bool,
    pub(crate) room: usize,
    /// Bytes that its socket takes before it blocks.
    pub(crate) socket_bytes: usize,
    /// Messages it has sent, in all its life.
    pub(crate) sent: usize,
    pub(crate) connection: Connection,
}

impl Client {
    pub(crate) fn new(number: usize, temper: Temper, is_v2: bool, room: usize) -> Self {
        let name = format!("u{number}{}", NAME_ENDS[number % NAME_ENDS.len()]);
        Self {
            connection: Connection::new(&name, is_v2, None),
            name,
            temper,
            is_v2,
            room,
            socket_bytes: usize::MAX,
            sent: 0,
        }
    }

    /// Whether it reads all that its socket has, as soon as it is there.
    pub(crate) fn reads_all(&self) -> bool {
        let is_slow = matches!(self.temper, Temper::Slow | Temper::Stalled);
        !is_slow && self.connection.vanished_ms.is_none()
    }

    /// Whether it ever reads.
    pub(crate) fn reads(&self) -> bool {
        self.temper != Temper::Stalled && self.connection.vanished_ms.is_none()
    }

    /// Whether its socket takes whatever it is given.
    pub(crate) fn takes_all(&self) -> bool {
        self.reads_all() && self.socket_bytes == usize::MAX
    }

    /// Whether it is in its room, as far as it knows, and means to stay.
    pub(crate) fn is_member(&self) -> bool {
        let Connection { peer, is_open, is_leaving, close_code, .. } = &self.connection;
        peer.is_some() && *is_open && !is_leaving && close_code.is_none()
    }

    /// Forgets the last connection, and sends the request of the next one.
    pub(crate) fn connect(&mut self, random: &mut Random) {
        let last_seen = self.connection.last_seen.take();
        let resume = last_seen.clone().filter(|_| self.temper == Temper::Reconnecting);
        let is_broken = resume.is_some() && self.is_v2 && random.below(8) == 0;
        self.connection = Connection::new(&self.name, self.is_v2, last_seen);
        self.connection.sent_before = self.sent;
        let query = match resume {
            None => String::new(),
            Some((_, epoch)) if is_broken => {
                self.connection.resumed = Resumed::AtNothing;
                let since: String = url(random.one_of(&BROKEN_SINCE));
                format!("&since={since}&epoch={epoch}")
            }
            Some((id, epoch)) => {
                // Version 1 knows no resuming, and whoever asks for it gets everything.
                let is_known = self.is_v2;
                self.connection.resumed = if is_known { Resumed::At(id) } else { Resumed::No };
                format!("&since={id}&epoch={epoch}")
            }
        };
        let name = url(&self.name);
        let query = format!("username={name}&room=r{}{query}", self.room);
        let request = handshake(&query, if self.is_v2 { V2 } else { "" });
        self.connection.sending.extend(request.as_bytes());
    }

    /// Sends a chat message that nobody else sends, in one frame or in fragments, and would like
    /// to do so under another's name.
    pub(crate) fn say(&mut self, random: &mut Random) {
        self.sent += 1;
        let filler: String = (0..random.below(30)).map(|_| random.one_of(&CHARS)).collect();
        let message = format!("{}#{}~{filler}", self.name, self.sent);
        let mut payload = json!({ "username": "eve", "message": message });
        if self.is_v2 {
            payload["ref"] = self.sent.to_string().into();
        }
        let json = json!({ "type": "chatMessage", "payload": payload }).to_string();
        if random.below(4) > 0 {
            return self.frame(0x81, json.as_bytes(), random);
        }
        // Fragments may cut a character.
        let (head, tail) = json.as_bytes().split_at(random.below(json.len() + 1));
        self.frame(0x01, head, random);
        self.frame(0x89, b"between", random);
        self.frame(0x80, tail, random);
    }

    /// Sends a masked frame.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8], random: &mut Random) {
        let [a, b, c, d, ..] = random.next().to_be_bytes();
        self.connection.sending.extend(masked_by([a, b, c, d], first, payload));
    }

    /// Sends something that no client should.
    pub(crate) fn misbehave(&mut self, random: &mut Random) {
        let long = [b'a'; 300];
        match random.below(14) {
            0 => FAULTS.iter().for_each(|fault| self.frame(0x81, fault.as_bytes(), random)),
            1 => self.frame(0x82, b"binary", random),
            2 => self.frame(0xf1, b"reserved bits", random),
            3 => self.frame(0x81, b"\xff", random),
            4 => self.frame(0x01, b"never finished", random),
            5 => self.frame(0x80, b"of nothing", random),
            6 => self.frame(0x89, &long, random),
            // Texts beyond the limit, and messages beyond theirs by fragments.
            7 => self.frame(0x81, &chat_of(&"a".repeat(500)), random),
            12 if self.is_v2 => self.frame(0x81, BAD_REF.as_bytes(), random),
            11 | 12 if self.is_member() => (0..20).for_each(|_| self.say(random)),
            8 => (0..8).for_each(|at| self.frame(u8::from(at == 0), &long, random)),
            9 => (0..40).for_each(|_| self.frame(0x89, b"answer me", random)),
            // Lengths of 64 bits that are negative, or more than there is in the world.
            10 => {
                let top = random.one_of(&[0xff, 0x7f, 0x00]);
                self.connection.sending.extend([0x81, 0xff, top, 0, 0, 1, 0, 0, 0, 0]);
            }
            _ => {
                let noise = (0..random.below(100)).map(|_| random.next().to_be_bytes()[0]);
                self.connection.sending.extend(noise);
            }
        }
    }
}

fn chat_of(message: &str) -> Vec<u8> {
    json!({ "type": "chatMessage", "payload": { "message": message } }).to_string().into_bytes()
}

fn url(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
