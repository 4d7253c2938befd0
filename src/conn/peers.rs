//! All connections, as an application sees them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::addresses::Addresses;
use super::application::Answer;
use super::counters::Counters;
use super::deadlines::NEVER;
use super::ending::Ending;
use super::peer::{Peer, Phase};
use super::rate::Verdict;
use crate::clock::Now;
use crate::limits::{Limits, REQUEST_MS_MAX};
use crate::outbound::{Bytes, Outbound, Thresholds};
use crate::peer::{PeerId, PeerMap};
use crate::ws::frame::{Control, Decoder, OpCode, encode};

/// A connection that is no WebSocket.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: PeerId,
    /// From when on it may be evicted.
    pub(super) from_ms: u64,
    /// Its request is whole, and waits at a gate.
    pub(super) is_parked: bool,
}

/// All connections: the receive side of each, its deadline, and what has been counted.
#[derive(Debug)]
pub struct Peers {
    /// What is to be written to whom.
    pub outbound: Outbound,
    pub(crate) limits: Rc<Limits>,
    pub(super) all: PeerMap<Peer>,
    /// When each must be looked at next, in order; nobody of whom it is [`NEVER`].
    pub(super) deadlines: BTreeSet<(u64, PeerId)>,
    /// Those that are no WebSocket, by generation, so the oldest comes first. A silent WebSocket
    /// pays nothing for it.
    pub(super) pending: BTreeMap<u32, Pending>,
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
            deadlines: BTreeSet::new(),
            pending: BTreeMap::new(),
            closes: VecDeque::new(),
            open: 0,
            generation: 0,
            drained_by_ms: None,
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
        self.addresses.is_full(id)
    }

    /// Draws one message from the bucket of a WebSocket.
    pub fn draw(&mut self, id: PeerId, now: Now) -> Verdict {
        let Some(Peer { phase: Phase::Open { bucket, .. }, .. }) = self.all.get_mut(id) else {
            return Verdict::Over;
        };
        bucket.get_or_insert_default().draw(now.mono_ms, &self.limits)
    }

    /// Whether a request is whole, and waits at a gate.
    pub(super) fn is_parked(&self, id: PeerId) -> bool {
        self.pending.get(&id.generation()).is_some_and(|pending| pending.is_parked)
    }

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
        self.begin_closing(id, ending, now.mono_ms + REQUEST_MS_MAX);
    }

    /// Makes a connection a WebSocket, whose first bytes are these.
    fn upgrade(&mut self, id: PeerId, first: Vec<u8>, now: Now) {
        self.outbound.begin(id, first.into());
        self.set_phase(id, Phase::Open { decoder: Decoder::default(), bucket: None });
        self.pending.remove(&id.generation());
        self.addresses.count(id);
        self.open += 1;
        self.counters.joined += 1;
        self.set_keepalive(id, now.mono_ms + self.limits.ping_ms);
    }

    /// Takes nothing more from a connection, which has been told the last.
    pub(super) fn begin_closing(&mut self, id: PeerId, ending: Ending, deadline_ms: u64) {
        self.set_phase(id, Phase::Closing(ending));
        self.set_deadline(id, deadline_ms);
    }

    /// Forgets a connection that is no WebSocket any more; its slot is free for another.
    pub(super) fn forget(&mut self, id: PeerId) {
        self.set_deadline(id, NEVER);
        self.pending.remove(&id.generation());
        self.addresses.of.remove(id);
        self.outbound.close(id);
        self.counters.closed.count(match self.all.remove(id).map(|peer| peer.phase) {
            Some(Phase::Closing(ending)) => ending,
            _ => Ending::Unused,
        });
        self.closes.push_back(id);
    }
}
