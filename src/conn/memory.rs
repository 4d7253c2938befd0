//! One budget for all that is held for connections and by the application.
//!
//! What is held is counted by capacity where it is held. Whenever that is more than the budget,
//! something goes, so the process never ends for want of memory. What one message or one request
//! adds comes on top of the budget.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::addresses::Key;
use super::peer::Phase;
use super::{Application, Connections, Ending, Peers};
use crate::clock::Now;
use crate::limits::{CONNECTION_BYTES, REQUEST_BYTES_MAX, SHORTAGE_MS_MIN, UNTOUCHED_BYTES};
use crate::peer::PeerId;

/// For whom no more than this is held is dropped only where nothing else can go: a request head, or
/// the rest of a frame.
const HOLDING_BYTES_MIN: usize = REQUEST_BYTES_MAX;

impl Peers {
    /// Bytes of memory that are held, by what they are for.
    pub(crate) fn held(&self) -> [(&'static str, usize); 5] {
        let outbound = self.outbound.held();
        [
            ("connections", self.all.len() * CONNECTION_BYTES as usize),
            ("input", self.input_bytes),
            ("answers", outbound.own),
            ("logs", outbound.logs),
            ("replays", outbound.blocks),
        ]
    }

    /// Whether more is held than the budget allows, though all that can go has gone.
    pub fn is_short_of_memory(&self) -> bool {
        self.is_short_of_memory
    }

    /// Notes that memory is short, and says so now and then.
    fn note_shortage(&mut self, held: usize, now: Now) {
        self.counters.memory_short += 1;
        if now.mono_ms >= self.shortage_told_from_ms {
            self.shortage_told_from_ms = now.mono_ms + SHORTAGE_MS_MIN;
            let budget = self.limits.memory_bytes_max;
            log::warn!(
                "short of memory held={held} budget={budget} remedy=\"raise --memory, or lower \
                 --history, --queue-bytes or --max-peers\""
            );
        }
    }

    /// Those for each of whom more than `least` bytes are held: first those of the address that
    /// holds most, and of these the one with the most.
    fn holders(&self, least: usize) -> Vec<PeerId> {
        let mut sums = BTreeMap::<Key, usize>::new();
        let mut holders = Vec::new();
        for (id, peer) in self.all.iter() {
            let bytes = peer.held_bytes() + self.outbound.held_for(id);
            if bytes > least {
                *sums.entry(peer.address).or_default() += bytes;
                holders.push((peer.address, bytes, id));
            }
        }
        holders.sort_unstable_by_key(|&(address, bytes, id)| {
            (Reverse(sums[&address]), address, Reverse(bytes), id)
        });
        holders.into_iter().map(|(.., id)| id).collect()
    }
}

impl<A: Application> Connections<A> {
    /// Bytes of memory that are held, in all.
    pub fn held_bytes(&self) -> usize {
        let of_peers: usize = self.peers.held().iter().map(|(_, bytes)| bytes).sum();
        of_peers + self.application.held_bytes()
    }

    /// Gives back memory where more is held than the budget allows. Where that does not help, it is
    /// tried again only when much more is held.
    pub(super) fn keep_within_budget(&mut self, now: Now) {
        let most = self.peers.limits.held_bytes_max();
        if self.held_bytes() > self.peers.shed_above.max(most) {
            self.peers.note_shortage(self.held_bytes(), now);
            let is_all = self.shed(most, now);
            self.peers.shed_above = if is_all { self.held_bytes() + most / 16 } else { 0 };
        }
        self.peers.is_short_of_memory = self.held_bytes() > most;
        if !self.peers.is_short_of_memory {
            self.peers.shed_above = most;
        }
    }

    /// Gives back memory until an eighth of the most that may be held is free: what costs least to
    /// others goes first. Whether that was all that can go; otherwise a pass must end first.
    fn shed(&mut self, most: usize, now: Now) -> bool {
        let enough = most - most / 8;
        self.peers.outbound.shed_blocks();
        self.shed_holders(HOLDING_BYTES_MIN, enough, now);
        // Readers of logs that are not long, and who holds little, stay as long as something else
        // can go.
        if !self.shed_logs(most / 16, enough, now) {
            return false;
        }
        let over = self.held_bytes().saturating_sub(enough);
        if over > 0 {
            self.application.shed(&self.peers.outbound, over);
        }
        self.shed_holders(UNTOUCHED_BYTES as usize, most, now);
        self.shed_logs(0, most, now)
    }

    /// Drops those for each of whom more than `least` bytes are held, until it is enough.
    fn shed_holders(&mut self, least: usize, enough: usize, now: Now) {
        if self.held_bytes() <= enough {
            return;
        }
        for id in self.peers.holders(least) {
            if self.held_bytes() <= enough {
                return;
            }
            self.evict(id, now);
        }
    }

    /// Dismisses those who keep logs of more than `least` bytes from being trimmed, the longest log
    /// first. Whether that was all; otherwise a log is trimmed when its pass ends.
    fn shed_logs(&mut self, least: usize, enough: usize, now: Now) -> bool {
        while self.held_bytes() > enough
            && let Some((channel, len, readers)) = self.peers.outbound.holders_of_longest_log()
            && len > least
        {
            let is_last = readers.is_empty();
            for id in readers {
                self.dismiss_slow(id, now);
            }
            let is_trimmed = self.peers.outbound.shed_log(channel);
            if is_last || !is_trimmed {
                return is_trimmed;
            }
        }
        true
    }

    /// Drops a connection for others. A WebSocket cannot be told why.
    pub(super) fn evict(&mut self, id: PeerId, now: Now) {
        log::debug!("dropped peer={id} reason=evicted");
        let peer = self.peers.all.get(id);
        if peer.is_some_and(|peer| matches!(peer.phase, Phase::Request(_))) {
            self.peers.set_closing(id, Ending::Evicted);
        }
        self.drop(id, Ending::OverMemory, now);
    }
}
