//! Peers and the hub together: what a connection's bytes lead to, what is to be written, and
//! when time alone makes something happen. Sans-IO: no socket, no clock.
//!
//! The law of its use, once a turn: hand in what has happened ([`Server::accept`],
//! [`Server::handle_input`], [`Server::handle_eof`], [`Server::handle_writable`]), then the time
//! ([`Server::handle_timeout`]), then act on [`Server::poll_output`] until it says `None`, then
//! sleep until [`Server::poll_timeout`] or until something happens.

mod counters;
mod deadlines;
mod departure;
mod echo;
mod ending;
mod entrance;
mod guests;
mod histogram;
mod http;
mod messages;
mod metrics;
mod origin;
mod peer;
mod rate;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::net::IpAddr;
use std::rc::Rc;

pub use counters::{Counters, Endings, Tally};
pub use ending::Ending;
pub use origin::Origins;

use crate::clock::Now;
use crate::hub::{Column, Hub, PeerId};
use crate::limits::{DRAIN_MS_MAX, LINE_PEERS_KEPT, Limits, REFUSALS_MAX, REQUEST_MS_MAX};
use crate::wire::frame::{CloseCode, Frame};
use crate::wire::take;
use guests::Guests;
use http::Pages;
use metrics::Metrics;
use peer::{Peer, Phase, take_request};
use timers::{Deadline, Timers};

/// What the reactor is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write to this peer: [`Server::transmit`] has the bytes.
    Transmit(PeerId),
    /// Drop this peer's socket. The server has forgotten the peer already.
    Close(PeerId),
}

/// The whole server but its sockets and its clock.
#[derive(Debug)]
pub struct Server {
    limits: Rc<Limits>,
    origins: Origins,
    hub: Hub,
    peers: Column<Peer>,
    timers: Timers,
    guests: Guests,
    closes: VecDeque<PeerId>,
    /// Where each peer comes from, and how many members come from each address; nothing unless
    /// that is limited.
    addresses: Column<IpAddr>,
    per_ip: BTreeMap<IpAddr, u32>,
    members: u32,
    generation: u32,
    pages: Pages,
    drained_by_ms: Option<u64>,
    /// See [`Server::echo`].
    is_echo: bool,
    counters: Counters,
    metrics: Metrics,
}

impl Server {
    /// A server with nobody in it, for pages of its own origin. The limits must have passed
    /// [`Limits::check`].
    pub fn new(limits: Limits) -> Self {
        Self::with(limits, Origins::default(), 0)
    }

    /// The same for other pages, and with an `epoch` that no other process has: by it clients
    /// know that the ids of their last visit mean nothing any more.
    pub fn with(limits: Limits, origins: Origins, epoch: u64) -> Self {
        let limits = Rc::new(limits);
        Self {
            hub: Hub::new(Rc::clone(&limits), epoch),
            limits,
            origins,
            peers: Column::default(),
            timers: Timers::default(),
            guests: Guests::default(),
            closes: VecDeque::new(),
            addresses: Column::default(),
            per_ip: BTreeMap::new(),
            members: 0,
            generation: 0,
            pages: Pages::default(),
            drained_by_ms: None,
            is_echo: false,
            counters: Counters::default(),
            metrics: Metrics::default(),
        }
    }

    /// Takes a new connection in, in a slot that no connection has. Where all places are taken,
    /// the oldest connection that is no member gives way: see [`Server::poll_close`].
    ///
    /// `None` where there is no place, not even for a proper refusal: see [`busy`].
    pub fn accept(&mut self, slot: u32, ip: Option<IpAddr>, now: Now) -> Option<PeerId> {
        if !self.has_place(now) {
            self.counters.turned_away += 1;
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let id = PeerId::new(slot, self.generation);
        self.peers.insert(
            id,
            Peer {
                phase: Phase::Request(Vec::new()),
                heard_ms: now.mono_ms,
                deadline: Deadline::default(),
            },
        );
        if let Some(ip) = ip.filter(|_| self.limits.peers_per_ip_max > 0) {
            self.addresses.insert(id, ip);
        }
        self.hub.outboxes.open(id);
        self.guests.arrive(id, now.mono_ms);
        self.set_deadline(id, Some(now.mono_ms + REQUEST_MS_MAX));
        self.counters.accepted += 1;
        Some(id)
    }

    /// A connection could not be taken in for want of a descriptor, and was turned away.
    pub fn handle_surplus(&mut self) {
        self.counters.surplus += 1;
    }

    /// Hands in bytes of a peer, which are unmasked in place; how many of them were taken.
    ///
    /// The rest, if any, must be handed in again after the outputs of this turn: the turn is
    /// full, or the peer's own answers must go out first. Work: linear in the bytes.
    pub fn handle_input(&mut self, id: PeerId, bytes: &mut [u8], now: Now) -> usize {
        let len = bytes.len();
        let mut input = bytes;
        if let Some(peer) = self.peers.get_mut(id) {
            peer.heard_ms = now.mono_ms;
        }
        while !input.is_empty() && !self.must_flush(id) {
            match self.peers.get_mut(id).map(|peer| &mut peer.phase) {
                Some(Phase::Request(head)) => match take_request(head, &mut input) {
                    Ok(Some(request)) => self.handle_request(id, request, now),
                    Ok(None) => {}
                    Err(refusal) => self.refuse(id, &refusal, now),
                },
                Some(Phase::Open(open)) => match open.decoder.decode(&mut input, &self.limits) {
                    Ok(Some(event)) => self.handle_event(id, event, now),
                    Ok(None) => {}
                    Err(error) => {
                        self.dismiss(id, error.close_code(), &error.to_string(), now);
                    }
                },
                Some(Phase::Closing(_)) | None => _ = take(&mut input, usize::MAX),
            }
        }
        let taken = len - input.len();
        self.counters.received_bytes += taken as u64;
        taken
    }

    /// Whether a peer's input must wait for the outputs of this turn.
    pub fn must_flush(&self, id: PeerId) -> bool {
        self.hub.is_full_for(id) || self.hub.outboxes.wants_flush(id)
    }

    /// The peer will send nothing more. It is gone, unless an answer is still being written to
    /// it: half-closed is a good way to ask for a page.
    pub fn handle_eof(&mut self, id: PeerId, now: Now) {
        let is_closing =
            self.peers.get(id).is_some_and(|peer| matches!(peer.phase, Phase::Closing(_)));
        if !is_closing || self.hub.outboxes.is_finished(id) {
            self.handle_closed(id, now);
        }
    }

    /// The connection is broken, or there is nothing more to wait for.
    pub fn handle_closed(&mut self, id: PeerId, now: Now) {
        if self.peers.get(id).is_some() {
            self.leave(id, Ending::Lost, None, now);
            self.forget(id);
            self.closes.push_back(id);
        }
    }

    /// The socket of this peer takes bytes again.
    pub fn handle_writable(&mut self, id: PeerId) {
        self.hub.outboxes.handle_writable(id);
    }

    /// Does what is due. Calling it early or often does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        while !self.hub.is_full()
            && let Some(id) = self.timers.expired(now.mono_ms)
        {
            self.handle_deadline(id, now);
        }
    }

    /// When [`Server::handle_timeout`] must be called next, in milliseconds of
    /// [`Now::mono_ms`]; `None` for never. Changes with every other call.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.has_output() {
            return Some(0);
        }
        let deadlines = [self.timers.next(), self.drained_by_ms, self.hub.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        self.answer_scrapes(now);
        loop {
            while !self.hub.is_full()
                && let Some(id) = self.hub.outboxes.next_laggard()
            {
                self.give_up(id, now);
            }
            self.hub.seal(now);
            if let Some(id) = self.hub.outboxes.next_ready() {
                return Some(Output::Transmit(id));
            }
            if !self.hub.has_output() {
                return self.poll_close().map(Output::Close);
            }
        }
    }

    /// The next peer whose socket is to be dropped, until there is none: what
    /// [`Server::poll_output`] says last, and may be asked for between two calls of
    /// [`Server::accept`], so that those who give way are gone before others take their places.
    pub fn poll_close(&mut self) -> Option<PeerId> {
        let close = self.closes.pop_front();
        if close.is_none() {
            self.closes.shrink_to(LINE_PEERS_KEPT);
        }
        close
    }

    /// Whether [`Server::poll_output`] has something to say.
    pub fn has_output(&self) -> bool {
        self.hub.has_output() || !self.closes.is_empty() || self.is_scraped()
    }

    /// The bytes to write next to a peer, as many slices of them as fit; how many there are.
    pub fn transmit<'s>(&'s self, id: PeerId, slices: &mut [IoSlice<'s>]) -> usize {
        self.hub.outboxes.transmit(id, slices)
    }

    /// `len` of these bytes are written.
    pub fn handle_sent(&mut self, id: PeerId, len: usize) {
        self.counters.sent_bytes += len as u64;
        self.hub.outboxes.handle_sent(id, len);
    }

    /// The socket takes no more now; [`Server::handle_writable`] will tell.
    pub fn handle_blocked(&mut self, id: PeerId) {
        self.hub.outboxes.handle_blocked(id);
    }

    /// The budget of this turn is used up: the peer gets its turn again.
    pub fn handle_postponed(&mut self, id: PeerId) {
        self.hub.outboxes.make_ready(id);
    }

    /// Whether all has been written to this peer that ever will be, so that the socket's sending
    /// direction can be shut down.
    pub fn is_finished(&self, id: PeerId) -> bool {
        self.hub.outboxes.is_finished(id)
    }

    /// Begins the end: no new peers, Close 1001 to all after what is queued for them.
    pub fn drain(&mut self, now: Now) {
        let by = now.mono_ms + DRAIN_MS_MAX;
        self.drained_by_ms = Some(by);
        let ids: Vec<PeerId> = self.peers.iter().map(|(id, _)| id).collect();
        for id in ids {
            match self.peers.get(id).map(|peer| &peer.phase) {
                Some(Phase::Open(_)) => {
                    let close = Frame::close(CloseCode::Away, "the server is going away");
                    self.leave(id, Ending::GoingAway, Some(close), now);
                    self.set_deadline(id, Some(by));
                }
                Some(Phase::Request(_)) => self.handle_closed(id, now),
                _ => {}
            }
        }
    }

    /// Whether the end has come: all have gone, or their time is over.
    pub fn is_drained(&self, now: Now) -> bool {
        self.drained_by_ms.is_some_and(|by| self.peers.is_empty() || now.mono_ms >= by)
    }

    /// Connections that are open, whatever their state.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Rooms that exist.
    pub fn rooms(&self) -> usize {
        self.hub.rooms()
    }

    /// Members of a room; 0 where there is no such room.
    pub fn members(&self, room: &str) -> usize {
        self.hub.members(room)
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        Counters { frames: self.hub.outboxes.traffic(), ..self.counters }
    }

    /// Panics where the parts do not agree. Work: everything; for tests.
    pub fn check_invariants(&self) {
        self.hub.check_invariants();
        let open = self.peers.iter().filter(|(_, peer)| peer.is_open()).count();
        assert_eq!(open, self.members as usize, "members are counted");
        self.check_counters();
        let timed = self.peers.iter().filter(|(_, peer)| peer.deadline != Deadline::default());
        assert_eq!(timed.count(), self.timers.len(), "every deadline has its peer");
        assert!(self.guests.len() <= self.peers.len() - open, "a member is no guest");
    }

    /// Whether there is a place for one more connection, or somebody gives way.
    fn has_place(&mut self, now: Now) -> bool {
        if self.peers.len() < (self.limits.peers_max + REFUSALS_MAX) as usize {
            return true;
        }
        let Some(id) = self.guests.gives_way(now.mono_ms) else { return false };
        log::debug!("dropped peer={id} reason=\"gives way\"");
        if let Some(Peer { phase: phase @ Phase::Request(_), .. }) = self.peers.get_mut(id) {
            *phase = Phase::Closing(Ending::GaveWay);
        }
        self.handle_closed(id, now);
        true
    }

    fn check_counters(&self) {
        let Counters { accepted, closed, joined, left, served, refused, .. } = self.counters();
        assert_eq!(accepted, closed.sum() + self.peers.len() as u64, "all are here or gone");
        assert_eq!(joined, left.sum() + u64::from(self.members), "all are members or have left");
        let mut ended = closed;
        for (_, peer) in self.peers.iter() {
            if let Phase::Closing(ending) = peer.phase {
                ended.count(ending);
            }
        }
        for ((ending, count), (_, left)) in ended.iter().zip(left.iter()) {
            let begun = match ending {
                Ending::Unused | Ending::GaveWay => count,
                Ending::Served => served,
                Ending::Refused => refused.sum(),
                _ => left,
            };
            assert_eq!(count, begun, "an ending stays as it is: {ending}");
        }
        let Counters { texts, messages, typing, rejected, .. } = self.counters();
        let answered = messages + typing + rejected.sum() + left.of(Ending::OverRate);
        assert_eq!(texts, answered, "each text has one outcome");
    }
}

/// What a connection is told for which [`Server::accept`] has no place.
pub fn busy() -> Vec<u8> {
    http::full().to_bytes()
}
