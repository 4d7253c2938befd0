//! One connection of a client, as the client sees it: what is under way, and what it was told.

use std::collections::{BTreeSet, VecDeque};

use hallway::peer::PeerId;
use serde_json::Value;
use testkit::client::take_frames;

use super::tokens::Pace;
use super::written::Written;

/// One chat message as a client has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) username: String,
    pub(crate) message: String,
    /// Version 2 only.
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

/// How long the input of a connection has waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// How often it was woken, and nothing was taken.
    pub(crate) in_vain: usize,
    /// How many others waited with it, at most.
    pub(crate) others: usize,
}

/// A connection: the present one of a client, or its last.
pub(crate) struct Connection {
    name: String,
    is_v2: bool,
    pub(crate) peer: Option<PeerId>,
    /// Bytes on their way to the server.
    pub(crate) sending: VecDeque<u8>,
    /// What the server has written to its socket.
    pub(crate) written: Written,
    /// Its socket has been full before.
    pub(crate) was_blocked: bool,
    /// Since when its input has not been taken, by the model's count of writes and wakings.
    pub(crate) wait: Option<Wait>,
    /// It was sent away, and before it could read that, its deadline passed while the process was
    /// stopped, or it was evicted for another.
    pub(crate) is_overdue: bool,
    /// How fast it has sent.
    pub(crate) pace: Pace,
    /// Since when its socket has taken no byte, though the server has some for it.
    pub(crate) stalled_ms: Option<u64>,
    /// It has a Ping to answer.
    pub(crate) is_pinged: bool,
    /// The next write to it fails.
    pub(crate) is_broken: bool,
    /// It has shut its direction down, and when.
    pub(crate) is_eof: bool,
    pub(crate) eof_ms: Option<u64>,
    pub(crate) since_ms: u64,
    /// When it vanished, by the monotonic clock.
    pub(crate) vanished_ms: Option<u64>,
    /// Whether the client has begun to leave.
    pub(crate) is_leaving: bool,
    /// Whether the server has accepted the handshake.
    pub(crate) is_open: bool,
    /// The status of the answer, once it is there.
    pub(crate) status: Option<u16>,
    /// It was refused because its address joins too often.
    pub(crate) is_too_soon: bool,
    pub(crate) close_code: Option<u16>,
    /// When the client was first known to have read its Close.
    pub(crate) closed_ms: Option<u64>,
    /// The welcome, version 2 only.
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
    /// How much the room had said when it left by something that it had sent.
    pub(crate) left_at: Option<usize>,
    /// The count of the room that it was told last.
    pub(crate) count: Option<u64>,
    /// Whether everybody who comes or goes is announced.
    pub(crate) is_announced: bool,
    /// Who came and who went since, for version 1.
    came: i64,
    /// Who is here, for version 2.
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
    pub(crate) fn new(name: &str, is_v2: bool, last_seen: Option<(u64, String)>) -> Self {
        Self {
            name: name.to_owned(),
            is_v2,
            peer: None,
            sending: VecDeque::new(),
            written: Written::default(),
            was_blocked: false,
            wait: None,
            is_overdue: false,
            pace: Pace::default(),
            stalled_ms: None,
            is_pinged: false,
            is_broken: false,
            is_eof: false,
            eof_ms: None,
            since_ms: 0,
            vanished_ms: None,
            is_leaving: false,
            is_open: false,
            status: None,
            is_too_soon: false,
            close_code: None,
            closed_ms: None,
            welcome: None,
            resumed: Resumed::No,
            seen: Vec::new(),
            replayed: None,
            checked: 0,
            order: None,
            left_at: None,
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

    /// The id after which it has asked to go on, where that can be done.
    pub(crate) fn since(&self) -> Option<usize> {
        match self.resumed {
            Resumed::At(since) => Some(usize::try_from(since).expect("a small number")),
            Resumed::No | Resumed::AtNothing => None,
        }
    }

    /// How many messages are replayed to it.
    pub(crate) fn replay_len(&self) -> usize {
        self.order.map_or(0, |(start, joined_at)| joined_at - start)
    }

    /// Frames that count which were written to it.
    pub(crate) fn counted(&self) -> u64 {
        self.written.counted(self.replay_len()) as u64
    }

    /// Reads bytes that have arrived.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        self.read.extend_from_slice(bytes);
        if !self.is_open && !self.read_answer() {
            return;
        }
        for frame in take_frames(&mut self.read) {
            self.handle_frame(frame.opcode, &frame.payload);
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
        let head = String::from_utf8_lossy(&self.read[..end]);
        self.is_too_soon = head.contains("Hallway-Code: joins");
        if self.is_open {
            self.read.drain(..end + 4);
        } else {
            self.read.clear();
        }
        self.is_open
    }

    fn handle_frame(&mut self, opcode: u8, payload: &[u8]) {
        assert_eq!(self.close_code, None, "{}: nothing follows the Close", self.name);
        match opcode {
            1 => {
                let text = std::str::from_utf8(payload).expect("text is UTF-8");
                self.handle_text(&serde_json::from_str(text).expect("text is JSON"));
            }
            8 => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.close_code = Some(code);
            }
            9 => self.is_pinged = true,
            10 => {}
            other => panic!("{}: a frame of opcode {other}", self.name),
        }
    }

    fn handle_text(&mut self, envelope: &Value) {
        let payload = &envelope["payload"];
        let kind = envelope["type"].as_str().expect("a type");
        let is_first = self.is_v2 && self.welcome.is_none();
        assert_eq!(kind == "welcome", is_first, "{}: {envelope}", self.name);
        let of_second = ["welcome", "userJoined", "userLeft", "typing", "error"].contains(&kind);
        assert!(self.is_v2 || !of_second, "{}: {envelope}", self.name);
        match kind {
            "welcome" => self.handle_welcome(payload),
            "chatMessage" => self.handle_message(payload),
            "userJoined" => self.handle_news(payload, true),
            "userLeft" => self.handle_news(payload, false),
            "userCount" => self.handle_count(payload["count"].as_u64().expect("a count")),
            "error" => self.errors += 1,
            "system" => self.handle_system(payload["text"].as_str().expect("a text")),
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
        assert_eq!(id.is_some(), self.is_v2, "{}: {payload}", self.name);
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

    /// Who came or went, in version 2.
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
        if let Some(before) = before.filter(|_| self.is_announced && !self.is_v2) {
            assert_eq!(before + came, count.cast_signed(), "{}: {came} came", self.name);
        }
    }

    /// A system text, in version 1.
    fn handle_system(&mut self, text: &str) {
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
