//! All connections, as an application sees them.

use std::collections::VecDeque;
use std::rc::Rc;

use super::addresses::Addresses;
use super::counters::Counters;
use super::ending::Ending;
use super::peer::{Open, Peer, Phase};
use super::pending::Pending;
use super::rate::Verdict;
use super::timers::{Deadline, Timers};
use crate::clock::Now;
use crate::limits::Limits;
use crate::outbound::{Bytes, Outbound, Thresholds};
use crate::peer::{PeerId, PeerMap};
use crate::ws::frame::Frame;

/// All connections: the receive side of each, its deadline, and what has been counted.
#[derive(Debug)]
pub struct Peers {
    /// What is to be written to whom.
    pub outbound: Outbound,
    pub(crate) limits: Rc<Limits>,
    pub(super) all: PeerMap<Peer>,
    pub(super) timers: Timers,
    pub(super) pending: Pending,
    pub(super) addresses: Addresses,
    /// Whose sockets are to be dropped.
    pub(super) closes: VecDeque<PeerId>,
    /// How many are WebSockets.
    pub(crate) open: u32,
    pub(super) generation: u32,
    pub(super) drained_by_ms: Option<u64>,
    pub(super) ping: Bytes,
    pub(crate) counters: Counters,
}

impl Peers {
    pub(super) fn new(limits: Rc<Limits>, thresholds: Thresholds) -> Self {
        Self {
            outbound: Outbound::new(&limits, thresholds),
            addresses: Addresses::new(limits.peers_per_ip_max),
            limits,
            all: PeerMap::default(),
            timers: Timers::default(),
            pending: Pending::default(),
            closes: VecDeque::new(),
            open: 0,
            generation: 0,
            drained_by_ms: None,
            ping: Frame::ping().into_bytes(),
            counters: Counters::default(),
        }
    }

    /// Connections, whatever their state.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is no connection.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
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
        self.addresses.is_full(id)
    }

    /// Draws one message from the bucket of a WebSocket.
    pub fn draw(&mut self, id: PeerId, now: Now) -> Verdict {
        match self.all.get_mut(id).map(|peer| &mut peer.phase) {
            Some(Phase::Open(open)) => {
                open.bucket.get_or_insert_default().draw(now.mono_ms, &self.limits)
            }
            _ => Verdict::Over,
        }
    }

    /// Makes a connection a WebSocket, whose first bytes are these.
    pub(super) fn upgrade(&mut self, id: PeerId, first: Vec<u8>, now: Now) {
        self.outbound.begin(id, first.into());
        if let Some(peer) = self.all.get_mut(id) {
            peer.phase = Phase::Open(Open::default());
        }
        self.pending.remove(id);
        self.addresses.count(id);
        self.open += 1;
        self.counters.joined += 1;
        self.set_keepalive(id, now.mono_ms, self.limits.ping_ms);
    }

    /// Sends the answer that ends a connection, and takes nothing more from it.
    pub(super) fn answer(&mut self, id: PeerId, bytes: Bytes, ending: Ending, now: Now) {
        self.outbound.begin(id, bytes);
        self.outbound.finish(id, None);
        self.begin_closing(id, ending, now.mono_ms + crate::limits::REQUEST_MS_MAX);
    }

    /// Takes nothing more from a connection, which has been told the last.
    pub(super) fn begin_closing(&mut self, id: PeerId, ending: Ending, deadline_ms: u64) {
        if let Some(peer) = self.all.get_mut(id) {
            peer.phase = Phase::Closing(ending);
            self.set_deadline(id, Some(deadline_ms));
        }
    }

    /// Forgets a connection that is no WebSocket any more; its slot is free for another.
    pub(super) fn forget(&mut self, id: PeerId) {
        self.set_deadline(id, None);
        self.pending.remove(id);
        self.addresses.remove(id);
        self.outbound.close(id);
        self.counters.closed.count(match self.all.remove(id).map(|peer| peer.phase) {
            Some(Phase::Closing(ending)) => ending,
            _ => Ending::Unused,
        });
        self.closes.push_back(id);
    }

    /// Panics where the parts do not agree. Work: everything; for tests.
    pub(super) fn check_invariants(&self) {
        self.outbound.check_invariants();
        let open = self.all.iter().filter(|(_, peer)| peer.is_open()).count();
        assert_eq!(open, self.open as usize, "WebSockets are counted");
        let timed = self.all.iter().filter(|(_, peer)| peer.deadline != Deadline::default());
        assert_eq!(timed.count(), self.timers.len(), "every deadline has its peer");
        assert!(self.pending.len() <= self.all.len() - open, "a WebSocket is not pending");
        self.check_counters();
    }

    fn check_counters(&self) {
        let Counters { accepted, closed, joined, exited, served, refused, .. } = self.counters;
        assert_eq!(accepted, closed.sum() + self.all.len() as u64, "all are here or gone");
        assert_eq!(joined, exited.sum() + u64::from(self.open), "all are here or have left");
        let mut ended = closed;
        for (_, peer) in self.all.iter() {
            if let Phase::Closing(ending) = peer.phase {
                ended.count(ending);
            }
        }
        for ((ending, count), (_, exited)) in ended.iter().zip(exited.iter()) {
            let begun = match ending {
                Ending::Unused | Ending::Evicted => count,
                Ending::Served => served,
                Ending::Refused => refused.sum(),
                _ => exited,
            };
            assert_eq!(count, begun, "an ending stays as it is: {ending}");
        }
    }
}
