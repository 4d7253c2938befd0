//! Connections without sockets: what the reactor does, with a hand on everything: time, input, and
//! how much each socket takes.
//!
//! Nothing happens by itself. Bytes come in by [`Driver::send`], outputs are acted on one by one by
//! [`Driver::step`], or all by [`Driver::flush`].

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::IpAddr;

use hallway::chat::{Chat, Server, Setup};
use hallway::clock::Now;
use hallway::conn::{Application, Connections, Output};
use hallway::limits::{Limits, WRITE_SLICES_MAX};
use hallway::peer::PeerId;

use crate::{NOW, heap};

/// Steps after which the server is said to spin.
const STEPS_MAX: usize = 10_000_000;

/// The client's end of one connection.
#[derive(Debug)]
pub struct Socket {
    /// Which peer it is.
    pub id: PeerId,
    /// Bytes that it holds before it takes no more.
    pub capacity: usize,
    /// Bytes that the server has written and the client has not read.
    pub received: VecDeque<u8>,
    /// Bytes that the client has sent and the server has not taken.
    pub unread: Vec<u8>,
    /// The server has been told that it takes no more.
    pub is_blocked: bool,
    /// The client has ended its direction.
    pub is_eof: bool,
    /// The server has ended its direction.
    pub is_shut: bool,
    /// The next write to it fails.
    pub is_broken: bool,
    /// When it was opened, when the server was last handed bytes of it, and when
    /// all had been written to it that ever will be; in milliseconds of the clock.
    pub opened_ms: u64,
    /// See `opened_ms`.
    pub heard_ms: u64,
    /// See `opened_ms`.
    pub finished_ms: Option<u64>,
}

/// Connections, their sockets, and the time.
#[derive(Debug)]
pub struct Driver<A = Chat> {
    /// The connections and their application.
    pub server: Connections<A>,
    /// What time it is.
    pub now: Now,
    /// Bytes of heap that the server holds, where [`heap::Counting`] is the allocator.
    pub held: usize,
    /// Bytes that were handed in and taken, and that were written.
    pub bytes_in: u64,
    /// See `bytes_in`.
    pub bytes_out: u64,
    /// By slot, as in the reactor's slab.
    pub(crate) sockets: Vec<Option<Socket>>,
    /// Whose sockets the server has closed, with what was still in them.
    pub closed: Vec<Socket>,
}

impl Driver {
    /// A chat server of these limits.
    pub fn new(limits: Limits) -> Self {
        Self::chat(Setup { limits, ..Setup::default() })
    }

    /// A chat server.
    pub fn chat(setup: Setup) -> Self {
        setup.limits.check().expect("limits that fit together");
        Self::of(|| Server::with(setup))
    }
}

impl<A: Application> Driver<A> {
    /// Connections that are made now, so that their memory is counted.
    pub fn of(make: impl FnOnce() -> Connections<A>) -> Self {
        let before = heap::held();
        let server = make();
        Self {
            server,
            now: NOW,
            held: heap::held().wrapping_sub(before),
            bytes_in: 0,
            bytes_out: 0,
            sockets: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Has the server do something, and counts the memory that this takes or gives back.
    pub fn serve<T>(&mut self, call: impl FnOnce(&mut Connections<A>, Now) -> T) -> T {
        let before = heap::held();
        let outcome = call(&mut self.server, self.now);
        self.held = self.held.wrapping_add(heap::held()).wrapping_sub(before);
        outcome
    }

    /// The socket of a peer, if it is still open.
    pub fn socket(&self, id: PeerId) -> Option<&Socket> {
        self.sockets.get(id.slot())?.as_ref().filter(|socket| socket.id == id)
    }

    /// The same, to change it.
    pub fn socket_mut(&mut self, id: PeerId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.slot())?.as_mut().filter(|socket| socket.id == id)
    }

    /// All sockets that are open.
    pub fn sockets(&self) -> impl Iterator<Item = &Socket> {
        self.sockets.iter().flatten()
    }

    // --- what clients do

    /// A connection from an address, in the lowest free slot; `None` where there is no slot for it.
    pub fn connect(&mut self, ip: Option<IpAddr>) -> Option<PeerId> {
        let free = self.sockets.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.sockets.len());
        let number = u32::try_from(slot).expect("few slots");
        let id = self.serve(|server, now| server.accept(number, ip, now));
        // Who was evicted for it.
        while let Some(gone) = self.serve(|server, _| server.poll_close()) {
            self.close(gone);
        }
        let id = id?;
        if slot == self.sockets.len() {
            self.sockets.push(None);
        }
        self.sockets[slot] = Some(Socket {
            id,
            capacity: usize::MAX,
            received: VecDeque::new(),
            unread: Vec::new(),
            is_blocked: false,
            is_eof: false,
            is_shut: false,
            is_broken: false,
            opened_ms: self.now.mono_ms,
            heard_ms: self.now.mono_ms,
            finished_ms: None,
        });
        Some(id)
    }

    /// Hands in what a client sends. What is not taken waits until the server asks for it.
    pub fn send(&mut self, id: PeerId, bytes: &[u8]) {
        let Some(socket) = self.socket_mut(id) else { return };
        let is_waiting = !socket.unread.is_empty();
        socket.unread.extend_from_slice(bytes);
        if !is_waiting {
            self.hand_in(id);
        }
    }

    /// A client ends its direction, after all that it has sent.
    pub fn eof(&mut self, id: PeerId) {
        let Some(socket) = self.socket_mut(id) else { return };
        socket.is_eof = true;
        let is_read = socket.unread.is_empty();
        self.serve(|server, now| match is_read {
            true => server.handle_eof(id, now),
            false => server.handle_hang_up(id, now),
        });
    }

    /// A connection is reset.
    pub fn reset(&mut self, id: PeerId) {
        self.serve(|server, now| server.handle_closed(id, now));
    }

    /// A client reads at most `len` bytes of what has arrived.
    pub fn read(&mut self, id: PeerId, len: usize) -> Vec<u8> {
        let Some(socket) = self.socket_mut(id) else { return Vec::new() };
        let len = len.min(socket.received.len());
        let bytes = socket.received.drain(..len).collect();
        self.tell_writable(id);
        bytes
    }

    /// A socket holds so many bytes from now on.
    pub fn set_capacity(&mut self, id: PeerId, capacity: usize) {
        if let Some(socket) = self.socket_mut(id) {
            socket.capacity = capacity;
            self.tell_writable(id);
        }
    }

    /// A socket takes `len` bytes from now on, and then no more.
    pub fn take_only(&mut self, id: PeerId, len: usize) {
        if let Some(socket) = self.socket(id) {
            self.set_capacity(id, socket.received.len() + len);
        }
    }

    /// A socket takes `len` bytes more than it would have.
    pub fn take_more(&mut self, id: PeerId, len: usize) {
        if let Some(socket) = self.socket(id) {
            self.set_capacity(id, socket.capacity.saturating_add(len));
        }
    }

    /// Tells the server that a blocked socket takes more, if it does.
    fn tell_writable(&mut self, id: PeerId) {
        if let Some(socket) = self.socket_mut(id)
            && socket.is_blocked
            && socket.received.len() < socket.capacity
        {
            socket.is_blocked = false;
            self.serve(|server, _| server.handle_writable(id));
        }
    }

    fn hand_in(&mut self, id: PeerId) {
        let now_ms = self.now.mono_ms;
        let Some(socket) = self.socket_mut(id) else { return };
        socket.heard_ms = now_ms;
        let mut bytes = std::mem::take(&mut socket.unread);
        let taken = self.serve(|server, now| server.handle_input(id, &mut bytes, now));
        self.bytes_in += taken as u64;
        bytes.drain(..taken);
        let Some(socket) = self.socket_mut(id) else { return };
        socket.unread = bytes;
        if socket.unread.is_empty() && socket.is_eof {
            self.serve(|server, now| server.handle_eof(id, now));
        }
    }

    // --- what the reactor does

    /// Does the next thing that the server wants done.
    pub fn step(&mut self) -> Option<Output> {
        let output = self.serve(Connections::poll_output)?;
        match output {
            Output::Transmit(id) => self.write(id),
            Output::Read(id) => self.hand_in(id),
            Output::ShutDown(id) => self.shut_down(id),
            Output::Close(id) => self.close(id),
        }
        Some(output)
    }

    /// Does all that is due, and all that follows from it.
    ///
    /// # Panics
    /// Where it never ends.
    pub fn flush(&mut self) {
        self.serve(Connections::handle_timeout);
        for _ in 0..STEPS_MAX {
            if self.step().is_none() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Moves the clock, and does what is due then.
    pub fn at(&mut self, mono_ms: u64) {
        self.now.unix_ms += i64::try_from(mono_ms - self.now.mono_ms).expect("a short time");
        self.now.mono_ms = mono_ms;
        self.flush();
    }

    /// Lets time pass as the reactor does: it wakes whenever the server has asked for it.
    pub fn pass(&mut self, ms: u64) {
        self.pass_checked(ms, |_| {});
    }

    /// The same, with a check after each time that it wakes.
    pub fn pass_checked(&mut self, ms: u64, check: impl Fn(&Self)) {
        let until = self.now.mono_ms + ms;
        self.flush();
        check(self);
        while let Some(next) = self.server.poll_timeout()
            && next <= until
            && !self.server.is_drained(self.now)
        {
            assert!(next > self.now.mono_ms, "deadlines advance");
            self.at(next);
            check(self);
        }
        self.at(until);
        check(self);
    }

    fn write(&mut self, id: PeerId) {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let before = heap::held();
        let count = self.server.transmit(id, &mut slices);
        self.held = self.held.wrapping_add(heap::held()).wrapping_sub(before);
        let Some(socket) = self.sockets[id.slot()].as_mut().filter(|socket| socket.id == id) else {
            panic!("only who is there is written to");
        };
        assert!(!socket.is_blocked, "nobody is written to whose socket takes nothing");
        if socket.is_broken {
            return self.reset(id);
        }
        let (mut len, mut is_blocked) = (0, false);
        for slice in &slices[..count] {
            let taken = slice.len().min(socket.capacity.saturating_sub(socket.received.len()));
            socket.received.extend(&slice[..taken]);
            len += taken;
            is_blocked |= taken < slice.len();
        }
        socket.is_blocked = is_blocked;
        self.bytes_out += len as u64;
        self.serve(|server, now| {
            if len > 0 {
                server.handle_sent(id, len);
            }
            if is_blocked {
                server.handle_blocked(id, now);
            }
        });
    }

    fn shut_down(&mut self, id: PeerId) {
        let now_ms = self.now.mono_ms;
        let Some(socket) = self.socket_mut(id) else { return };
        socket.finished_ms = Some(now_ms);
        assert!(!socket.is_shut, "a direction is ended once");
        socket.is_shut = true;
        if socket.is_eof {
            self.reset(id);
        }
    }

    fn close(&mut self, id: PeerId) {
        let socket = self.sockets[id.slot()].take().filter(|socket| socket.id == id);
        self.closed.push(socket.expect("a socket is closed once"));
    }
}
