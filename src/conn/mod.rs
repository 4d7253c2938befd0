//! Connections: their bytes become requests and messages for an [`Application`], and what it says
//! becomes bytes. Sans-IO: no socket, no clock. Nothing in here knows of rooms.
//!
//! The order of its use, in each iteration of the loop: hand in what has happened
//! ([`Connections::handle_input`] and the like), then the time ([`Connections::handle_timeout`]),
//! then do what [`Connections::poll_output`] says until it says `None` or a budget is used up, then
//! take in new connections ([`Connections::accept`]), then sleep until
//! [`Connections::poll_timeout`] or until something happens.

mod addresses;
mod application;
mod check;
mod counters;
mod deadlines;
mod ending;
mod memory;
mod pace;
mod peer;
mod peers;
mod pending;

use std::io::IoSlice;
use std::net::IpAddr;
use std::rc::Rc;

pub use application::{Answer, Application, Caller, Dismissal, Message};
pub use counters::{Counters, Endings, ITERATION_US_BUCKETS, Iterations, Refusals, Tally};
pub use deadlines::KEEPALIVE_SLICES;
pub use ending::Ending;
pub use peers::Peers;

use crate::clock::Now;
use crate::http::{self, Response};
use crate::limits::{
    CLOSE_MS_MAX, DRAIN_MS_MAX, Limits, MESSAGES_PER_READ, REFUSALS_MAX, REQUEST_MS_MAX,
    RETRY_AFTER_SECONDS,
};
use crate::outbound::{Bytes, Next, Thresholds};
use crate::peer::PeerId;
use crate::ws::frame::{CloseCode, Control, Event, OpCode, encode, encode_close};
use crate::ws::take;
use addresses::Key;
use peer::{Peer, Phase, find_head};

/// What the reactor is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write to this peer, once: [`Connections::transmit`] has the bytes. What is left over comes
    /// again.
    Transmit(PeerId),
    /// The input of this peer that was not taken may be handed in again now, and no earlier.
    Read(PeerId),
    /// All has been written to this peer that ever will be: end our direction of its connection.
    /// One that has ended its own is done with ([`Connections::handle_closed`]).
    ShutDown(PeerId),
    /// Drop this peer's socket. The peer is forgotten already.
    Close(PeerId),
}

/// Connections, and the application that they talk to.
#[derive(Debug)]
pub struct Connections<A> {
    peers: Peers,
    application: A,
}

impl<A: Application> Connections<A> {
    /// No connections yet. The limits must have passed [`Limits::check`].
    pub fn new(limits: Rc<Limits>, thresholds: Thresholds, application: A) -> Self {
        Self { peers: Peers::new(limits, thresholds), application }
    }

    // --- getters

    /// All connections.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The application.
    pub fn application(&self) -> &A {
        &self.application
    }

    /// The same, to change it.
    pub fn application_mut(&mut self) -> (&mut A, &mut Peers) {
        (&mut self.application, &mut self.peers)
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.peers.counters
    }

    /// A line that a supervisor shows to people.
    pub fn status_line(&self) -> String {
        self.application.status_line(&self.peers)
    }

    /// Whether the end has come: all have gone, or their time is over.
    pub fn is_drained(&self, now: Now) -> bool {
        self.peers.drained_by_ms.is_some_and(|by| self.peers.is_empty() || now.mono_ms >= by)
    }

    // --- what has happened

    /// Takes a new connection in, in a slot that no connection has. Where all slots are taken,
    /// another that is pending may be evicted for it: see [`Connections::poll_close`].
    ///
    /// `None` where there is no slot, not even for a proper refusal: see [`Connections::busy`].
    pub fn accept(&mut self, slot: u32, ip: Option<IpAddr>, now: Now) -> Option<PeerId> {
        let address = self.peers.addresses.open(ip, now);
        let Some(address) = address.filter(|&address| self.has_slot(address, now)) else {
            address.inspect(|&address| self.peers.addresses.close(address, false));
            self.peers.counters.turned_away += 1;
            return None;
        };
        let peers = &mut self.peers;
        peers.generation = peers.generation.wrapping_add(1);
        let id = PeerId::new(slot, peers.generation);
        peers.all.insert(id, Peer::new(address, now));
        peers.set_deadline(id, now.mono_ms + REQUEST_MS_MAX);
        peers.pending.insert(address, id, now);
        peers.outbound.open(id);
        peers.counters.accepted += 1;
        Some(id)
    }

    /// What a connection is told that [`Connections::accept`] has just not taken.
    pub fn busy(&self, ip: Option<IpAddr>) -> Vec<u8> {
        let answer = if self.peers.addresses.has_too_many(ip) { address_full() } else { full() };
        answer.to_bytes(false)
    }

    /// A connection could not be taken in for want of a descriptor, and was turned away.
    pub fn handle_over_fd_limit(&mut self) {
        self.peers.counters.over_fd_limit += 1;
    }

    /// Hands in bytes of a peer, which are unmasked in place; how many of them were taken. The rest
    /// must wait for [`Output::Read`]. Work: linear in the bytes.
    pub fn handle_input(&mut self, id: PeerId, bytes: &mut [u8], now: Now) -> usize {
        let len = bytes.len();
        let mut input = bytes;
        if let Some(peer) = self.peers.all.get_mut(id) {
            peer.heard_ms = now.mono_ms;
        }
        let mut messages = 0..MESSAGES_PER_READ;
        while !input.is_empty() {
            let must_wait = match self.peers.all.get(id).map(|peer| &peer.phase) {
                Some(Phase::Request(_)) => self.read_request(id, &mut input, now),
                Some(Phase::Open { .. }) if messages.next().is_none() => {
                    self.peers.outbound.wake(id);
                    true
                }
                Some(Phase::Open { .. }) => self.read_message(id, &mut input, len, now),
                Some(Phase::Closing(_)) | None => {
                    take(&mut input, usize::MAX);
                    false
                }
            };
            if must_wait {
                break;
            }
        }
        let taken = len - input.len();
        self.peers.counters.received_bytes += taken as u64;
        self.peers.set_waiting(id, taken < len);
        self.keep_within_budget(now);
        taken
    }

    /// The peer will send nothing more. It is gone, unless an answer is still being written to it:
    /// half-closed is a good way to ask for a page.
    pub fn handle_eof(&mut self, id: PeerId, now: Now) {
        let peer = self.peers.all.get(id);
        let is_closing = matches!(peer, Some(Peer { phase: Phase::Closing(_), .. }));
        if !is_closing || self.peers.outbound.is_finished(id) {
            self.handle_closed(id, now);
        }
    }

    /// The peer will send nothing more, or is gone, while some of what it has sent is still to be
    /// handed in: that is read for as long as it takes to close.
    pub fn handle_hang_up(&mut self, id: PeerId, now: Now) {
        if let Some(peer) = self.peers.all.get_mut(id)
            && !std::mem::replace(&mut peer.is_hung_up, true)
            && peer.is_open()
        {
            let at_ms = peer.deadline_ms.min(now.mono_ms + CLOSE_MS_MAX);
            self.peers.set_deadline(id, at_ms);
        }
    }

    /// The connection is broken, or there is nothing more to wait for.
    pub fn handle_closed(&mut self, id: PeerId, now: Now) {
        self.drop(id, Ending::Lost, now);
    }

    /// The socket of this peer takes bytes again.
    pub fn handle_writable(&mut self, id: PeerId) {
        self.peers.outbound.set_blocked(id, false);
    }

    /// `len` bytes of what [`Connections::transmit`] said are written.
    pub fn handle_sent(&mut self, id: PeerId, len: usize) {
        self.peers.counters.sent_bytes += len as u64;
        self.peers.outbound.handle_sent(id, len);
    }

    /// The socket takes no more now; [`Connections::handle_writable`] will tell.
    pub fn handle_blocked(&mut self, id: PeerId, now: Now) {
        self.peers.outbound.set_blocked(id, true);
        self.peers.outbound.note_stalled(id, now.mono_ms);
        self.peers.look_at_progress(id);
    }

    /// Does what is due. Calling it early or often does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at_ms, id)) = self.peers.deadlines.first()
            && at_ms <= now.mono_ms
        {
            self.handle_deadline(id, now);
        }
        self.peers.resume_paused(now);
        self.keep_within_budget(now);
    }

    /// An iteration of the loop has taken so long, in microseconds, without the sleep before it.
    pub fn handle_iteration_took(&mut self, us: u64) {
        self.peers.counters.iterations.count(us);
    }

    /// Begins the end: nobody comes any more, and Close 1001 to all after what was said to them.
    pub fn drain(&mut self, now: Now) {
        let by = now.mono_ms + DRAIN_MS_MAX;
        self.peers.drained_by_ms = Some(by);
        let ids: Vec<PeerId> = self.peers.all.iter().map(|(id, _)| id).collect();
        for id in ids {
            match self.peers.all.get(id) {
                Some(Peer { phase: Phase::Open { .. }, .. }) => {
                    let close = encode_close(CloseCode::Away, "the server is going away");
                    self.exit(id, Ending::GoingAway, Some(close), now);
                    self.peers.set_deadline(id, by);
                }
                // One that waits at a gate is woken, and refused by the application.
                Some(Peer { phase: Phase::Request(_), is_parked: false, .. }) => {
                    self.handle_closed(id, now);
                }
                _ => {}
            }
        }
    }

    // --- what is to be done

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        loop {
            let Some(next) = self.peers.outbound.poll(now.mono_ms) else {
                return self.poll_close().map(Output::Close);
            };
            match next {
                Next::Write(id) => {
                    while let Some((key, owner, from)) = self.peers.outbound.missing(id) {
                        let block = self.application.render(key, owner, from);
                        self.peers.outbound.render(key, block);
                    }
                    return Some(Output::Transmit(id));
                }
                Next::Channel(key, owner) => {
                    self.application.handle_channel(&mut self.peers.outbound, key, owner);
                }
                Next::TooSlow(id) => self.dismiss_slow(id, now),
                Next::Woken(id) | Next::Finished(id) if self.peers.all.get(id).is_none() => {}
                Next::Woken(id) => return Some(Output::Read(id)),
                Next::Finished(id) => return Some(Output::ShutDown(id)),
            }
        }
    }

    /// The next peer whose socket is to be dropped, until there is none: what
    /// [`Connections::poll_output`] says last, and may be asked for between two calls of
    /// [`Connections::accept`], so that those who were evicted are gone before others take their
    /// slots.
    pub fn poll_close(&mut self) -> Option<PeerId> {
        self.peers.closes.pop_front()
    }

    /// When something must be done next, in milliseconds of [`Now::mono_ms`]; `None` for never.
    /// Changes with every other call.
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.peers.closes.is_empty() {
            return Some(0);
        }
        let peers = &self.peers;
        let first = peers.deadlines.first().map(|&(at_ms, _)| at_ms);
        let resumed = peers.paused.first().map(|&(at_ms, _)| at_ms);
        let times = [peers.outbound.poll_timeout(), first, resumed, peers.drained_by_ms];
        times.into_iter().flatten().min()
    }

    /// The bytes to write next to a peer, as many slices of them as fit; how many there are.
    pub fn transmit<'s>(&'s self, id: PeerId, slices: &mut [IoSlice<'s>]) -> usize {
        self.peers.outbound.transmit(id, slices)
    }

    // --- from bytes to requests and messages

    /// Goes on with a request; whether the rest of the input must wait.
    fn read_request(&mut self, id: PeerId, input: &mut &mut [u8], now: Now) -> bool {
        let peer = self.peers.all.get_mut(id);
        let Some(Peer { phase: Phase::Request(head), .. }) = peer else { return false };
        let had = head.len();
        self.peers.input_bytes -= head.capacity();
        let Some(found) = find_head(head, input).transpose() else {
            self.peers.input_bytes += head.capacity();
            take(input, usize::MAX);
            return false;
        };
        let mut head = std::mem::take(head);
        // What follows a head that cannot be read is dropped with all else that comes.
        let len = found.as_ref().map_or(0, |&len| len);
        let whole = if head.is_empty() { &input[..len] } else { &head[..had + len] };
        let (answer, is_head) = match found.and_then(|_| http::parse(whole)) {
            Ok(request) => {
                let mut caller = Caller { peers: &mut self.peers, id, now };
                (self.application.handle_request(&mut caller, &request), request.is_head())
            }
            Err(response) => (Answer::Response(response), false),
        };
        if let Answer::Wait(key) = answer {
            head.truncate(had);
            self.peers.input_bytes += head.capacity();
            self.peers.set_phase(id, Phase::Request(head));
            if let Some(peer) = self.peers.all.get_mut(id) {
                peer.is_parked = true;
            }
            self.peers.outbound.park(id, key, false);
            return true;
        }
        take(input, len);
        self.peers.answer(id, answer, is_head, now);
        false
    }

    /// Goes on with messages, in an input of `len` bytes; whether the rest of it must wait.
    fn read_message(&mut self, id: PeerId, input: &mut &mut [u8], len: usize, now: Now) -> bool {
        if self.peers.outbound.must_write_first(id) {
            self.peers.outbound.defer(id);
            return true;
        }
        if let Some(key) = self.application.gate(&self.peers.outbound, id) {
            self.peers.outbound.park(id, key, input.len() < len);
            return true;
        }
        if self.peers.pause(id, now) {
            return true;
        }
        let Peers { all, limits, input_bytes, .. } = &mut self.peers;
        let Some(Peer { phase: Phase::Open { decoder, .. }, .. }) = all.get_mut(id) else {
            return false;
        };
        *input_bytes -= decoder.held_bytes();
        let decoded = decoder.decode(input, limits);
        *input_bytes += decoder.held_bytes();
        let handled = match decoded {
            Ok(Some(event)) => self.handle_event(id, event, now),
            Ok(None) => Ok(()),
            Err(error) => Err(Dismissal::new(error.close_code(), error.to_string())),
        };
        if let Err(Dismissal { code, reason }) = handled {
            log::debug!("dismissed peer={id} code={code} reason={reason:?}");
            self.exit(id, Ending::of(code), Some(encode_close(code, &reason)), now);
        }
        false
    }

    fn handle_event(&mut self, id: PeerId, event: Event<'_>, now: Now) -> Result<(), Dismissal> {
        let mut caller = Caller { peers: &mut self.peers, id, now };
        let peers = &mut caller.peers;
        match event {
            Event::Text(text) => {
                peers.counters.texts += 1;
                peers.charge(id, true, now);
                return self.application.handle_message(&mut caller, Message::Text(&text));
            }
            Event::Binary(bytes) => {
                peers.charge(id, true, now);
                return self.application.handle_message(&mut caller, Message::Binary(&bytes));
            }
            Event::Ping(payload) => {
                peers.counters.pings += 1;
                peers.charge(id, false, now);
                peers.outbound.pong(id, encode(OpCode::Control(Control::Pong), &payload));
            }
            Event::Pong(_) => {
                peers.counters.pongs += 1;
                peers.charge_pong(id, now);
            }
            Event::Close(code) => {
                // The answer to a Close without a code has none either (RFC 6455, section 5.5.1).
                let without_code = || encode(OpCode::Control(Control::Close), &[]);
                let close = code.map_or_else(without_code, |code| encode_close(code, ""));
                self.exit(id, Ending::ClosedByPeer, Some(close), now);
            }
        }
        Ok(())
    }

    // --- from a WebSocket to a free slot

    /// A reader lags too far: Close 1013, and nobody else notices. One that has left has been told
    /// the last, and is dropped.
    fn dismiss_slow(&mut self, id: PeerId, now: Now) {
        if self.peers.all.get(id).is_some_and(Peer::is_open) {
            log::debug!("dismissed peer={id} code=1013 reason=\"too slow\"");
            let close = encode_close(CloseCode::Again, "too slow; come back when you can read");
            self.peers.outbound.dismiss(id, close);
            self.exit(id, Ending::TooSlow, None, now);
        } else {
            self.handle_closed(id, now);
        }
    }

    /// Ends a WebSocket, with `close` as the last that it is sent; the other phases stay as they
    /// are.
    fn exit(&mut self, id: PeerId, ending: Ending, close: Option<Bytes>, now: Now) {
        if !self.peers.all.get(id).is_some_and(Peer::is_open) {
            return;
        }
        self.peers.outbound.finish(id, close);
        self.leave(id, ending, now);
        self.peers.begin_closing(id, ending, now.mono_ms + CLOSE_MS_MAX, now);
    }

    /// Drops a connection, a WebSocket for this reason. It is told nothing.
    fn drop(&mut self, id: PeerId, ending: Ending, now: Now) {
        let Some(peer) = self.peers.all.get(id) else { return };
        let is_open = peer.is_open();
        // Nothing more is written to it, so its room's channel need not keep anything.
        self.peers.outbound.close(id);
        if is_open {
            self.leave(id, ending, now);
            self.peers.set_closing(id, ending);
        }
        self.peers.forget(id);
    }

    /// A WebSocket, which reads no channel any more, has ended for this reason.
    fn leave(&mut self, id: PeerId, ending: Ending, now: Now) {
        self.application.handle_exit(&mut Caller { peers: &mut self.peers, id, now });
        self.peers.open -= 1;
        self.peers.counters.exited.count(ending);
    }

    /// Whether there is a slot for one more connection of an address, or somebody is evicted for
    /// it.
    ///
    /// A request that is dripped, an answer that is not read, or a WebSocket that is over keeps a
    /// slot until its deadline. A handful of these could keep everybody else out; so once all
    /// slots are taken, one of the address that has the most of them is evicted.
    fn has_slot(&mut self, address: Key, now: Now) -> bool {
        let peers = &mut self.peers;
        if peers.is_short_of_memory() {
            return false;
        }
        if peers.all.len() < (peers.limits.peers_max + REFUSALS_MAX) as usize {
            return true;
        }
        let Some(id) = peers.pending.evicted_for(address, now) else { return false };
        self.evict(id, now);
        true
    }
}

/// The answer to one connection too many.
pub fn full() -> Response {
    unavailable("full", "the server is full; try again in a moment")
}

/// The answer to one connection too many of an address.
pub fn address_full() -> Response {
    Response::text(429, "too many connections from your address").with("Hallway-Code", "address")
}

/// A 503 with a code for programs.
pub fn unavailable(code: &'static str, sentence: &'static str) -> Response {
    retry_later(503, code, sentence, RETRY_AFTER_SECONDS.into())
}

/// A refusal for a while, with a code for programs.
pub fn retry_later(
    status: u16,
    code: &'static str,
    sentence: &'static str,
    seconds: u64,
) -> Response {
    Response::text(status, sentence)
        .with("Retry-After", seconds.to_string())
        .with("Hallway-Code", code)
}
