//! The poll loop: the only code that touches a socket or reads a clock.
//!
//! [`Reactor::run`] repeats this until it is stopped:
//!
//! ```text
//! poll                 sleep until something happens or Connections::poll_timeout comes
//! read_backlog         handle_input, handle_eof, handle_closed    who was put off earlier
//! handle_events        handle_writable                            who takes bytes again
//!                      handle_input, handle_eof, handle_closed    who has sent some
//!                      drain                                      a stop was asked for
//! handle_timeout       handle_timeout                             what is due
//! handle_outputs       poll_output, until it says None or a budget is used up:
//!                        Transmit   transmit, one write, handle_sent | handle_blocked | handle_closed
//!                        Read       to the end of the backlog
//!                        ShutDown   end our direction; handle_closed if the peer has ended its own
//!                        Close      drop the socket
//! close_ended          poll_close, until it says None
//! accept               accept, poll_close; handle_over_fd_limit   within a budget
//! supervisor           status_line, handle_iteration_took, is_drained
//! ```
//!
//! On the left is what the loop does, beside it what it calls of [`Connections`], in this order.
//! Closes and accepts come last, so no event of an iteration can meet a socket that took over the
//! slot of the one it was for.
//!
//! mio is edge-triggered. Whoever stops before a socket says that it is exhausted must come back
//! by itself: a socket whose reading a budget has stopped goes on the backlog, a write that a
//! budget has stopped stays an output of the connections, and the next poll does not wait. A
//! socket whose input was not taken whole is left alone, whatever the poll reports of it, until
//! [`Output::Read`] puts it on the backlog; from there it is read to its end.

mod address;
mod clock;
mod listener;
mod listeners;
mod socket;
mod socket_file;
mod stop;
mod transport;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use mio::{Events, Poll, Token};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;

pub use address::Address;
pub use listeners::Listeners;
pub use stop::Handle;

use crate::clock::Now;
use crate::conn::{Application, Connections, Output};
use crate::limits::READ_BUFFER_BYTES;
use crate::peer::PeerId;
use crate::process::Supervisor;
use clock::Clock;
use socket::Socket;

/// Events taken from one poll. Excess stays in the kernel until the next one.
const EVENTS_PER_POLL: usize = 1024;

/// Writes of one iteration: about a millisecond of system calls. Excess: the rest waits for the
/// next iteration, in which everybody else's input is looked at first; so one broadcast to ten
/// thousand holds nobody back for long.
const WRITES_PER_ITERATION: usize = 256;

/// Bytes written in one iteration: copying them takes about as long. Excess: as above.
const WRITTEN_BYTES_PER_ITERATION: usize = 4 * 1024 * 1024;

/// The token of all that asks the loop to stop.
const STOP: Token = Token(LISTENERS - 1);

/// The token of the first listener; sockets have the numbers of their slots, which are far lower.
const LISTENERS: usize = usize::MAX / 2;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After one stop, and with a goodbye to everybody.
    Drained,
    /// After a second stop, at once.
    Forced,
}

/// The poll loop and all that it owns.
#[allow(missing_debug_implementations, reason = "the signals have none")]
pub struct Reactor<A: Application> {
    poll: Poll,
    listeners: Listeners,
    signals: Option<Signals>,
    /// Made when it is first asked for, because it takes a descriptor.
    handle: Option<Handle>,
    supervisor: Supervisor,
    sockets: Slab<Socket>,
    connections: Connections<A>,
    clock: Clock,
    /// The one read buffer.
    buffer: Box<[u8]>,
    /// Who is read at the beginning of the next iteration, in this order.
    backlog: VecDeque<PeerId>,
    /// How often it was asked to stop.
    stops_asked: u32,
}

impl<A: Application> Reactor<A> {
    /// Takes connections in from `listeners`. Nothing is accepted before [`Reactor::run`].
    pub fn new(mut listeners: Listeners, connections: Connections<A>) -> io::Result<Self> {
        let poll = Poll::new()?;
        listeners.register(poll.registry(), LISTENERS)?;
        Ok(Self {
            poll,
            listeners,
            signals: None,
            handle: None,
            supervisor: Supervisor::of_environment(),
            sockets: Slab::new(),
            connections,
            clock: Clock::new(),
            buffer: vec![0; READ_BUFFER_BYTES].into(),
            backlog: VecDeque::new(),
            stops_asked: 0,
        })
    }

    /// What it takes connections in from.
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// The connections, to ask how they are.
    pub fn connections(&self) -> &Connections<A> {
        &self.connections
    }

    /// Serves until it is stopped, and tells the supervisor that the environment names, if there
    /// is one (sd_notify(3)).
    ///
    /// # Errors
    /// A poll that fails; nothing that a peer does can make it.
    pub fn run(&mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        self.supervisor.tell("READY=1\nSTATUS=Serving");
        loop {
            let now = self.poll(&mut events)?;
            self.read_backlog(now);
            self.handle_events(&events, now);
            self.connections.handle_timeout(now);
            self.handle_outputs(now);
            self.close_ended();
            self.accept(now);
            self.supervisor.handle_timeout(now.mono_ms, || self.connections.status_line());
            self.connections.handle_iteration_took(self.clock.us_since_now());
            if self.stops_asked > 1 {
                return Ok(Ended::Forced);
            }
            if self.connections.is_drained(now) {
                return Ok(Ended::Drained);
            }
        }
    }

    /// Sleeps until something happens; what time it is then.
    fn poll(&mut self, events: &mut Events) -> io::Result<Now> {
        let sleep_max = self.poll_timeout();
        if let Err(error) = self.poll.poll(events, sleep_max)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        Ok(self.clock.now(sleep_max))
    }

    /// How long the poll may sleep; `None` for as long as nothing happens.
    fn poll_timeout(&self) -> Option<Duration> {
        let now_ms = self.clock.mono_ms();
        if !self.backlog.is_empty() || self.listeners.pending(now_ms).is_some() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.connections.poll_timeout(),
            self.listeners.paused_until_ms,
            self.supervisor.poll_timeout(),
        ];
        let first = deadlines.into_iter().flatten().min()?;
        Some(Duration::from_millis(first.saturating_sub(now_ms)))
    }

    fn handle_events(&mut self, events: &Events, now: Now) {
        for event in events {
            let Token(token) = event.token();
            if event.token() == STOP {
                self.handle_stops(now);
            } else if token >= LISTENERS {
                self.listeners.handle_readable(token - LISTENERS);
            } else if let Some(socket) = self.sockets.get(token) {
                let (id, is_read) = (socket.id, socket.is_read_on_event());
                if event.is_writable() {
                    self.connections.handle_writable(id);
                }
                let is_hung_up = event.is_read_closed() || event.is_error();
                if is_read && (event.is_readable() || event.is_error()) {
                    self.read(id, is_hung_up, now);
                }
                if is_hung_up {
                    self.connections.handle_hang_up(id, now);
                }
            }
        }
    }

    fn handle_outputs(&mut self, now: Now) {
        let (mut writes, mut bytes) = (0, 0);
        while writes < WRITES_PER_ITERATION
            && bytes < WRITTEN_BYTES_PER_ITERATION
            && let Some(output) = self.connections.poll_output(now)
        {
            match output {
                Output::Transmit(id) => {
                    writes += 1;
                    bytes += self.write(id, now);
                }
                Output::Read(id) => self.queue_read(id),
                Output::ShutDown(id) => self.shut_down(id, now),
                Output::Close(id) => self.close(id),
            }
        }
    }
}
