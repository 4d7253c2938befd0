//! The reactor's part: what arrives in which pieces, what a socket takes, and who is gone.

use std::io::IoSlice;

use hallway::hub::PeerId;
use hallway::limits::WRITE_SLICES_MAX;
use hallway::server::Output;

use super::client::{Client, Temper};
use super::heap::held;
use super::random::Random;
use super::world::World;

/// Turns after which all must have come to rest: a full turn puts deadlines off, and a small
/// socket takes a replay in many pieces.
const TURNS_MAX: usize = 2_000;

impl World {
    pub(crate) fn arrive_all(&mut self, who: usize) {
        while !self.clients[who].connection.sending.is_empty() {
            self.arrive(who, usize::MAX);
        }
    }

    /// Hands the server a segment of what a client has sent.
    pub(crate) fn arrive(&mut self, who: usize, len: usize) {
        let (now, joined) = (self.now, self.server.counters().joined);
        let client = &mut self.clients[who];
        let connection = &mut client.connection;
        let Some(peer) = connection.peer.filter(|_| connection.vanished_ms.is_none()) else {
            return connection.sending.clear();
        };
        let len = if client.temper == Temper::Dribbling { 1 } else { len };
        let len = len.min(connection.sending.len());
        let mut segment: Vec<u8> = connection.sending.iter().take(len).copied().collect();
        let taken = self.serve(|server| server.handle_input(peer, &mut segment, now));
        self.received_bytes += taken as u64;
        self.clients[who].connection.sending.drain(..taken);
        assert!(taken == len || self.server.has_output(), "what is not taken waits for outputs");
        if self.server.counters().joined > joined {
            // What this turn has said so far is in the replay already, and the observer has it
            // only after the outputs.
            self.turn_until_told(who);
        } else if taken < len {
            self.turn();
        }
    }

    /// Ends the turn in which somebody has joined, and notes how much the room has said.
    fn turn_until_told(&mut self, who: usize) {
        self.act_on_outputs(usize::MAX);
        let room = self.clients[who].room;
        self.observer_mut(room).read(usize::MAX);
        self.note_joined(who);
        self.turn();
    }

    pub(crate) fn read(&mut self, who: usize, len: usize) {
        let client = &mut self.clients[who];
        if !client.reads() {
            return;
        }
        client.read(len);
        let connection = &mut client.connection;
        if connection.is_blocked && connection.receiving.len() < client.socket_bytes {
            connection.is_blocked = false;
            if let Some(peer) = connection.peer {
                self.serve(|server| server.handle_writable(peer));
            }
        }
    }

    pub(crate) fn drop_connection(&mut self, who: usize) {
        let now = self.now;
        if let Some(peer) = self.clients[who].connection.peer {
            self.clients[who].connection.is_leaving = true;
            self.serve(|server| server.handle_closed(peer, now));
        }
    }

    /// The client sends nothing more, and still reads.
    pub(crate) fn eof(&mut self, who: usize) {
        let (now, connection) = (self.now, &mut self.clients[who].connection);
        if let Some(peer) = connection.peer.filter(|_| connection.vanished_ms.is_none()) {
            connection.is_leaving = true;
            connection.is_eof = true;
            connection.sending.clear();
            self.serve(|server| server.handle_eof(peer, now));
        }
    }

    /// Time passes: the server wakes whenever it has asked for it, and who reads answers pings.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.now.mono_ms + ms;
        // A request in pieces, with long pauses between them.
        (0..self.clients.len()).for_each(|who| self.arrive(who, 40));
        while self.now.mono_ms < until {
            let next = self.server.poll_timeout().unwrap_or(until);
            // What was due before is done in this turn.
            self.now.mono_ms = next.clamp(self.now.mono_ms, until);
            self.turn();
            self.check_deadlines();
            (0..self.clients.len()).for_each(|who| self.answer_ping(who));
            let is_over = self.server.is_drained(self.now);
            self.now.mono_ms = if is_over { until } else { self.now.mono_ms };
        }
    }

    fn answer_ping(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if client.is_member() && client.reads() {
            self.read(who, 400);
            if std::mem::take(&mut self.clients[who].connection.is_pinged) {
                self.frame(who, 0x8a, b"", &mut Random::new(0));
                self.arrive_all(who);
            }
        }
    }

    /// The process is stopped for so long, and goes on: all deadlines are over at once, and what
    /// has come in meanwhile has not been read.
    pub(crate) fn stop(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        // Nobody can be held to a deadline that the server did not keep.
        for connection in self.clients.iter_mut().map(|client| &mut client.connection) {
            connection.since_ms += ms;
            connection.vanished_ms = connection.vanished_ms.map(|at| at + ms);
        }
        self.turn();
        self.check_deadlines();
        (0..self.clients.len()).for_each(|who| self.answer_ping(who));
    }

    /// The rest of a turn of the reactor, and as many more as it takes until all who read have
    /// read everything.
    pub(crate) fn turn(&mut self) {
        let now = self.now;
        for _ in 0..TURNS_MAX {
            self.serve(|server| server.handle_timeout(now));
            self.act_on_outputs(usize::MAX);
            let is_due = self.server.poll_timeout().is_some_and(|at| at <= now.mono_ms);
            let is_over = self.server.is_drained(now) && !self.server.has_output();
            if !self.read_everything() && (!is_due || is_over) {
                return self.check_turn();
            }
        }
        panic!("it never comes to rest");
    }

    /// Everybody who reads all does so; whether a socket takes more since.
    fn read_everything(&mut self) -> bool {
        let mut takes_more = false;
        for who in 0..self.clients.len() {
            let client = &self.clients[who];
            if client.reads_all() && !client.connection.receiving.is_empty() {
                takes_more |= client.connection.is_blocked;
                self.read(who, usize::MAX);
                takes_more |= self.hang_up(who);
            }
        }
        takes_more
    }

    /// Half of all clients end their side as soon as the server has said its last; the others
    /// leave it to the server's deadline.
    fn hang_up(&mut self, who: usize) -> bool {
        let connection = &self.clients[who].connection;
        let is_last = connection.close_code.is_some() || connection.status.is_some_and(|s| s > 101);
        let hangs_up = is_last && !connection.is_eof && who.is_multiple_of(2);
        if hangs_up {
            self.eof(who);
        }
        hangs_up
    }

    /// Does what the server wants done, as far as a budget goes.
    pub(crate) fn act_on_outputs(&mut self, budget: usize) {
        let now = self.now;
        for _ in 0..budget {
            match self.serve(|server| server.poll_output(now)) {
                Some(Output::Transmit(peer)) => self.write(peer),
                Some(Output::Close(peer)) => self.close(peer),
                None => return,
            }
        }
    }

    fn find(&mut self, peer: PeerId) -> &mut Client {
        let who = self.slots[peer.slot()].expect("outputs are for connections that are there");
        let client = &mut self.clients[who];
        assert_eq!(client.connection.peer, Some(peer), "and for nobody who had the slot before");
        client
    }

    /// Writes to a socket as much as it takes.
    fn write(&mut self, peer: PeerId) {
        let now = self.now;
        let client = self.find(peer);
        if client.connection.is_broken {
            client.connection.is_leaving = true;
            return self.serve(|server| server.handle_closed(peer, now));
        }
        let room = client.socket_bytes.saturating_sub(client.connection.receiving.len());
        let mut bytes = self.transmit(peer);
        let is_all = bytes.len() <= room;
        bytes.truncate(room);
        self.written_bytes += bytes.len() as u64;
        let connection = &mut self.find(peer).connection;
        connection.is_blocked = !is_all;
        connection.receiving.extend(&bytes);
        let is_eof = connection.is_eof;
        self.serve(|server| {
            server.handle_sent(peer, bytes.len());
            if !is_all {
                return server.handle_blocked(peer);
            }
            server.handle_postponed(peer);
            if server.is_finished(peer) && is_eof {
                server.handle_closed(peer, now);
            }
        });
    }

    fn transmit(&mut self, peer: PeerId) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let before = held();
        let count = self.server.transmit(peer, &mut slices);
        self.held = self.held.wrapping_add(held()).wrapping_sub(before);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn close(&mut self, peer: PeerId) {
        let client = self.find(peer);
        // What is in the socket's buffer still arrives.
        if client.reads() {
            client.read(usize::MAX);
        }
        let who = self.slots[peer.slot()].take().expect("it was there");
        self.check_reason(who);
        self.ghosts.push(peer);
        let connection = &mut self.clients[who].connection;
        connection.peer = None;
        connection.sending.clear();
        connection.receiving.clear();
    }
}
