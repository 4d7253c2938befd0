//! The server without sockets, with a hand on everything: time, input, and how much a peer's
//! socket takes.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod program;

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};

use hallway::clock::Now;
use hallway::hub::PeerId;
use hallway::limits::Limits;
use hallway::server::{Output, Server};

pub const NOW: Now = Now { mono_ms: 1_000_000, unix_ms: 1_700_000_000_000, utc_offset_s: 0 };

pub struct House {
    pub server: Server,
    pub now: Now,
    written: BTreeMap<PeerId, Vec<u8>>,
    /// What the sockets of these peers still take, in bytes; all others take everything.
    rooms: BTreeMap<PeerId, usize>,
    slots: u32,
    is_deaf: bool,
}

impl House {
    pub fn new(limits: Limits) -> Self {
        Self::of(Server::new(limits))
    }

    pub fn of(server: Server) -> Self {
        let (written, rooms) = Default::default();
        Self { server, now: NOW, written, rooms, slots: 0, is_deaf: false }
    }

    /// A connection that has not said anything yet.
    pub fn connect(&mut self) -> PeerId {
        self.slots += 1;
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.server.accept(self.slots, Some(ip), self.now).expect("there is a place")
    }

    pub fn handshake(&mut self, id: PeerId, name: &str) {
        self.send(id, handshake(&format!("username={name}"), "").as_bytes());
    }

    pub fn join(&mut self, name: &str) -> PeerId {
        let id = self.connect();
        self.handshake(id, name);
        id
    }

    /// Joins without a flush afterwards unless the turn is full, for crowds.
    pub fn join_unflushed(&mut self, name: &str) -> PeerId {
        let id = self.connect();
        let mut request = handshake(&format!("username={name}"), "").into_bytes();
        if self.server.must_flush(id) {
            self.flush_unchecked();
        }
        self.server.handle_input(id, &mut request, self.now);
        id
    }

    /// Hands in all of `bytes`, with as many turns as that takes.
    pub fn send(&mut self, id: PeerId, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut rest = &mut bytes[..];
        loop {
            let taken = self.server.handle_input(id, rest, self.now);
            self.flush();
            rest = &mut rest[taken..];
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Moves the clock.
    pub fn at(&mut self, mono_ms: u64) {
        self.now.mono_ms = mono_ms;
        self.server.handle_timeout(self.now);
        self.flush();
    }

    /// The peer's socket takes no more.
    pub fn block(&mut self, id: PeerId) {
        self.block_after(id, 0);
    }

    /// The peer's socket takes so many more bytes, and then no more.
    pub fn block_after(&mut self, id: PeerId, bytes: usize) {
        self.rooms.insert(id, bytes);
    }

    pub fn unblock(&mut self, id: PeerId) {
        self.rooms.remove(&id);
        self.server.handle_writable(id);
        self.flush();
    }

    pub fn flush(&mut self) {
        self.flush_unchecked();
        self.server.check_invariants();
    }

    pub fn flush_unchecked(&mut self) {
        while self.step().is_some() {}
    }

    /// Does the next thing that the server wants done.
    pub fn step(&mut self) -> Option<Output> {
        let output = self.server.poll_output(self.now)?;
        if let Output::Transmit(id) = output {
            self.write(id);
        }
        Some(output)
    }

    fn write(&mut self, id: PeerId) {
        let mut slices = [IoSlice::new(&[]); 4];
        let count = self.server.transmit(id, &mut slices);
        let mut bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        let mut is_blocked = false;
        if let Some(room) = self.rooms.get_mut(&id) {
            is_blocked = *room < bytes.len();
            bytes.truncate(*room);
            *room -= bytes.len();
        }
        self.server.handle_sent(id, bytes.len());
        match is_blocked {
            true => self.server.handle_blocked(id),
            false => self.server.handle_postponed(id),
        }
        if !self.is_deaf {
            self.written.entry(id).or_default().extend(bytes);
        }
    }

    /// Keeps nothing of what is written from here on.
    pub fn deafen(&mut self) {
        self.is_deaf = true;
    }

    /// What has been written to a peer since this was last asked.
    pub fn take(&mut self, id: PeerId) -> Vec<u8> {
        self.written.remove(&id).unwrap_or_default()
    }

    /// The same as text, whatever bytes are between.
    pub fn text(&mut self, id: PeerId) -> String {
        String::from_utf8_lossy(&self.take(id)).into_owned()
    }
}

pub fn handshake(query: &str, fields: &str) -> String {
    format!(
        "GET /chat?{query} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

/// A frame as a client sends it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match u16::try_from(payload.len()).expect("a short frame") {
        len @ 0..=125 => bytes.push(0x80 | len.to_be_bytes()[1]),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

pub fn chat(message: &str) -> Vec<u8> {
    let json = format!(r#"{{"type":"chatMessage","payload":{{"message":"{message}"}}}}"#);
    masked(0x81, json.as_bytes())
}

/// The code of the Close frame that a stream of ours ends with, if it does.
pub fn closing_code(stream: &[u8]) -> Option<u16> {
    let at = stream.iter().rposition(|&byte| byte == 0x88)?;
    let len = usize::from(*stream.get(at + 1)?);
    let body = stream.get(at + 2..)?;
    (body.len() == len && len >= 2).then(|| u16::from_be_bytes([body[0], body[1]]))
}
