//! A connection, and what it holds beyond its socket where there is something to hold.

use std::collections::VecDeque;
use std::mem;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

pub struct Connection {
    pub socket: OwnedFd,
    /// Where it is, once it has asked for the upgrade.
    pub room: Option<u32>,
    /// Only where there is something: most connections are idle most of the time.
    held: Option<Box<Held>>,
}

// What an idle connection costs, together with four bytes among the members of its room.
const _: () = assert!(size_of::<Connection>() == 24);

#[derive(Default)]
struct Held {
    /// The beginning of a request or a frame.
    unread: Vec<u8>,
    unsent: VecDeque<u8>,
}

impl Connection {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, room: None, held: None }
    }

    fn has_unsent(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.unsent.is_empty())
    }

    /// Writes once, unless earlier bytes still wait, and keeps the rest.
    pub fn send(&mut self, bytes: &[u8]) {
        let sent = if self.has_unsent() { 0 } else { write_some(&self.socket, bytes) };
        if sent < bytes.len() {
            self.held.get_or_insert_default().unsent.extend(&bytes[sent..]);
        }
    }

    /// Writes what was kept, as far as the socket takes it.
    pub fn send_rest(&mut self) {
        let Some(held) = &mut self.held else { return };
        while !held.unsent.is_empty() {
            let first = held.unsent.as_slices().0;
            let (length, sent) = (first.len(), write_some(&self.socket, first));
            held.unsent.drain(..sent);
            if sent < length {
                return;
            }
        }
        if held.unread.is_empty() {
            self.held = None;
        }
    }

    /// The bytes of earlier reads that were not the whole of anything.
    pub fn take_unread(&mut self) -> Vec<u8> {
        self.held.as_mut().map(|held| mem::take(&mut held.unread)).unwrap_or_default()
    }

    pub fn keep_unread(&mut self, unread: Vec<u8>) {
        if !unread.is_empty() {
            self.held.get_or_insert_default().unread = unread;
        } else if !self.has_unsent() {
            self.held = None;
        }
    }
}

/// How many bytes the socket takes. A broken one takes them all: epoll tells of its end.
fn write_some(socket: &OwnedFd, bytes: &[u8]) -> usize {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => sent,
        Err(Errno::AGAIN) => 0,
        Err(_) => bytes.len(),
    }
}
