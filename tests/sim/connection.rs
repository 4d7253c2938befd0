//! One connection of a client, as the client sees it: what is under way, and what it was told.

use std::collections::{BTreeSet, VecDeque};

use hallway::hub::PeerId;
use serde_json::Value;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// One chat message as a client has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) username: String,
    pub(crate) message: String,
    /// Second dialect only.
    pub(crate) id: Option<u64>,
}

impl Seen {
    /// The name and the number that the sender has put into the message.
    pub(crate) fn signature(&self) -> (&str, usize) {
        let parts = self.message.split_once('#');
        let (name, rest) = parts.expect("what is said has a signature");
        let number = rest.split('~').next().and_then(|number| number.parse().ok());
        (name, number.expect("what is said has a number"))
    }
}

/// Where a client has asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// It did not ask.
    No,
    /// After a message that it has seen.
    At(u64),
    /// After something that is no message.
    AtNothing,
}

/// A connection: the present one of a client, or its last.
pub(crate) struct Connection {
    name: String,
    is_second: bool,
    pub(crate) peer: Option<PeerId>,
    /// Bytes on their way to the server.
    pub(crate) sending: VecDeque<u8>,
    /// Bytes that the server has written and the client has not read.
    pub(crate) receiving: VecDeque<u8>,
    pub(crate) is_blocked: bool,
    /// It has a Ping to answer.
    pub(crate) is_pinged: bool,
    /// The next write to it fails.
    pub(crate) is_broken: bool,
    /// It has shut its direction down.
    pub(crate) is_eof: bool,
    pub(crate) since_ms: u64,
    /// When it vanished, by the monotonic clock.
    pub(crate) vanished_ms: Option<u64>,
    /// Whether the client has begun to leave.
    pub(crate) is_leaving: bool,
    /// Whether the server has accepted the handshake.
    pub(crate) is_open: bool,
    /// The status of the answer, once it is there.
    pub(crate) status: Option<u16>,
    pub(crate) close_code: Option<u16>,
    /// When the client was first known to have read its Close.
    pub(crate) closed_ms: Option<u64>,
    /// The welcome, second dialect only.
    pub(crate) welcome: Option<Value>,
    pub(crate) resumed: Resumed,
    pub(crate) seen: Vec<Seen>,
    /// How many of them came before the news that the client itself has joined.
    pub(crate) replayed: Option<usize>,
    /// How many of them the model has checked.
    pub(crate) checked: usize,
    /// Where in the room's order the first of them must be, and how much the room had said when
    /// the client joined.
    pub(crate) order: Option<(usize, usize)>,
    /// The count of the room that it was told last.
    pub(crate) count: Option<u64>,
    /// Whether everybody who comes or goes is announced.
    pub(crate) is_announced: bool,
    /// Who came and who went since, for the first dialect.
    came: i64,
    /// Who is here, for the second dialect.
    people: Option<BTreeSet<String>>,
    /// What it was told that came to nothing.
    pub(crate) errors: usize,
    /// Messages of its own that it was told with its own `ref`.
    pub(crate) echoes: usize,
    /// Messages that the client had sent before this connection.
    pub(crate) sent_before: usize,
    /// The last id it has seen, and the epoch of it; the only thing that outlives a connection.
    pub(crate) last_seen: Option<(u64, String)>,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(name: &str, is_second: bool, last_seen: Option<(u64, String)>) -> Self {
        Self {
            name: name.to_owned(),
            is_second,
            peer: None,
            sending: VecDeque::new(),
            receiving: VecDeque::new(),
            is_blocked: false,
            is_pinged: false,
            is_broken: false,
            is_eof: false,
            since_ms: 0,
            vanished_ms: None,
            is_leaving: false,
            is_open: false,
            status: None,
            close_code: None,
            closed_ms: None,
            welcome: None,
            resumed: Resumed::No,
            seen: Vec::new(),
            replayed: None,
            checked: 0,
            order: None,
            count: None,
            is_announced: false,
            came: 0,
            people: None,
            errors: 0,
            echoes: 0,
            sent_before: 0,
            last_seen,
            read: Vec::new(),
        }
    }

    /// Reads at most `len` bytes of what has arrived.
    pub(crate) fn read(&mut self, len: usize) {
        let len = len.min(self.receiving.len());
        self.read.extend(self.receiving.drain(..len));
        if !self.is_open && !self.read_answer() {
            return;
        }
        while let Some((opcode, payload)) = take_frame(&mut self.read) {
            self.handle_frame(opcode, &payload);
        }
    }

    /// Reads the answer to the handshake; whether the way is open now.
    fn read_answer(&mut self) -> bool {
        let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        let status = self.read.get(9..12).and_then(|code| std::str::from_utf8(code).ok());
        let status = status.and_then(|code| code.parse().ok()).expect("a status");
        assert!(self.read.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&self.read));
        let known = [101, 200, 400, 404, 405, 408, 426, 429, 431, 503, 505];
        assert!(known.contains(&status), "{}", String::from_utf8_lossy(&self.read));
        self.status = Some(status);
        self.is_open = status == 101;
        if self.is_open {
            self.read.drain(..end + 4);
        } else {
            self.read.clear();
        }
        self.is_open
    }

    fn handle_frame(&mut self, opcode: OpCode, payload: &[u8]) {
        assert_eq!(self.close_code, None, "{}: nothing follows the Close", self.name);
        match opcode {
            OpCode::Data(Data::Text) => {
                let text = std::str::from_utf8(payload).expect("text is UTF-8");
                self.handle_text(&serde_json::from_str(text).expect("text is JSON"));
            }
            OpCode::Control(Control::Close) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.close_code = Some(code);
            }
            OpCode::Control(Control::Ping) => self.is_pinged = true,
            OpCode::Control(Control::Pong) => {}
            other => panic!("{}: {other:?}", self.name),
        }
    }

    fn handle_text(&mut self, envelope: &Value) {
        let payload = &envelope["payload"];
        let kind = envelope["type"].as_str().expect("a type");
        let is_first = self.is_second && self.welcome.is_none();
        assert_eq!(kind == "welcome", is_first, "{}: {envelope}", self.name);
        let of_second = ["welcome", "userJoined", "userLeft", "typing", "error"].contains(&kind);
        assert!(self.is_second || !of_second, "{}: {envelope}", self.name);
        match kind {
            "welcome" => self.handle_welcome(payload),
            "chatMessage" => self.handle_message(payload),
            "userJoined" => self.handle_news(payload, true),
            "userLeft" => self.handle_news(payload, false),
            "userCount" => self.handle_count(payload["count"].as_u64().expect("a count")),
            "error" => self.errors += 1,
            "system" => self.handle_line(payload["text"].as_str().expect("a text")),
            "typing" => {}
            other => panic!("{}: unknown {other}", self.name),
        }
    }

    fn handle_welcome(&mut self, payload: &Value) {
        assert_eq!(payload["username"], self.name, "{payload}");
        self.welcome = Some(payload.clone());
        let name = |user: &Value| user.as_str().expect("a name").to_owned();
        let users = payload["users"].as_array().filter(|_| self.is_announced);
        self.people = users.map(|users| users.iter().map(name).collect());
    }

    fn handle_message(&mut self, payload: &Value) {
        let text = |key: &str| payload[key].as_str().map(str::to_owned);
        let id = text("id").map(|id| id.parse().expect("a number"));
        assert_eq!(id.is_some(), self.is_second, "{}: {payload}", self.name);
        let (username, message) = text("username").zip(text("message")).expect("both");
        let seen = Seen { username, message, id };
        let (name, number) = seen.signature();
        assert_eq!(name, seen.username, "names are not mixed");
        if let Some(reference) = text("ref") {
            assert_eq!(name, self.name, "{payload} is not its own");
            assert_eq!(reference, number.to_string(), "{payload}");
            self.echoes += 1;
        }
        if let (Some(id), Some(welcome)) = (id, &self.welcome) {
            let epoch = welcome["epoch"].as_str().expect("an epoch");
            self.last_seen = Some((id, epoch.to_owned()));
        }
        self.seen.push(seen);
    }

    /// Who came or went, in the second dialect.
    fn handle_news(&mut self, payload: &Value, has_joined: bool) {
        let name = payload["username"].as_str().expect("a name");
        let count = payload["count"].as_u64().expect("a count");
        self.count = Some(count);
        self.note_replayed(name, has_joined);
        let Some(people) = &mut self.people else { return };
        let is_news = if has_joined { people.insert(name.to_owned()) } else { people.remove(name) };
        assert!(is_news, "{}: {payload} is known already", self.name);
        assert_eq!(people.len() as u64, count, "{}: {payload}", self.name);
    }

    fn handle_count(&mut self, count: u64) {
        let before = self.count.replace(count).map(u64::cast_signed);
        let came = std::mem::take(&mut self.came);
        if let Some(before) = before.filter(|_| self.is_announced && !self.is_second) {
            assert_eq!(before + came, count.cast_signed(), "{}: {came} came", self.name);
        }
    }

    /// A line of the house, in the first dialect.
    fn handle_line(&mut self, text: &str) {
        if let Some(name) = text.strip_suffix(" joined") {
            self.came += 1;
            self.note_replayed(name, true);
        } else if text.ends_with(" left") {
            self.came -= 1;
        } else {
            self.errors += 1;
        }
    }

    fn note_replayed(&mut self, name: &str, has_joined: bool) {
        if has_joined && name == self.name {
            self.replayed.get_or_insert(self.seen.len());
        }
    }
}

/// Takes one whole frame from the front of `bytes`.
fn take_frame(bytes: &mut Vec<u8>) -> Option<(OpCode, Vec<u8>)> {
    let [first, form, ..] = *bytes.as_slice() else { return None };
    assert_eq!(first & 0xf0, 0x80, "one final frame without reserved bits: {bytes:?}");
    let (start, len) = match form {
        0..=125 => (2, usize::from(form)),
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        _ => panic!("masked, or longer than anything that was said"),
    };
    let payload = bytes.get(start..start + len)?.to_vec();
    bytes.drain(..start + len);
    Some((OpCode::from(first & 0x0f), payload))
}
