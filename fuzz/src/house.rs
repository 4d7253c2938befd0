//! The server, with sockets that take as much as they are told to, and a clock that is moved by
//! hand: what the reactor does, without a machine.

use std::io::IoSlice;

use hallway::clock::Now;
use hallway::hub::PeerId;
use hallway::limits::{
    CLOSE_MS_MAX, DRAIN_MS_MAX, KEEPALIVE_SLICES, Limits, REQUEST_BYTES_MAX, REQUEST_MS_MAX,
    SCRATCH_BYTES_KEPT,
};
use hallway::server::{Output, Server};

use crate::heap;

/// Calls without progress after which the server is said to spin.
const CALLS_MAX: usize = 100_000;

/// Bytes of heap that a connection or a room costs beside its queue, its history, and what has
/// come in of a message; and the server's own lists for so few.
const OVERHEAD_BYTES: usize = 1024;

/// The client's end of a connection.
#[derive(Debug)]
pub struct Socket {
    pub id: PeerId,
    /// Which connection this is, counted from the first.
    pub serial: usize,
    /// Bytes that it still takes.
    pub takes: usize,
    /// What has been written to it.
    pub stream: Vec<u8>,
    opened_ms: u64,
    heard_ms: u64,
    finished_ms: Option<u64>,
}

/// The server and its sockets.
#[derive(Debug)]
pub struct House {
    server: Server,
    /// Bytes of heap that the server holds, and that it held when it was new.
    held: usize,
    held_when_new: usize,
    pub now: Now,
    limits: Limits,
    /// Open sockets by slot.
    pub sockets: Vec<Option<Socket>>,
    /// Sockets that the server has closed.
    pub closed: Vec<Socket>,
    connections: usize,
}

impl House {
    pub fn new(make: fn(Limits) -> Server, limits: &Limits, slots: usize) -> Self {
        let mut held = 0;
        let server = measured(&mut held, || make(limits.clone()));
        // The longest that a fuzzer can make a run last is far from the end of the clock.
        let now = Now { mono_ms: 1_000, unix_ms: 1_700_000_000_000, utc_offset_s: 3_600 };
        let sockets = (0..slots).map(|_| None).collect();
        let (closed, connections) = Default::default();
        let (held_when_new, limits) = (held, limits.clone());
        Self { server, held, held_when_new, now, limits, sockets, closed, connections }
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Whatever else happens to the server.
    pub fn with_server<T>(&mut self, act: impl FnOnce(&mut Server, Now) -> T) -> T {
        measured(&mut self.held, || act(&mut self.server, self.now))
    }

    /// After every step: the server's parts agree, its queues and its memory are within limits.
    pub fn check(&self) {
        self.server.check_invariants();
        let most = self.held_most();
        assert!(self.held <= most, "{} bytes are held, the limits allow {most}", self.held);
    }

    /// Bytes of heap that the limits allow to so many peers and rooms, and so much that was said.
    fn held_most(&self) -> usize {
        let bytes = |limit: u32| usize::try_from(limit).expect("32 bits");
        let queue = bytes(self.limits.queue_bytes_max);
        // What has come in of a message may have been grown to twice as much.
        let peer =
            OVERHEAD_BYTES + REQUEST_BYTES_MAX + 2 * bytes(self.limits.message_bytes_max) + queue;
        let (peers, rooms) = (self.server.peers(), self.server.rooms());
        let history = rooms * bytes(self.limits.history_frames_max);
        let said = usize::try_from(self.server.counters().messages).expect("few messages");
        // In two dialects.
        let remembered = history.min(said) * 2 * bytes(self.limits.frame_bytes_max());
        let own = self.held_when_new + SCRATCH_BYTES_KEPT;
        own + peers * peer + rooms * OVERHEAD_BYTES + remembered
    }

    /// A new connection in a free slot; its serial number, where there was a place for it.
    pub fn connect(&mut self, slot: usize, takes: usize) -> Option<usize> {
        if self.sockets[slot].is_some() {
            return None;
        }
        let number = u32::try_from(slot).expect("few slots");
        let id = self.with_server(|server, now| server.accept(number, None, now))?;
        self.connections += 1;
        let (opened_ms, heard_ms) = (self.now.mono_ms, self.now.mono_ms);
        let serial = self.connections;
        let (stream, finished_ms) = Default::default();
        self.sockets[slot] =
            Some(Socket { id, serial, takes, stream, opened_ms, heard_ms, finished_ms });
        Some(serial)
    }

    pub fn id(&self, slot: usize) -> Option<PeerId> {
        self.sockets[slot].as_ref().map(|socket| socket.id)
    }

    /// Hands in what arrives from a client; a turn goes out in between only where it must.
    pub fn arrive(&mut self, slot: usize, bytes: &[u8]) {
        let Some(id) = self.id(slot) else { return };
        let mut bytes = bytes.to_vec();
        let mut rest = &mut bytes[..];
        for calls in 0.. {
            if let Some(socket) = &mut self.sockets[slot] {
                socket.heard_ms = self.now.mono_ms;
            }
            let taken = self.with_server(|server, now| server.handle_input(id, rest, now));
            rest = &mut rest[taken..];
            if rest.is_empty() || self.id(slot) != Some(id) {
                return;
            }
            assert!(calls < CALLS_MAX, "input is never taken");
            self.turn();
        }
    }

    /// The client takes `more` bytes.
    pub fn read(&mut self, slot: usize, more: usize) {
        if let Some(socket) = &mut self.sockets[slot] {
            socket.takes = socket.takes.saturating_add(more);
            let id = socket.id;
            self.with_server(|server, _| server.handle_writable(id));
        }
    }

    /// From now on the client takes so many bytes; where it takes some, its socket says so.
    pub fn limit(&mut self, slot: usize, takes: usize) {
        if let Some(socket) = &mut self.sockets[slot] {
            socket.takes = takes;
            let id = socket.id;
            if takes > 0 {
                self.with_server(|server, _| server.handle_writable(id));
            }
        }
    }

    /// Does all that is due now.
    pub fn turn(&mut self) {
        for calls in 0.. {
            self.with_server(Server::handle_timeout);
            while let Some(output) = self.with_server(Server::poll_output) {
                match output {
                    Output::Transmit(id) => self.write(id),
                    Output::Close(id) => self.close(id),
                }
            }
            assert!(!self.server.has_output(), "all has been said");
            // A deadline may have had to wait for a full turn.
            match self.server.poll_timeout() {
                Some(at) if at <= self.now.mono_ms && !self.server.is_drained(self.now) => {}
                _ => break,
            }
            assert!(calls < CALLS_MAX, "a deadline is never met");
        }
        self.check();
        self.check_deadlines();
    }

    /// Moves the clock, deadline by deadline, as the reactor sleeps.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        for calls in 0.. {
            self.turn();
            match self.server.poll_timeout() {
                Some(at) if at <= until && !self.server.is_drained(self.now) => self.set_time(at),
                _ => break,
            }
            assert!(calls < CALLS_MAX, "the server wakes up all the time");
        }
        self.set_time(until);
        self.turn();
    }

    fn set_time(&mut self, mono_ms: u64) {
        let passed = mono_ms - self.now.mono_ms;
        self.now.mono_ms = mono_ms;
        self.now.unix_ms += i64::try_from(passed).expect("a short time");
    }

    fn write(&mut self, id: PeerId) {
        let socket = self.sockets[id.slot()].as_mut().filter(|socket| socket.id == id);
        let socket = socket.expect("only who is there is written to");
        let mut slices = [IoSlice::new(&[]); 4];
        let count = measured(&mut self.held, || self.server.transmit(id, &mut slices));
        assert!(count > 0, "who is to be written to has something to get");
        let mut len = 0;
        let mut is_blocked = false;
        for slice in &slices[..count] {
            let taken = slice.len().min(socket.takes);
            socket.stream.extend_from_slice(&slice[..taken]);
            socket.takes -= taken;
            len += taken;
            is_blocked |= taken < slice.len();
        }
        measured(&mut self.held, || {
            self.server.handle_sent(id, len);
            if is_blocked {
                self.server.handle_blocked(id);
            } else {
                self.server.handle_postponed(id);
            }
        });
        if self.server.is_finished(id) {
            socket.finished_ms.get_or_insert(self.now.mono_ms);
        }
    }

    fn close(&mut self, id: PeerId) {
        let socket = self.sockets[id.slot()].take().filter(|socket| socket.id == id);
        self.closed.push(socket.expect("a socket is closed once"));
    }

    /// Nobody overstays: neither who never completes a request, nor who is silent, nor who has
    /// been told the last.
    fn check_deadlines(&self) {
        if self.server.is_drained(self.now) {
            return;
        }
        let slice = self.limits.ping_ms / KEEPALIVE_SLICES;
        let closing_max = REQUEST_MS_MAX.max(CLOSE_MS_MAX).max(DRAIN_MS_MAX);
        let silent_max = (self.limits.silence_ms_max() + 2 * slice).max(2 * REQUEST_MS_MAX);
        // Who is sent away just before that, or told that the server goes, has time to read it.
        let silent_max = silent_max + CLOSE_MS_MAX.max(DRAIN_MS_MAX);
        for socket in self.sockets.iter().flatten() {
            let since = |ms: u64| self.now.mono_ms - ms;
            if socket.stream.is_empty() && socket.takes > 0 {
                assert!(since(socket.opened_ms) < REQUEST_MS_MAX, "a request has one deadline");
            }
            if self.limits.ping_ms > 0 {
                assert!(since(socket.heard_ms) < silent_max, "the silent are dropped");
            }
            if let Some(finished_ms) = socket.finished_ms {
                assert!(since(finished_ms) < closing_max, "a closing has a deadline");
            }
        }
    }
}

/// Does something, and adds to `held` what that allocates and does not give back.
fn measured<T>(held: &mut usize, act: impl FnOnce() -> T) -> T {
    let before = heap::held();
    let outcome = act();
    *held = (*held + heap::held()).checked_sub(before).expect("only what it holds is given back");
    outcome
}

/// A handshake for `/chat?query`, with header lines besides the ones that it needs.
pub fn handshake(query: &str, fields: &str) -> Vec<u8> {
    format!(
        "GET /chat?{query} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
    .into_bytes()
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
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    bytes
}
