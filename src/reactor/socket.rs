//! The sockets of the peers: how they are accepted, read, written to and closed.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::Token;
use rustix::io::Errno;
use slab::Slab;

use super::Reactor;
use super::listeners::Accepted;
use super::transport::{Outcome, Transport};
use crate::clock::Now;
use crate::conn::Application;
use crate::limits::{ACCEPTS_PER_ITERATION, READS_PER_PEER_AND_ITERATION, WRITE_SLICES_MAX};
use crate::peer::{PeerId, growth};

/// One connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    transport: Transport,
    pub(super) id: PeerId,
    unread: Option<Box<Unread>>,
    /// It stands in the backlog.
    is_queued: bool,
    /// The peer will send no more.
    is_eof: bool,
}

/// Bytes that were read and that the connections did not take yet.
#[derive(Debug)]
struct Unread {
    bytes: Box<[u8]>,
    /// How many of them were taken by now.
    taken: usize,
}

impl Socket {
    /// Whether it is read when the poll reports it. Otherwise the backlog is its only way, where
    /// it is or where [`Output::Read`](crate::conn::Output::Read) will put it.
    pub(super) fn is_read_on_event(&self) -> bool {
        !self.is_queued && self.unread.is_none()
    }
}

impl<A: Application> Reactor<A> {
    /// Accepts until nothing is left or the budget is used up.
    pub(super) fn accept(&mut self, now: Now) {
        for _ in 0..ACCEPTS_PER_ITERATION {
            match self.listeners.accept(now.mono_ms) {
                Accepted::Connection(socket, from) => {
                    self.open(socket, from, now);
                    // Who gave way for it; the descriptor is needed for the next.
                    self.close_ended();
                }
                Accepted::OverFdLimit(socket) => {
                    // Whatever its address has, it is the server that is full.
                    turn_away(socket, &self.connections.busy(None));
                    self.connections.handle_over_fd_limit();
                    self.listeners.take_spare();
                }
                Accepted::Nothing => return,
            }
        }
    }

    fn open(&mut self, socket: OwnedFd, from: Option<SocketAddr>, now: Now) {
        if self.sockets.len() == self.sockets.capacity() {
            self.sockets.reserve_exact(growth(self.sockets.len()));
        }
        let entry = self.sockets.vacant_entry();
        let slot = entry.key();
        // A process has fewer descriptors than a u32 has values.
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        let ip = from.map(|from| from.ip());
        let Some(id) = self.connections.accept(number, ip, now) else {
            return turn_away(socket, &self.connections.busy(ip));
        };
        let from = from.map_or_else(|| "unix".to_owned(), |from| from.to_string());
        log::debug!("accepted peer={id} from={from}");
        let transport = Transport::new(socket);
        let registered = transport.register(self.poll.registry(), Token(slot));
        entry.insert(Socket { transport, id, unread: None, is_queued: false, is_eof: false });
        if let Err(error) = registered {
            log::warn!("cannot watch error={:?}", error.to_string());
            self.connections.handle_closed(id, now);
        }
    }

    /// Puts a peer at the end of the backlog, once.
    pub(super) fn queue_read(&mut self, id: PeerId) {
        if let Some(socket) = find(&mut self.sockets, id)
            && !socket.is_queued
        {
            socket.is_queued = true;
            self.backlog.push_back(id);
        }
    }

    /// Reads who was put off before this iteration. Who is put off again waits for the next one.
    pub(super) fn read_backlog(&mut self, now: Now) {
        for _ in 0..self.backlog.len() {
            if let Some(id) = self.backlog.pop_front()
                && let Some(socket) = find(&mut self.sockets, id)
            {
                socket.is_queued = false;
                // It was not read when the poll reported it, so there may be no later report of
                // anything up to the end of the stream.
                self.read(id, true, now);
            }
        }
    }

    /// Hands in what is unread, and reads until the transport has no more, the connections take
    /// no more, or the budget is used up.
    ///
    /// A read that has drained the transport is the last, unless `to_the_end`: then the end of
    /// the stream may have been reported together with the bytes before it.
    pub(super) fn read(&mut self, id: PeerId, to_the_end: bool, now: Now) {
        let Some(socket) = find(&mut self.sockets, id) else { return };
        if let Some(Unread { bytes, taken }) = socket.unread.as_deref_mut() {
            *taken += self.connections.handle_input(id, &mut bytes[*taken..], now);
            if *taken < bytes.len() {
                return;
            }
            socket.unread = None;
        }
        for _ in 0..READS_PER_PEER_AND_ITERATION {
            match socket.transport.read(&mut self.buffer) {
                Outcome::Moved { len, drained } => {
                    let bytes = &mut self.buffer[..len];
                    let taken = self.connections.handle_input(id, bytes, now);
                    if taken < len {
                        let bytes = Box::from(&bytes[taken..]);
                        socket.unread = Some(Box::new(Unread { bytes, taken: 0 }));
                        return;
                    }
                    if drained && !to_the_end {
                        return;
                    }
                }
                Outcome::Blocked => return,
                Outcome::Eof => {
                    socket.is_eof = true;
                    return self.connections.handle_eof(id, now);
                }
                Outcome::Lost(error) => return self.handle_lost(id, error, now),
            }
        }
        self.queue_read(id);
    }

    /// Writes once what the connections have for a peer; how many bytes were taken.
    pub(super) fn write(&mut self, id: PeerId, now: Now) -> usize {
        let Some(socket) = find(&mut self.sockets, id) else { return 0 };
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let count = self.connections.transmit(id, &mut slices);
        if count == 0 {
            return 0;
        }
        match socket.transport.write(&slices[..count]) {
            Outcome::Moved { len, drained } => {
                self.connections.handle_sent(id, len);
                if !drained {
                    self.connections.handle_blocked(id, now);
                }
                return len;
            }
            Outcome::Blocked | Outcome::Eof => self.connections.handle_blocked(id, now),
            Outcome::Lost(error) => self.handle_lost(id, error, now),
        }
        0
    }

    /// Ends our direction of a connection, to which all has been written.
    pub(super) fn shut_down(&mut self, id: PeerId, now: Now) {
        let Some(socket) = find(&mut self.sockets, id) else { return };
        socket.transport.shutdown_write();
        if socket.is_eof {
            self.connections.handle_closed(id, now);
        }
    }

    /// Drops the sockets of all who are gone, even where outputs have used up their budget.
    pub(super) fn close_ended(&mut self) {
        while let Some(id) = self.connections.poll_close() {
            self.close(id);
        }
    }

    /// Drops a socket, and with it its registration.
    pub(super) fn close(&mut self, id: PeerId) {
        let socket = self.sockets.remove(id.slot());
        assert_eq!(socket.id, id, "a slot is one peer's until it is closed");
        self.listeners.resume();
        if self.sockets.is_empty() {
            self.sockets.shrink_to_fit();
        }
    }

    fn handle_lost(&mut self, id: PeerId, error: Errno, now: Now) {
        log::debug!("lost peer={id} error={:?}", error.to_string());
        self.connections.handle_closed(id, now);
    }
}

/// Tells a connection why there is no slot for it, as well as that can be done in one call:
/// its request may not have come yet, and then a reset may overtake the answer.
fn turn_away(socket: OwnedFd, answer: &[u8]) {
    let transport = Transport::new(socket);
    let _ = transport.read(&mut [0; 1024]);
    let _ = transport.write(&[IoSlice::new(answer)]);
    transport.shutdown_write();
}

/// A peer's socket, unless it is closed.
fn find(sockets: &mut Slab<Socket>, id: PeerId) -> Option<&mut Socket> {
    sockets.get_mut(id.slot()).filter(|socket| socket.id == id)
}
