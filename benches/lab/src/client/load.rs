//! The load: thousands of connections on one thread, one epoll instance and one read buffer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use socket2::{Domain, SockAddr, Socket, Type};

use super::connection::{Connection, End, Reading};
use super::frame::Frame;
use super::schedule::{Nanos, SECOND};
use super::target::Target;

/// Bytes of the one read buffer; a longer frame cannot be measured with.
const BUFFER_BYTES: usize = 256 * 1024;

/// Events handled before urgent connections and due messages are looked at again: at about a
/// microsecond each, what this adds to a latency that is measured meanwhile.
const EVENTS_PER_TURN: usize = 64;

/// Connections from one loopback address before the next is taken, so that no one of them runs out
/// of ports (28,232 by default).
const CONNECTIONS_PER_SOURCE: usize = 4_000;

/// Connections that may be under way at once where nothing else is asked for, less than what any
/// server's backlog holds.
const CONNECTING_MAX: usize = 100;

/// Before a due message a sleeping load wakes up so much earlier, and spins for the rest.
const SPIN_NANOS: Nanos = 60_000;

/// How long the connections of a scenario may take to open.
const OPENING_MAX: Duration = Duration::from_secs(60);

/// Silence that says that everything has been said.
const QUIET_NANOS: Nanos = 300 * SECOND / 1000;

/// How long it may take until everything has been said.
const SETTLING_MAX: Nanos = 120 * SECOND;

/// What a connection that never reads lets the kernel hold for it: as little as it will, as an
/// Ethernet segment and not as loopback's 64 KiB, or seconds would pass before anybody noticed.
const DEAF_SEGMENT_BYTES: u32 = 1_448;
const DEAF_BUFFER_BYTES: usize = 16 * 1024;

/// The token of the urgent connections' epoll instance within the first one.
const URGENT: u64 = u64::MAX;

/// How the load waits for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It polls all the time: waking up adds nothing to what is measured. It needs a core.
    Spinning,
    Sleeping,
}

/// How to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    Usual,
    /// It is looked at before all others, so that its latency is the server's and not what the
    /// load does meanwhile.
    Urgent,
    /// Once open it is never read from until [`Load::listen_to_the_deaf`].
    Deaf,
}

pub struct Load {
    started: Instant,
    waiting: Waiting,
    epoll: OwnedFd,
    urgent_epoll: OwnedFd,
    has_urgent: bool,
    connections: Vec<Connection>,
    joins: Vec<Join>,
    open: usize,
    ended: Vec<(usize, End)>,
    events: Vec<Event>,
    buffer: Box<[u8]>,
    idle: Nanos,
}

impl Load {
    /// A load without a connection, whose clock starts now.
    ///
    /// # Errors
    /// Where the system has no descriptor left.
    pub fn new(waiting: Waiting) -> io::Result<Self> {
        let [epoll, urgent_epoll] =
            [epoll::create(CreateFlags::CLOEXEC)?, epoll::create(CreateFlags::CLOEXEC)?];
        // So that a sleeping load wakes up for these as well.
        epoll::add(&epoll, &urgent_epoll, EventData::new_u64(URGENT), EventFlags::IN)?;
        Ok(Self {
            started: Instant::now(),
            waiting,
            epoll,
            urgent_epoll,
            has_urgent: false,
            connections: Vec::new(),
            joins: Vec::new(),
            open: 0,
            ended: Vec::new(),
            events: Vec::with_capacity(EVENTS_PER_TURN),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            idle: 0,
        })
    }

    pub fn now(&self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }

    /// Time so far in which there was nothing to do.
    pub fn idle(&self) -> Nanos {
        self.idle
    }

    /// Connections that have ended, and how, in the order in which they did.
    pub fn ended(&self) -> &[(usize, End)] {
        &self.ended
    }

    /// Starts a connection and returns its number; numbers count up from 0.
    ///
    /// # Errors
    /// What the system says where there is no descriptor or port for it.
    pub fn connect(
        &mut self,
        target: &Target,
        name: &str,
        room: &str,
        join: Join,
    ) -> io::Result<usize> {
        let number = self.connections.len();
        let socket = Socket::new(Domain::for_address(target.address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // It ends with a reset, so that thousands of ports do not wait a minute each.
        socket.set_linger(Some(Duration::ZERO))?;
        if join == Join::Deaf {
            socket.set_tcp_mss(DEAF_SEGMENT_BYTES)?;
            socket.set_recv_buffer_size(DEAF_BUFFER_BYTES)?;
        }
        if let Some(source) = source(target.address, number) {
            socket.bind(&source)?;
        }
        match socket.connect(&SockAddr::from(target.address)) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let epoll = match join {
            Join::Urgent => &self.urgent_epoll,
            Join::Usual | Join::Deaf => &self.epoll,
        };
        self.has_urgent |= join == Join::Urgent;
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(number as u64), interest)?;
        self.connections.push(Connection::new(socket.into(), target.request(name, room)));
        self.joins.push(join);
        Ok(number)
    }

    /// Connects so many as `name(index)` in `room(index)`, and waits until all are open. What comes
    /// meanwhile is not looked at.
    ///
    /// # Errors
    /// A sentence where one of them is refused or ends, or not all open in time.
    pub fn connect_all(
        &mut self,
        target: &Target,
        count: usize,
        join: Join,
        name_and_room: impl Fn(usize) -> (String, String),
    ) -> Result<std::ops::Range<usize>, String> {
        let first = self.connections.len();
        let deadline = Instant::now() + OPENING_MAX;
        let mut started = 0;
        while self.open + self.ended.len() < first + count {
            while started < count && self.connections.len() - self.open < CONNECTING_MAX {
                let (name, room) = name_and_room(started);
                self.connect(target, &name, &room, join).map_err(|error| {
                    format!("connection {} could not be started: {error}", first + started)
                })?;
                started += 1;
            }
            self.turn_unseen(self.now() + SECOND / 10)?;
            self.expect_all_alive()?;
            if Instant::now() > deadline {
                let open = self.open - first;
                return Err(format!(
                    "only {open} of {count} connections opened in {OPENING_MAX:?}"
                ));
            }
        }
        Ok(first..first + count)
    }

    /// # Errors
    /// A sentence where a connection has ended.
    pub fn expect_all_alive(&self) -> Result<(), String> {
        match self.ended.first() {
            None => Ok(()),
            Some((number, end)) => {
                Err(format!("the server ended connection {number} while it was needed: {end}"))
            }
        }
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Sends now, or as soon as the socket takes it.
    pub fn send(&mut self, number: usize, bytes: &[u8]) {
        if self.connections[number].has_ended() {
            return;
        }
        if let Err(end) = self.connections[number].send(bytes) {
            self.ended.push((number, end));
        }
    }

    /// Waits for something to come, until `until` at most, and shows `seen` each frame of the first
    /// events with the number of its connection and the time at which it was read.
    ///
    /// # Errors
    /// What the poll says.
    pub fn turn(
        &mut self,
        until: Nanos,
        seen: &mut impl FnMut(usize, Frame<'_>, Nanos),
    ) -> io::Result<()> {
        let before = self.now();
        let nap = match self.waiting {
            Waiting::Spinning => 0,
            Waiting::Sleeping => until.saturating_sub(before).saturating_sub(SPIN_NANOS),
        };
        poll(&self.epoll, &mut self.events, nap)?;
        if self.events.is_empty() || nap > 0 {
            self.idle += self.now() - before;
        }
        self.handle(seen);
        if self.has_urgent {
            poll(&self.urgent_epoll, &mut self.events, 0)?;
            self.handle(seen);
        }
        Ok(())
    }

    /// A turn whose frames are not looked at.
    ///
    /// # Errors
    /// What the poll says.
    pub fn turn_unseen(&mut self, until: Nanos) -> Result<(), String> {
        self.turn(until, &mut |_, _, _| {}).map_err(|error| error.to_string())
    }

    /// Turns without a look at what comes, asleep in between, until `until`.
    ///
    /// # Errors
    /// What the poll says.
    pub fn rest_until(&mut self, until: Nanos) -> Result<(), String> {
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Sleeping);
        while self.now() + SPIN_NANOS < until {
            self.turn_unseen(until)?;
        }
        self.waiting = waiting;
        Ok(())
    }

    /// Waits until nothing has come for [`QUIET_NANOS`]: everything that joining has brought about
    /// has been read.
    ///
    /// # Errors
    /// A sentence where it does not get quiet in time, or a connection ends.
    pub fn settle(&mut self) -> Result<(), String> {
        let deadline = self.now() + SETTLING_MAX;
        let mut quiet_since = self.now();
        while self.now() < quiet_since + QUIET_NANOS {
            let mut came = false;
            let until = quiet_since + QUIET_NANOS + SPIN_NANOS;
            self.turn(until, &mut |_, _, _| came = true).map_err(|error| error.to_string())?;
            self.expect_all_alive()?;
            if came {
                quiet_since = self.now();
            }
            if quiet_since > deadline {
                return Err("the server goes on sending long after the last one joined".into());
            }
        }
        Ok(())
    }

    /// From now on those who never read do. Once they have heard what was kept for them, it shows
    /// how the server has ended them.
    ///
    /// # Errors
    /// What the poll says.
    pub fn listen_to_the_deaf(&mut self) -> io::Result<()> {
        for (number, join) in self.joins.iter().enumerate() {
            if *join == Join::Deaf && !self.connections[number].has_ended() {
                let socket = &self.connections[number].socket;
                let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
                epoll::add(&self.epoll, socket, EventData::new_u64(number as u64), interest)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, seen: &mut impl FnMut(usize, Frame<'_>, Nanos)) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..).filter(|event| event.data.u64() != URGENT) {
            self.handle_event(event.data.u64() as usize, event.flags, seen);
        }
        self.events = events;
    }

    fn handle_event(
        &mut self,
        number: usize,
        flags: EventFlags,
        seen: &mut impl FnMut(usize, Frame<'_>, Nanos),
    ) {
        let connection = &mut self.connections[number];
        if connection.has_ended() {
            return;
        }
        if flags.contains(EventFlags::OUT)
            && let Err(end) = connection.flush()
        {
            self.ended.push((number, end));
            return;
        }
        let is_ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if !is_ending && !flags.contains(EventFlags::IN) {
            return;
        }
        let started = self.started;
        let mut read_at = None;
        let reading = connection.read(is_ending, &mut self.buffer, |frame| {
            let now = *read_at.get_or_insert_with(|| started.elapsed().as_nanos() as Nanos);
            seen(number, frame, now);
        });
        match reading {
            Reading::Goes => {}
            Reading::Opened => self.opened(number),
            Reading::Ended(end) => {
                let _ = connection.shut();
                self.ended.push((number, end));
            }
        }
    }

    fn opened(&mut self, number: usize) {
        self.open += 1;
        if self.joins[number] == Join::Deaf {
            // It is registered, or it would not have been read from.
            let _ = epoll::delete(&self.epoll, &self.connections[number].socket);
        }
    }
}

/// Waits `nap` nanoseconds at most.
fn poll(epoll: &OwnedFd, events: &mut Vec<Event>, nap: Nanos) -> io::Result<()> {
    let nap = Timespec { tv_sec: (nap / SECOND) as i64, tv_nsec: (nap % SECOND) as _ };
    match epoll::wait(epoll, spare_capacity(events), Some(&nap)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The address that connection `number` comes from: to a server on loopback, 127.0.0.2 and so on.
fn source(target: SocketAddr, number: usize) -> Option<SockAddr> {
    let last = u8::try_from(2 + number / CONNECTIONS_PER_SOURCE).ok()?;
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let is_loopback = target.ip().is_loopback() && target.is_ipv4();
    is_loopback.then(|| SockAddr::from(SocketAddr::new(source, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_sources_are_spread() {
        let of = |number| {
            source("127.0.0.1:80".parse().unwrap(), number).unwrap().as_socket_ipv4().unwrap()
        };
        assert_eq!(of(0).to_string(), "127.0.0.2:0");
        assert_eq!(of(CONNECTIONS_PER_SOURCE).to_string(), "127.0.0.3:0");
        assert!(source("192.0.2.1:80".parse().unwrap(), 0).is_none());
    }
}
