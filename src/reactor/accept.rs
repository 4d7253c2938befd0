//! Taking connections in: from a listener to a socket that the poll watches.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use mio::Token;

use super::Reactor;
use super::listeners::Accepted;
use super::socket::Socket;
use super::transport::Transport;
use crate::clock::Now;
use crate::conn::{Application, busy};
use crate::limits::ACCEPTS_PER_ITERATION;
use crate::peer::growth;

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
                    turn_away(socket);
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
        let Some(id) = self.connections.accept(number, from.map(|from| from.ip()), now) else {
            return turn_away(socket);
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
}

/// Tells a connection that there is no slot for it, as well as that can be done in one call:
/// its request may not have come yet, and then a reset may overtake the answer.
fn turn_away(socket: OwnedFd) {
    let transport = Transport::new(socket);
    let _ = transport.read(&mut [0; 1024]);
    let _ = transport.write(&[IoSlice::new(&busy())]);
    transport.shutdown_write();
}
