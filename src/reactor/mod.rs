//! The poll loop: the only code that touches a socket or reads a clock.
//!
//! One turn ([`Reactor::turn`]): poll; what earlier budgets stopped; what the poll has told;
//! deadlines; outputs; closes; accepts. Closes and accepts come last, so no event of this turn
//! can meet a socket that took over the slot of the one it was for.
//!
//! mio is edge-triggered. Whoever stops before a socket says that it is exhausted must come back
//! by itself: a read that a budget stopped goes on the backlog, a write that a budget stopped
//! stays in the server's line, and the next poll does not wait.

mod address;
mod clock;
mod listener;
mod listeners;
mod socket_file;
mod transport;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

pub use address::Address;
pub use listeners::Listeners;

use crate::clock::Now;
use crate::hub::PeerId;
use crate::limits::{
    ACCEPTS_PER_TURN, EVENTS_PER_POLL, READ_BUFFER_BYTES, READS_PER_PEER_AND_TURN,
    TRANSMITS_PER_TURN, WRITE_SLICES_MAX, WRITES_PER_PEER_AND_TURN, column_growth,
};
use crate::process::{Supervisor, resident_bytes};
use crate::server::{Output, Server, busy};
use clock::Clock;
use listeners::Accepted;
use transport::{Outcome, Stream, Transport};

/// The token of the signals; those of the listeners follow it downwards. Sockets have the
/// numbers of their slots.
const SIGNALS: Token = Token(usize::MAX - 1);

fn listener_token(index: usize) -> Token {
    Token(SIGNALS.0 - 1 - index)
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After a signal, and with a goodbye to everybody.
    Drained,
    /// After a second signal, at once.
    Forced,
}

/// A connection as the reactor knows it.
#[derive(Debug)]
struct Socket {
    transport: Transport,
    id: PeerId,
    unread: Option<Box<Unread>>,
    /// It stands in the backlog.
    is_waiting: bool,
    /// It will send no more.
    is_eof: bool,
    /// Our direction is shut down.
    is_shut: bool,
    /// A write has failed.
    is_lost: bool,
}

/// Bytes that were read from a socket and that the server could not take yet.
#[derive(Debug)]
struct Unread {
    bytes: Box<[u8]>,
    /// How many of them the server has taken by now.
    taken: usize,
}

/// The poll loop and all that it owns.
#[allow(missing_debug_implementations, reason = "the signals have none")]
pub struct Reactor {
    poll: Poll,
    listeners: Listeners,
    signals: Signals,
    supervisor: Supervisor,
    sockets: Slab<Socket>,
    server: Server,
    clock: Clock,
    /// The one read buffer.
    buffer: Box<[u8]>,
    /// Slots whose reading a budget has stopped.
    backlog: VecDeque<usize>,
    ended: Option<Ended>,
    is_draining: bool,
}

impl Reactor {
    /// Takes connections in from `listeners`, and takes over SIGTERM, SIGINT and SIGHUP. Nothing is
    /// accepted before the first turn.
    ///
    /// # Errors
    /// What the system refused.
    pub fn new(mut listeners: Listeners, server: Server) -> io::Result<Self> {
        let poll = Poll::new()?;
        listeners.register(poll.registry(), listener_token)?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Self {
            poll,
            listeners,
            signals,
            supervisor: Supervisor::of_environment(),
            sockets: Slab::new(),
            server,
            clock: Clock::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            backlog: VecDeque::new(),
            ended: None,
            is_draining: false,
        })
    }

    /// What it takes connections in from.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// The server, to ask it how it is.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Turns until a signal ends it.
    ///
    /// # Errors
    /// A poll that fails; nothing that a peer does can make it.
    pub fn run(&mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        self.supervisor.ready();
        loop {
            self.turn(&mut events)?;
            if let Some(ended) = self.ended {
                return Ok(ended);
            }
        }
    }

    /// One turn of the loop: sleeps until something happens, and deals with it.
    ///
    /// # Errors
    /// A poll that fails; nothing that a peer does can make it.
    pub fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let sleep_max = self.poll_timeout();
        match self.poll.poll(events, sleep_max) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Err(_) => events.clear(),
            Ok(()) => {}
        }
        let now = self.clock.now(sleep_max);
        self.read_backlog(now);
        for event in events.iter() {
            self.handle_event(event, now);
        }
        self.server.handle_timeout(now);
        if self.server.is_scraped() {
            self.server.handle_resident_memory(resident_bytes());
        }
        self.act_on_outputs(now);
        self.accept(now);
        let status =
            || format!("Connections: {}, rooms: {}", self.server.peers(), self.server.rooms());
        self.supervisor.handle_timeout(now.mono_ms, status);
        self.server.handle_turn_took(self.clock.us_since_now());
        if self.server.is_drained(now) {
            self.ended.get_or_insert(Ended::Drained);
        }
        Ok(())
    }

    /// How long the poll may sleep; `None` for as long as nothing happens.
    fn poll_timeout(&self) -> Option<Duration> {
        let now_ms = self.clock.mono_ms();
        if !self.backlog.is_empty() || self.listeners.is_pending(now_ms) {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.server.poll_timeout(),
            self.listeners.poll_timeout(),
            self.supervisor.poll_timeout(),
        ];
        let first = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_millis(first.saturating_sub(now_ms)))
    }

    fn handle_event(&mut self, event: &Event, now: Now) {
        let Token(slot) = event.token();
        if event.token() == SIGNALS {
            self.handle_signals(now);
        } else if let Some(socket) = self.sockets.get(slot) {
            if event.is_writable() {
                self.server.handle_writable(socket.id);
            }
            if event.is_readable() || event.is_error() {
                let is_last = event.is_read_closed() || event.is_error();
                self.read(slot, is_last, now);
            }
        } else {
            self.listeners.handle_readable(SIGNALS.0 - 1 - slot);
        }
    }

    fn handle_signals(&mut self, now: Now) {
        for signal in self.signals.pending() {
            match signal {
                SIGHUP => log::info!("signal name=SIGHUP action=none"),
                _ if self.is_draining => self.ended = Some(Ended::Forced),
                _ => {
                    log::info!("draining peers={}", self.server.peers());
                    self.is_draining = true;
                    self.supervisor.stopping();
                    self.server.drain(now);
                }
            }
        }
    }

    /// Goes on where budgets of the last turn have stopped.
    fn read_backlog(&mut self, now: Now) {
        for _ in 0..self.backlog.len() {
            let Some(slot) = self.backlog.pop_front() else { return };
            if let Some(socket) = self.sockets.get_mut(slot) {
                socket.is_waiting = false;
                self.read(slot, true, now);
            }
        }
    }

    fn wait(&mut self, slot: usize) {
        if let Some(socket) = self.sockets.get_mut(slot)
            && !socket.is_waiting
        {
            socket.is_waiting = true;
            self.backlog.push_back(slot);
        }
    }

    /// Reads a socket until it has no more or a budget is used up.
    ///
    /// A read that does not fill the buffer has emptied the socket, and what arrives later is
    /// told by a later event; so one call is enough, unless `to_the_end`: then the end of the
    /// stream may have been told by the same event as the bytes before it.
    fn read(&mut self, slot: usize, to_the_end: bool, now: Now) {
        if !self.hand_in_unread(slot, now) {
            return self.wait(slot);
        }
        for _ in 0..READS_PER_PEER_AND_TURN {
            let Some(socket) = self.sockets.get_mut(slot) else { return };
            if self.server.must_flush(socket.id) {
                break;
            }
            if socket.is_lost {
                return self.server.handle_closed(socket.id, now);
            }
            match socket.transport.read(&mut self.buffer) {
                Outcome::Moved(len) => {
                    let bytes = &mut self.buffer[..len];
                    let taken = self.server.handle_input(socket.id, bytes, now);
                    if taken < len {
                        let bytes = Box::from(&bytes[taken..]);
                        socket.unread = Some(Box::new(Unread { bytes, taken: 0 }));
                        break;
                    }
                    if len < READ_BUFFER_BYTES && !to_the_end {
                        return;
                    }
                }
                Outcome::Blocked => return,
                Outcome::Eof => {
                    socket.is_eof = true;
                    return self.server.handle_eof(socket.id, now);
                }
                Outcome::Lost(error) => {
                    log::debug!("lost peer={} error={:?}", socket.id, error.to_string());
                    return self.server.handle_closed(socket.id, now);
                }
            }
        }
        self.wait(slot);
    }

    /// Hands in again what the server could not take before; whether it has taken all of it.
    fn hand_in_unread(&mut self, slot: usize, now: Now) -> bool {
        let Some(socket) = self.sockets.get_mut(slot) else { return true };
        let Some(unread) = &mut socket.unread else { return true };
        let rest = &mut unread.bytes[unread.taken..];
        unread.taken += self.server.handle_input(socket.id, rest, now);
        let is_all = unread.taken == unread.bytes.len();
        if is_all {
            socket.unread = None;
        }
        is_all
    }

    fn act_on_outputs(&mut self, now: Now) {
        for _ in 0..TRANSMITS_PER_TURN {
            match self.server.poll_output(now) {
                Some(Output::Transmit(id)) => self.write(id, now),
                Some(Output::Close(id)) => self.close(id),
                None => return,
            }
        }
    }

    /// Writes to a peer until there is no more, the socket takes no more, or a budget is used up.
    fn write(&mut self, id: PeerId, now: Now) {
        let Some(socket) = self.sockets.get_mut(id.slot()) else { return };
        for _ in 0..WRITES_PER_PEER_AND_TURN {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
            let count = self.server.transmit(id, &mut slices);
            if count == 0 {
                break;
            }
            match socket.transport.write(&slices[..count]) {
                Outcome::Moved(len) => self.server.handle_sent(id, len),
                Outcome::Blocked => return self.server.handle_blocked(id),
                outcome => {
                    if let Outcome::Lost(error) = outcome {
                        log::debug!("lost peer={id} error={:?}", error.to_string());
                    }
                    // Its leaving is told to its room, whose turn may be full; so it waits for its
                    // place among the input.
                    socket.is_lost = true;
                    self.server.handle_blocked(id);
                    return self.wait(id.slot());
                }
            }
        }
        self.server.handle_postponed(id);
        if self.server.is_finished(id) && !socket.is_shut {
            socket.is_shut = true;
            socket.transport.shutdown_write();
            if socket.is_eof {
                self.server.handle_closed(id, now);
            }
        }
    }

    /// Drops a socket, and with it its registration.
    fn close(&mut self, id: PeerId) {
        let socket = self.sockets.remove(id.slot());
        assert_eq!(socket.id, id, "a slot is one peer's until it is closed");
        self.listeners.handle_closed();
        if self.sockets.is_empty() {
            self.sockets.shrink_to_fit();
        }
    }

    fn accept(&mut self, now: Now) {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listeners.accept(now.mono_ms) {
                Accepted::Connection(stream, from) => {
                    if let Err(error) = self.take_in(stream, from, now) {
                        log::warn!("cannot watch error={:?}", error.to_string());
                    }
                    // Who gave way for it; the descriptor is needed for the next.
                    while let Some(id) = self.server.poll_close() {
                        self.close(id);
                    }
                }
                Accepted::Surplus(stream) => {
                    turn_away(stream);
                    self.server.handle_surplus();
                    self.listeners.take_spare();
                }
                Accepted::Nothing => return,
            }
        }
    }

    fn take_in(&mut self, stream: Stream, from: Option<SocketAddr>, now: Now) -> io::Result<()> {
        if self.sockets.len() == self.sockets.capacity() {
            self.sockets.reserve_exact(column_growth(self.sockets.len()));
        }
        let place = self.sockets.vacant_entry();
        let slot = place.key();
        // A process has fewer descriptors than a u32 has values.
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        let Some(id) = self.server.accept(number, from.map(|from| from.ip()), now) else {
            turn_away(stream);
            return Ok(());
        };
        let from = from.map_or_else(|| "unix".to_owned(), |from| from.to_string());
        log::debug!("accepted peer={id} from={from}");
        let mut transport = Transport::new(stream);
        let registered = transport.register(self.poll.registry(), Token(slot));
        place.insert(Socket {
            transport,
            id,
            unread: None,
            is_waiting: false,
            is_eof: false,
            is_shut: false,
            is_lost: false,
        });
        if registered.is_err() {
            self.server.handle_closed(id, now);
        }
        registered
    }
}

/// Tells a connection that there is no place for it, as well as that can be done in one call:
/// its request may not have come yet, and then a reset may overtake the answer.
fn turn_away(stream: Stream) {
    let mut transport = Transport::new(stream);
    let mut request = [0; 1024];
    let _ = transport.read(&mut request);
    let _ = transport.write(&[IoSlice::new(&busy())]);
    transport.shutdown_write();
}
