//! A virtual client: what it sends, how it reads, and what it has been told.

use std::collections::VecDeque;

use hallway::hub::PeerId;
use hallway::wire::frame::unmask;
use serde_json::Value;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

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
    /// Sends what no client should.
    Malicious,
    /// Loses its connection, and comes back to where it was.
    Reconnecting,
}

pub(crate) const TEMPERS: [Temper; 6] = [
    Temper::Healthy,
    Temper::Slow,
    Temper::Stalled,
    Temper::Dribbling,
    Temper::Malicious,
    Temper::Reconnecting,
];

/// One chat message as a client has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) username: String,
    pub(crate) message: String,
    /// Second dialect only.
    pub(crate) id: Option<u64>,
}

/// A client, who may have many connections one after the other.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) temper: Temper,
    pub(crate) is_second: bool,
    pub(crate) room: usize,
    /// Bytes that its socket takes before it blocks.
    pub(crate) socket_bytes: usize,
    /// Messages it has sent, in all its life.
    pub(crate) sent: usize,
    /// The last id it has seen, and the epoch of it.
    last_seen: Option<(u64, String)>,
    pub(crate) connection: Connection,
}

/// What is known of the client's present connection, or of its last.
#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) peer: Option<PeerId>,
    /// Bytes on their way to the server.
    pub(crate) sending: VecDeque<u8>,
    /// Bytes that the server has written and the client has not read.
    pub(crate) receiving: VecDeque<u8>,
    pub(crate) is_blocked: bool,
    /// When it vanished, by the monotonic clock.
    pub(crate) vanished_ms: Option<u64>,
    /// Whether the client has begun to leave.
    pub(crate) is_leaving: bool,
    /// Whether the server has accepted the handshake.
    pub(crate) is_open: bool,
    pub(crate) close_code: Option<u16>,
    /// The welcome, second dialect only.
    pub(crate) welcome: Option<Value>,
    /// From which id on it has asked for what it missed.
    pub(crate) since: Option<u64>,
    pub(crate) seen: Vec<Seen>,
    /// Where in the room's order the first of them is, and how many the model has checked.
    pub(crate) order_start: Option<usize>,
    pub(crate) checked: usize,
    /// The count of the room that it was told last.
    pub(crate) count: Option<u64>,
    pub(crate) errors: usize,
    /// How much its room had said when it joined.
    pub(crate) joined_at: Option<usize>,
    /// Messages that the client had sent before this connection.
    pub(crate) sent_before: usize,
    read: Vec<u8>,
}

impl Client {
    pub(crate) fn new(name: String, temper: Temper, is_second: bool, room: usize) -> Self {
        Self {
            name,
            temper,
            is_second: is_second || temper == Temper::Reconnecting,
            room,
            socket_bytes: usize::MAX,
            sent: 0,
            last_seen: None,
            connection: Connection::default(),
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

    /// Whether it is in its room, as far as it knows, and means to stay.
    pub(crate) fn is_member(&self) -> bool {
        let Connection { peer, is_open, is_leaving, close_code, .. } = &self.connection;
        peer.is_some() && *is_open && !is_leaving && close_code.is_none()
    }

    /// Forgets the last connection and sends the request of the next one.
    pub(crate) fn connect(&mut self, peer: PeerId) {
        let resume = self.last_seen.take().filter(|_| self.temper == Temper::Reconnecting);
        self.connection = Connection {
            peer: Some(peer),
            since: resume.as_ref().map(|(id, _)| *id),
            sent_before: self.sent,
            ..Connection::default()
        };
        let protocol = if self.is_second { "Sec-WebSocket-Protocol: hallway.v2\r\n" } else { "" };
        let resume = resume.map(|(id, epoch)| format!("&since={id}&epoch={epoch}"));
        let request = format!(
            "GET /chat?username={}&room=r{}{} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{protocol}\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.name,
            self.room,
            resume.unwrap_or_default()
        );
        self.connection.sending.extend(request.as_bytes());
    }

    /// Sends a chat message that nobody else sends, in one frame or in fragments, and would like
    /// to do so under another's name.
    pub(crate) fn say(&mut self, random: &mut Random) {
        self.sent += 1;
        let message = format!("{}#{}", self.name, self.sent);
        let reference = if self.is_second { r#","ref":"r""# } else { "" };
        let json = format!(
            r#"{{"type":"chatMessage","payload":{{"username":"eve","message":"{message}"{reference}}}}}"#
        );
        if random.below(4) > 0 {
            return self.frame(0x81, json.as_bytes(), random);
        }
        let (head, tail) = json.as_bytes().split_at(random.below(json.len() + 1));
        self.frame(0x01, head, random);
        self.frame(0x89, b"between", random);
        self.frame(0x80, tail, random);
    }

    /// Sends a masked frame.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8], random: &mut Random) {
        let [a, b, c, d, ..] = random.next().to_be_bytes();
        let key = [a, b, c, d];
        let sending = &mut self.connection.sending;
        sending.push_back(first);
        match u8::try_from(payload.len()) {
            Ok(len @ ..126) => sending.push_back(0x80 | len),
            _ => {
                sending.push_back(0x80 | 126);
                sending.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
            }
        }
        sending.extend(key);
        let mut payload = payload.to_vec();
        unmask(&mut payload, key);
        sending.extend(payload);
    }

    /// Reads at most `len` bytes of what has arrived.
    pub(crate) fn read(&mut self, len: usize) {
        let connection = &mut self.connection;
        let len = len.min(connection.receiving.len());
        connection.read.extend(connection.receiving.drain(..len));
        if !connection.is_open && !connection.read_answer() {
            return;
        }
        while let Some((opcode, payload)) = take_frame(&mut self.connection.read) {
            self.handle_frame(opcode, &payload);
        }
    }

    fn handle_frame(&mut self, opcode: OpCode, payload: &[u8]) {
        assert_eq!(self.connection.close_code, None, "{}: nothing follows the Close", self.name);
        match opcode {
            OpCode::Data(Data::Text) => {
                let text = std::str::from_utf8(payload).expect("text is UTF-8");
                self.handle_text(&serde_json::from_str(text).expect("text is JSON"));
            }
            OpCode::Control(Control::Close) => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                self.connection.close_code = Some(code);
            }
            OpCode::Control(Control::Ping | Control::Pong) => {}
            other => panic!("{}: {other:?}", self.name),
        }
    }

    fn handle_text(&mut self, envelope: &Value) {
        let payload = &envelope["payload"];
        let kind = envelope["type"].as_str().expect("a type");
        let is_first = self.is_second && self.connection.welcome.is_none();
        assert_eq!(kind == "welcome", is_first, "{}: {envelope}", self.name);
        let of_second = ["welcome", "userJoined", "userLeft", "typing", "error"].contains(&kind);
        assert!(self.is_second || !of_second, "{}: {envelope}", self.name);
        let connection = &mut self.connection;
        match kind {
            "welcome" => connection.welcome = Some(payload.clone()),
            "chatMessage" => self.handle_message(payload),
            "userCount" | "userJoined" | "userLeft" => connection.count = payload["count"].as_u64(),
            "error" => connection.errors += 1,
            "system" => {
                let text = payload["text"].as_str().expect("a text");
                let is_news = text.ends_with(" joined") || text.ends_with(" left");
                connection.errors += usize::from(!is_news);
            }
            "typing" => {}
            other => panic!("{}: unknown {other}", self.name),
        }
    }

    fn handle_message(&mut self, payload: &Value) {
        let text = |key: &str| payload[key].as_str().map(str::to_owned);
        let id = text("id").map(|id| id.parse().expect("a number"));
        assert_eq!(id.is_some(), self.is_second, "{}: {payload}", self.name);
        let (username, message) = text("username").zip(text("message")).expect("both");
        let is_own = username == self.name;
        assert!(is_own || payload["ref"].is_null(), "{}: {payload} is not its own", self.name);
        let connection = &mut self.connection;
        if let (Some(id), Some(welcome)) = (id, &connection.welcome) {
            let epoch = welcome["epoch"].as_str().expect("an epoch");
            self.last_seen = Some((id, epoch.to_owned()));
        }
        connection.seen.push(Seen { username, message, id });
    }
}

impl Connection {
    /// Reads the answer to the handshake; whether the way is open now.
    fn read_answer(&mut self) -> bool {
        let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        self.is_open = self.read.starts_with(b"HTTP/1.1 101 ");
        let is_other = [&b"HTTP/1.1 4"[..], b"HTTP/1.1 503 "];
        let is_answer = self.is_open || is_other.iter().any(|start| self.read.starts_with(start));
        assert!(is_answer, "{}", String::from_utf8_lossy(&self.read));
        if self.is_open {
            self.read.drain(..end + 4);
        } else {
            self.read.clear();
        }
        self.is_open
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
