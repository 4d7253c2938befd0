//! All connections, as an application sees them.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

use super::addresses::Addresses;
use super::application::Answer;
use super::counters::Counters;
use super::deadlines::NEVER;
use super::ending::Ending;
use super::pace::{Pace, Rate};
use super::peer::{Peer, Phase};
use super::pending::Pending;
use crate::clock::Now;
use crate::limits::{CLOSE_MS_MAX, Limits, REQUEST_MS_MAX};
use crate::outbound::{Bytes, Outbound, Thresholds};
use crate::peer::{PeerId, PeerMap};
use crate::ws::frame::{Control, Decoder, OpCode, encode};

/// All connections: the receive side of each, its deadline, and what has been counted.
#[derive(Debug)]
pub struct Peers {
    /// What is to be written to whom.
    pub outbound: Outbound,
    pub(crate) limits: Rc<Limits>,
    pub(super) all: PeerMap<Peer>,
    /// When each must be looked at next, in order; nobody of whom it is [`NEVER`].
    pub(super) deadlines: BTreeSet<(u64, PeerId)>,
    /// Whose next message waits for a token, and until when.
    pub(super) paused: BTreeSet<(u64, PeerId)>,
    /// Those that are no WebSocket, or not any more.
    pub(super) pending: Pending,
    pub(super) addresses: Addresses,
    /// How fast each may send.
    rate: Option<Rate>,
    /// Whose sockets are to be dropped.
    pub(super) closes: VecDeque<PeerId>,
    /// How many are WebSockets.
    pub(crate) open: u32,
    pub(super) generation: u32,
    pub(super) drained_by_ms: Option<u64>,
    /// Bytes of memory of requests and messages of which a part has come, and of what was read and
    /// must wait.
    pub(super) input_bytes: usize,
    pub(super) is_short_of_memory: bool,
    /// Bytes that may be held before more is given back.
    pub(super) shed_above: usize,
    /// When it may be said again that memory is short.
    pub(super) shortage_told_from_ms: u64,
    pub(super) ping: Bytes,
    pub(crate) counters: Counters,
}

impl Peers {
    pub(super) fn new(limits: Rc<Limits>, thresholds: Thresholds) -> Self {
        Self {
            outbound: Outbound::new(&limits, thresholds),
            addresses: Addresses::new(&limits),
            rate: Rate::new(limits.rate_per_second, 1_000, limits.burst),
            limits,
            all: PeerMap::default(),
            deadlines: BTreeSet::new(),
            paused: BTreeSet::new(),
            pending: Pending::default(),
            closes: VecDeque::new(),
            open: 0,
            generation: 0,
            drained_by_ms: None,
            input_bytes: 0,
            is_short_of_memory: false,
            shed_above: 0,
            shortage_told_from_ms: 0,
            ping: encode(OpCode::Control(Control::Ping), &[]),
            counters: Counters::default(),
        }
    }

    /// Connections, whatever their state.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.all.len() == 0
    }

    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.drained_by_ms.is_some()
    }

    /// Whether there are as many WebSockets as there may be.
    pub fn is_full(&self) -> bool {
        self.open >= self.limits.peers_max
    }

    /// Whether there are as many from the address of a connection as there may be.
    pub fn is_address_full(&self, id: PeerId) -> bool {
        self.all.get(id).is_some_and(|peer| self.addresses.is_full(peer.address))
    }

    /// The address of a connection; `None` where it has none. Of an IPv6 address, its /64.
    pub fn address(&self, id: PeerId) -> Option<IpAddr> {
        self.addresses.ip(self.all.get(id)?.address)
    }

    /// How long the address of a connection would have to wait until one more may join, in
    /// milliseconds: 0 for not at all.
    pub fn join_wait_ms(&self, id: PeerId, now: Now) -> u64 {
        self.all.get(id).map_or(0, |peer| self.addresses.join_wait_ms(peer.address, now))
    }

    // --- how fast they may send

    /// Takes a token for a message or a control frame, on credit where there is none. `is_message`:
    /// one of its address as well.
    pub(super) fn charge(&mut self, id: PeerId, is_message: bool, now: Now) {
        let (peer, Some(rate)) = (self.all.get_mut(id), self.rate) else { return };
        let Some(Peer { phase: Phase::Open { pace, .. }, address, .. }) = peer else { return };
        let Pace { bucket, ready_ms } = &mut **pace.get_or_insert_default();
        *ready_ms = bucket.draw(now.mono_ms, rate);
        if is_message {
            *ready_ms = self.addresses.draw(*address, now).max(*ready_ms);
        }
    }

    /// Takes a token for a Pong that nobody has asked for. An idle WebSocket has no bucket.
    pub(super) fn charge_pong(&mut self, id: PeerId, now: Now) {
        let peer = self.all.get_mut(id);
        if peer.is_some_and(|peer| !std::mem::take(&mut peer.is_pinged)) {
            self.charge(id, false, now);
        }
    }

    /// Whether the next message of a WebSocket must wait for a token. If so, it is woken then.
    pub(super) fn pause(&mut self, id: PeerId, now: Now) -> bool {
        let ready_ms = self.all.get(id).map_or(0, Peer::ready_ms);
        let must_wait = ready_ms > now.mono_ms;
        if must_wait {
            self.paused.insert((ready_ms, id));
        }
        must_wait
    }

    /// Wakes a WebSocket that waits for a token and needs none any more.
    fn resume(&mut self, id: PeerId) {
        let ready_ms = self.all.get(id).map_or(0, Peer::ready_ms);
        if self.paused.remove(&(ready_ms, id)) {
            self.outbound.wake(id);
        }
    }

    /// Wakes those for whom there are tokens.
    pub(super) fn resume_paused(&mut self, now: Now) {
        while let Some(&(at_ms, id)) = self.paused.first()
            && at_ms <= now.mono_ms
        {
            self.paused.pop_first();
            self.outbound.wake(id);
        }
    }

    // --- from a request to the end

    pub(super) fn set_phase(&mut self, id: PeerId, phase: Phase) {
        if let Some(peer) = self.all.get_mut(id) {
            peer.phase = phase;
        }
    }

    /// Sends the answer to a request; all but an upgrade ends the connection.
    pub(super) fn answer(&mut self, id: PeerId, answer: Answer, is_head: bool, now: Now) {
        let (bytes, ending) = match answer {
            Answer::Upgrade(first) => return self.upgrade(id, first, now),
            Answer::Wait(_) => return,
            Answer::Bytes(bytes) => (bytes, Ending::Served),
            Answer::Response(response) if response.status < 400 => {
                (response.to_bytes(is_head).into(), Ending::Served)
            }
            Answer::Response(response) => {
                let (status, sentence) = (response.status, response.sentence());
                log::debug!("refused peer={id} status={status} reason={sentence:?}");
                self.counters.refused.count(status);
                (response.to_bytes(is_head).into(), Ending::Refused)
            }
        };
        self.counters.served += u64::from(ending == Ending::Served);
        self.outbound.begin(id, bytes);
        self.outbound.finish(id, None);
        self.begin_closing(id, ending, now.mono_ms + REQUEST_MS_MAX, now);
    }

    /// Makes a connection a WebSocket, whose first bytes are these.
    fn upgrade(&mut self, id: PeerId, first: Vec<u8>, now: Now) {
        self.outbound.begin(id, first.into());
        let Some(peer) = self.all.get_mut(id) else { return };
        let (address, is_hung_up) = (peer.address, peer.is_hung_up);
        let ready_ms = self.addresses.first_ready_ms(address, now);
        let pace = (ready_ms > now.mono_ms).then(|| Box::new(Pace { ready_ms, ..Pace::default() }));
        peer.phase = Phase::Open { decoder: Decoder::default(), pace };
        self.pending.remove(address, id);
        if self.addresses.join(address, now) && !self.addresses.is_rated(address) {
            log::warn!(
                "many joins peer={id} limited=no reason=\"they come from this machine: a proxy \
                 here should limit its clients\""
            );
        }
        self.open += 1;
        self.counters.joined += 1;
        match is_hung_up {
            true => self.set_deadline(id, now.mono_ms + CLOSE_MS_MAX),
            false => self.set_keepalive(id, now.mono_ms + self.limits.ping_ms),
        }
    }

    /// Takes nothing more from a connection, which has been told the last.
    pub(super) fn begin_closing(&mut self, id: PeerId, ending: Ending, deadline_ms: u64, now: Now) {
        let Some(peer) = self.all.get(id) else { return };
        // Whoever has hung up has its deadline already.
        let is_hung_up = peer.is_open() && peer.is_hung_up;
        let deadline_ms = if is_hung_up { peer.deadline_ms } else { deadline_ms };
        self.pending.insert(peer.address, id, now);
        self.set_closing(id, ending);
        self.set_deadline(id, deadline_ms);
    }

    /// Whether some of what was read of a peer must wait.
    pub(super) fn set_waiting(&mut self, id: PeerId, is_waiting: bool) {
        if let Some(peer) = self.all.get_mut(id)
            && peer.is_waiting != is_waiting
        {
            self.input_bytes -= peer.held_bytes();
            peer.is_waiting = is_waiting;
            self.input_bytes += peer.held_bytes();
        }
    }

    /// The end of a connection is decided. What it has sent too fast is dropped at once.
    pub(super) fn set_closing(&mut self, id: PeerId, ending: Ending) {
        self.resume(id);
        if let Some(peer) = self.all.get_mut(id) {
            self.input_bytes -= peer.held_bytes();
            peer.phase = Phase::Closing(ending);
            self.input_bytes += peer.held_bytes();
        }
    }

    /// Forgets a connection that is no WebSocket any more; its slot is free for another.
    pub(super) fn forget(&mut self, id: PeerId) {
        self.set_deadline(id, NEVER);
        self.outbound.close(id);
        let Some(peer) = self.all.remove(id) else { return };
        self.input_bytes -= peer.held_bytes();
        let Peer { phase, address, .. } = peer;
        let ending = match phase {
            Phase::Closing(ending) => ending,
            _ => Ending::Unused,
        };
        self.pending.remove(address, id);
        self.addresses.close(address, ending.is_of_websocket());
        self.counters.closed.count(ending);
        self.closes.push_back(id);
    }
}
