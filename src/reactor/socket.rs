//! One connected socket: when it is read, and what came of a read or a write.

use std::io::IoSlice;

use rustix::io::Errno;
use slab::Slab;

use super::Reactor;
use super::transport::{Outcome, Transport};
use crate::clock::Now;
use crate::conn::Application;
use crate::limits::{READS_PER_PEER_AND_ITERATION, WRITE_SLICES_MAX};
use crate::peer::PeerId;

/// One connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) transport: Transport,
    pub(super) id: PeerId,
    pub(super) unread: Option<Box<Unread>>,
    /// It stands in the backlog.
    pub(super) is_queued: bool,
    /// The peer will send no more.
    pub(super) is_eof: bool,
}

/// Bytes that were read and that the connections did not take yet.
#[derive(Debug)]
pub(super) struct Unread {
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
                    self.connections.handle_blocked(id);
                }
                return len;
            }
            Outcome::Blocked | Outcome::Eof => self.connections.handle_blocked(id),
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

    fn handle_lost(&mut self, id: PeerId, error: Errno, now: Now) {
        log::debug!("lost peer={id} error={:?}", error.to_string());
        self.connections.handle_closed(id, now);
    }
}

/// A peer's socket, unless it is closed.
fn find(sockets: &mut Slab<Socket>, id: PeerId) -> Option<&mut Socket> {
    sockets.get_mut(id.slot()).filter(|socket| socket.id == id)
}
