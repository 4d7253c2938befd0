//! What arrives in which pieces, what clients read, and the iterations of the loop between.

use hallway::conn::{Connections, Ending, Output};
use hallway::limits::CLOSE_MS_MAX;
use hallway::peer::PeerId;
use testkit::Driver;

use super::client::{Client, Temper};
use super::connection::{Connection, Wait};
use super::ledger::Snapshot;
use super::random::Random;
use super::tokens::Taken;
use super::world::{ROOMS, World};

/// Outputs after which one iteration must be over.
const OUTPUTS_MAX: usize = 100_000;

/// Iterations after which all must have come to rest: a small socket takes a replay in many
/// pieces.
const ITERATIONS_MAX: usize = 2_000;

impl World {
    pub(crate) fn arrive_all(&mut self, who: usize) {
        while !self.clients[who].connection.sending.is_empty() {
            self.arrive(who, usize::MAX);
        }
    }

    /// Hands the server a segment of what a client has sent.
    pub(crate) fn arrive(&mut self, who: usize, len: usize) {
        let client = &mut self.clients[who];
        let connection = &mut client.connection;
        let Some(peer) = connection.peer.filter(|_| connection.vanished_ms.is_none()) else {
            return connection.sending.clear();
        };
        let len = if client.temper == Temper::Dribbling { 1 } else { len };
        let len = len.min(connection.sending.len());
        let segment: Vec<u8> = connection.sending.drain(..len).collect();
        let exited = self.snapshot().exited;
        self.watch(Some(who), |driver| driver.send(peer, &segment));
        if self.snapshot().exited > exited {
            self.note_left(who);
        }
        self.note_wait(who, false);
    }

    /// Notes that a member has left, and how much its room had said by then.
    fn note_left(&mut self, who: usize) {
        let Client { room, connection, .. } = &mut self.clients[who];
        connection.left_at = Some(self.ledger.said[*room]);
        let socket = connection.peer.and_then(|peer| self.driver.socket(peer));
        let is_blocked = socket.is_some_and(|socket| socket.is_blocked);
        self.ledger.reached.left_behind += u64::from(is_blocked);
    }

    /// Notes whether input of a client waits, after some of it was handed in.
    fn note_wait(&mut self, who: usize, is_woken: bool) {
        let is_paused = self.is_paused(who);
        let pace = &self.clients[who].connection.pace;
        let is_address = self.rate().is_some_and(|rate| pace.waits_for_address(rate));
        let connection = &mut self.clients[who].connection;
        let Some(peer) = connection.peer else { return };
        let is_waiting = self.driver.socket(peer).is_some_and(|socket| !socket.unread.is_empty());
        let before = connection.wait.take();
        if !is_waiting {
            return;
        }
        let waits = |socket: &&testkit::Socket| !socket.unread.is_empty();
        let others = self.driver.sockets().filter(waits).count() - 1;
        let mut wait = before.unwrap_or(Wait { in_vain: 0, others });
        wait.in_vain += usize::from(is_woken);
        wait.others = wait.others.max(others);
        connection.wait = Some(wait);
        let outbound = &self.driver.server.peers().outbound;
        let reached = &mut self.ledger.reached;
        match outbound.must_write_first(peer) {
            true => reached.deferred += 1,
            false if is_paused => {
                reached.paused += 1;
                reached.paused_by_address += u64::from(is_address);
            }
            false if connection.order.is_some() => reached.parked_texts += 1,
            false => reached.parked_joins += 1,
        }
    }

    pub(crate) fn read(&mut self, who: usize, len: usize) {
        let client = &mut self.clients[who];
        if let Some(peer) = client.connection.peer.filter(|_| client.reads()) {
            let bytes = self.driver.read(peer, len);
            client.connection.written.unread -= bytes.len();
            client.connection.read(&bytes);
        }
    }

    pub(crate) fn drop_connection(&mut self, who: usize) {
        if let Some(peer) = self.clients[who].connection.peer {
            self.clients[who].connection.is_leaving = true;
            self.watch(Some(who), |driver| driver.reset(peer));
        }
    }

    /// The client sends nothing more, and still reads.
    pub(crate) fn eof(&mut self, who: usize) {
        let connection = &mut self.clients[who].connection;
        if let Some(peer) = connection.peer.filter(|_| connection.vanished_ms.is_none()) {
            connection.is_leaving = true;
            connection.is_eof = true;
            connection.eof_ms = Some(self.driver.now.mono_ms);
            connection.sending.clear();
            self.watch(Some(who), |driver| driver.eof(peer));
        }
    }

    /// Time passes: the server wakes whenever it has asked for it, and who reads answers pings.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.driver.now.mono_ms + ms;
        // A request in pieces, with long pauses between them.
        (0..self.clients.len()).for_each(|who| self.arrive(who, 40));
        while self.driver.now.mono_ms < until {
            let next = self.driver.server.poll_timeout().unwrap_or(until);
            // What was due before is done in this iteration.
            self.driver.now.mono_ms = next.clamp(self.driver.now.mono_ms, until);
            self.iterate();
            self.check_deadlines();
            (0..self.clients.len()).for_each(|who| self.answer_ping(who));
            if self.driver.server.is_drained(self.driver.now) {
                self.driver.now.mono_ms = until;
            }
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
    /// has come in meanwhile has not been read. What it has written before arrives.
    pub(crate) fn stop(&mut self, ms: u64) {
        self.read_everything();
        for who in 0..self.clients.len() {
            let is_out = ms >= CLOSE_MS_MAX && self.is_sent_away(who);
            self.clients[who].connection.is_overdue |= is_out;
        }
        self.driver.now.mono_ms += ms;
        // Nobody can be held to a deadline that the server did not keep.
        for connection in self.clients.iter_mut().map(|client| &mut client.connection) {
            connection.since_ms += ms;
            connection.vanished_ms = connection.vanished_ms.map(|at| at + ms);
            connection.stalled_ms = connection.stalled_ms.map(|at| at + ms);
            connection.eof_ms = connection.eof_ms.map(|at| at + ms);
        }
        self.iterate();
        self.check_deadlines();
        (0..self.clients.len()).for_each(|who| self.answer_ping(who));
    }

    /// Whether the server has sent a client away that may not know it yet.
    pub(crate) fn is_sent_away(&self, who: usize) -> bool {
        let Connection { peer, order, .. } = &self.clients[who].connection;
        let rooms = &self.driver.server.application().rooms;
        order.is_some() && peer.is_some_and(|peer| rooms.member(peer).is_none())
    }

    /// The rest of an iteration of the reactor, and as many more as it takes until all who read
    /// have read everything.
    pub(crate) fn iterate(&mut self) {
        for _ in 0..ITERATIONS_MAX {
            self.watch(None, |driver| driver.serve(Connections::handle_timeout));
            assert!(self.act_on_outputs(OUTPUTS_MAX), "the server spins");
            let server = &self.driver.server;
            let (now, next) = (self.driver.now, server.poll_timeout());
            let is_due = next.is_some_and(|at| at <= now.mono_ms) && !server.is_drained(now);
            if !self.read_everything() && !is_due {
                return self.check_iteration();
            }
        }
        panic!("it never comes to rest");
    }

    /// Everybody who reads all does so; whether a socket takes more since, or one is closed.
    fn read_everything(&mut self) -> bool {
        let mut is_more = false;
        for who in 0..self.clients.len() {
            let client = &self.clients[who];
            let socket = client.connection.peer.and_then(|peer| self.driver.socket(peer));
            if let Some(socket) = socket.filter(|_| client.reads_all())
                && !socket.received.is_empty()
            {
                is_more |= socket.is_blocked;
                self.read(who, usize::MAX);
                is_more |= self.hang_up(who);
            }
        }
        is_more
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

    /// Does what the server wants done, as far as a budget goes; whether that was all.
    pub(crate) fn act_on_outputs(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            let (before, bytes_in) = (self.snapshot(), self.driver.bytes_in);
            let output = self.driver.step();
            let who = output.and_then(|output| match output {
                Output::Transmit(peer) | Output::Read(peer) | Output::ShutDown(peer) => {
                    Some(self.find(peer))
                }
                Output::Close(_) => None,
            });
            self.note(who, &before);
            match (output, who) {
                (Some(Output::Transmit(peer)), Some(who)) => self.note_written(who, peer),
                (Some(Output::Read(_)), Some(who)) => {
                    if self.driver.bytes_in > bytes_in {
                        self.clients[who].connection.wait = None;
                        self.note_wait(who, false);
                    } else {
                        self.note_wait(who, true);
                    }
                    self.check_wait(who);
                }
                (None, _) => return true,
                _ => {}
            }
            self.collect_closed();
        }
        false
    }

    /// Has the driver do something to a client, or to many, and notes what comes of it.
    pub(crate) fn watch<T>(
        &mut self,
        who: Option<usize>,
        call: impl FnOnce(&mut Driver) -> T,
    ) -> T {
        let before = self.snapshot();
        let outcome = call(&mut self.driver);
        self.note(who, &before);
        outcome
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let server = &self.driver.server;
        Snapshot {
            joined: server.counters().joined,
            exited: server.counters().exited.sum(),
            messages: server.chat_counters().messages,
            rejected: server.chat_counters().rejected.sum(),
            taken: Taken {
                // A binary message is the last of its connection.
                messages: server.counters().texts + server.counters().exited.of(Ending::Binary),
                pings: server.counters().pings,
                pongs: server.counters().pongs,
            },
            members: std::array::from_fn(|room| server.members(&format!("r{room}"))),
        }
    }

    /// Notes what has been written to a client's socket just now.
    fn note_written(&mut self, who: usize, peer: PeerId) {
        let Some(socket) = self.driver.socket(peer) else { return };
        let connection = &mut self.clients[who].connection;
        let replayed = connection.replay_len();
        let written = &mut connection.written;
        let (before, texts) = (written.counted(replayed), written.texts);
        let bytes: Vec<u8> = socket.received.iter().skip(written.unread).copied().collect();
        let was_cut = written.is_cut();
        written.add(&bytes);
        let at_once = written.counted(replayed) - before;
        let is_cut_off = was_cut && written.is_closed() && connection.was_blocked;
        let is_replaying = (texts + 1..replayed).contains(&written.texts) && !socket.is_blocked;
        let reached = &mut self.ledger.reached;
        reached.closed_in_a_frame += u64::from(is_cut_off);
        reached.replays_in_pieces += u64::from(is_replaying);
        connection.was_blocked |= socket.is_blocked;
        if !bytes.is_empty() {
            connection.stalled_ms = None;
        }
        if socket.is_blocked {
            connection.stalled_ms.get_or_insert(self.driver.now.mono_ms);
        }
        self.check_written(who, at_once);
    }

    pub(crate) fn find(&self, peer: PeerId) -> usize {
        let who = self.slots[peer.slot()].expect("outputs are for connections that are there");
        let connection = &self.clients[who].connection;
        assert_eq!(connection.peer, Some(peer), "and for nobody who had the slot before");
        who
    }

    /// Sees to those whose sockets the server has closed.
    pub(crate) fn collect_closed(&mut self) {
        for socket in std::mem::take(&mut self.driver.closed) {
            let who = self.find(socket.id);
            let client = &mut self.clients[who];
            // What is in the socket's buffer still arrives.
            if client.reads() {
                client.connection.read(&Vec::from(socket.received));
            }
            self.slots[socket.id.slot()] = None;
            self.check_reason(who);
            self.ghosts.push(socket.id);
            let connection = &mut self.clients[who].connection;
            connection.peer = None;
            connection.wait = None;
            connection.sending.clear();
        }
    }

    /// What a client's room is called by the server.
    pub(crate) fn rooms() -> std::ops::Range<usize> {
        0..ROOMS
    }
}
