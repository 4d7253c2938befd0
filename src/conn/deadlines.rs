//! When time alone makes something happen to a connection.

use super::peer::Phase;
use super::{Application, Connections, Ending, Peers};
use crate::clock::Now;
use crate::http::Response;
use crate::limits::KEEPALIVE_SLICES;
use crate::peer::PeerId;

impl Peers {
    /// Looks at a peer again at that time; `None` for never.
    pub(super) fn set_deadline(&mut self, id: PeerId, at: Option<u64>) {
        if let Some(peer) = self.all.get_mut(id) {
            self.timers.set(id, &mut peer.deadline, at);
        }
    }

    /// Looks at a WebSocket again `after_ms` from `from_ms`, or a little later together with
    /// others.
    pub(super) fn set_keepalive(&mut self, id: PeerId, from_ms: u64, after_ms: u64) {
        let slice = (self.limits.ping_ms / KEEPALIVE_SLICES).max(1);
        let at = (from_ms + after_ms).next_multiple_of(slice);
        self.set_deadline(id, (self.limits.ping_ms > 0).then_some(at));
    }
}

impl<A: Application> Connections<A> {
    /// Does what is due for a peer: refuses, pings, or drops it.
    pub(super) fn handle_deadline(&mut self, id: PeerId, now: Now) {
        let Some(peer) = self.peers.all.get_mut(id) else { return };
        match &peer.phase {
            Phase::Request(head) if !head.is_empty() => {
                let late = Response::text(408, "the request took too long");
                self.refuse(id, &late, false, now);
            }
            Phase::Open(_) => {
                // Where the process was stopped nobody was asked, and what came in is yet to be
                // read: that time was not the peer's silence.
                peer.heard_ms += peer.deadline.late_ms(now.mono_ms);
                let heard_ms = peer.heard_ms;
                self.keep_alive(id, heard_ms, now);
            }
            // A connection that was opened and never used wants no answer.
            Phase::Request(_) | Phase::Closing(_) => self.handle_closed(id, now),
        }
    }

    /// Pings a silent WebSocket, or drops one that has been silent for too long.
    fn keep_alive(&mut self, id: PeerId, heard_ms: u64, now: Now) {
        let limits = &self.peers.limits;
        let (ping_ms, silence_ms_max) = (limits.ping_ms, limits.silence_ms_max());
        let silent_ms = now.mono_ms.saturating_sub(heard_ms);
        if silent_ms >= silence_ms_max {
            log::debug!("dropped peer={id} reason=silent silent_ms={silent_ms}");
            self.exit(id, Ending::Silent, None, now);
            self.handle_closed(id, now);
        } else if silent_ms >= ping_ms {
            self.peers.outbound.ping(id, self.peers.ping.clone());
            self.peers.counters.pinged += 1;
            let next_ms = ping_ms.min(silence_ms_max - silent_ms);
            self.peers.set_keepalive(id, now.mono_ms, next_ms);
        } else {
            self.peers.set_keepalive(id, heard_ms, ping_ms);
        }
    }
}
