//! When time alone makes something happen to a connection.

use super::peer::Phase;
use super::{Answer, Application, Connections, Ending, Peers, unavailable};
use crate::clock::Now;
use crate::http::Response;
use crate::limits::PROGRESS_MS_MAX;
use crate::peer::PeerId;

/// The deadline of a peer that has none.
pub(super) const NEVER: u64 = u64::MAX;

/// A keepalive deadline is rounded up to the next multiple of the ping interval divided by this,
/// so that thousands of idle peers wake the loop at most so often an interval.
pub const KEEPALIVE_SLICES: u64 = 64;

impl Peers {
    /// Looks at a peer again at that time in place of the one set before, in milliseconds of
    /// [`Now::mono_ms`].
    pub(super) fn set_deadline(&mut self, id: PeerId, at_ms: u64) {
        let Some(peer) = self.all.get_mut(id) else { return };
        if peer.deadline_ms != NEVER {
            self.deadlines.remove(&(peer.deadline_ms, id));
        }
        peer.deadline_ms = at_ms;
        if at_ms != NEVER {
            self.deadlines.insert((at_ms, id));
        }
    }

    /// Looks at a connection again when it has taken no byte for too long, if some wait for it.
    pub(super) fn look_at_progress(&mut self, id: PeerId) {
        let from_ms = self.outbound.stalled_from_ms(id);
        let deadline_ms = self.all.get(id).map(|peer| peer.deadline_ms);
        if let Some((from_ms, deadline_ms)) = from_ms.zip(deadline_ms)
            && from_ms + PROGRESS_MS_MAX < deadline_ms
        {
            self.set_deadline(id, from_ms + PROGRESS_MS_MAX);
        }
    }

    /// Looks at a WebSocket again at that time, or a little later together with others.
    pub(super) fn set_keepalive(&mut self, id: PeerId, at_ms: u64) {
        let slice = (self.limits.ping_ms / KEEPALIVE_SLICES).max(1);
        let is_kept = self.limits.ping_ms > 0;
        self.set_deadline(id, if is_kept { at_ms.next_multiple_of(slice) } else { NEVER });
    }
}

impl<A: Application> Connections<A> {
    /// Does what is due for a peer: refuses, pings, or drops it.
    pub(super) fn handle_deadline(&mut self, id: PeerId, now: Now) {
        let Some(peer) = self.peers.all.get_mut(id) else { return };
        match &peer.phase {
            // The peer has sent all of it, and is not to blame.
            Phase::Request(_) if peer.is_parked => {
                let busy = unavailable("busy", "the server is busy; try again in a moment");
                self.peers.answer(id, Answer::Response(busy), false, now);
            }
            Phase::Request(head) if !head.is_empty() => {
                let late = Response::text(408, "the request took too long");
                self.peers.answer(id, Answer::Response(late), false, now);
            }
            Phase::Open { .. } if peer.is_hung_up => self.handle_closed(id, now),
            Phase::Open { .. } => {
                // Where the process was stopped nobody was asked, and what came in is yet to be
                // read: that time was not the peer's silence.
                peer.heard_ms += now.mono_ms.saturating_sub(peer.deadline_ms);
                if peer.ready_ms() > now.mono_ms {
                    // It is not read, so nobody knows whether it is silent.
                    peer.heard_ms = now.mono_ms;
                }
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
        let stalled_from_ms = self.peers.outbound.stalled_from_ms(id);
        if stalled_from_ms.is_some_and(|from_ms| from_ms + PROGRESS_MS_MAX <= now.mono_ms) {
            log::debug!("dropped peer={id} reason=stalled");
            self.drop(id, Ending::Stalled, now);
        } else if ping_ms > 0 && silent_ms >= silence_ms_max {
            log::debug!("dropped peer={id} reason=silent");
            self.drop(id, Ending::Silent, now);
        } else if ping_ms > 0 && silent_ms >= ping_ms {
            self.peers.outbound.ping(id, self.peers.ping.clone());
            if let Some(peer) = self.peers.all.get_mut(id) {
                peer.is_pinged = true;
            }
            self.peers.counters.pinged += 1;
            let next_ms = ping_ms.min(silence_ms_max - silent_ms);
            self.peers.set_keepalive(id, now.mono_ms + next_ms);
        } else {
            self.peers.set_keepalive(id, heard_ms + ping_ms);
        }
        self.peers.look_at_progress(id);
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::peer::Peer;
    use super::*;
    use crate::limits::Limits;
    use crate::outbound::Thresholds;

    #[test]
    fn the_earliest_comes_first_and_a_new_deadline_replaces_the_old() {
        let mut peers = Peers::new(Rc::new(Limits::default()), Thresholds::default());
        let (a, b) = (PeerId::new(0, 1), PeerId::new(1, 2));
        for (id, at_ms) in [(a, 30), (b, 20)] {
            peers.all.insert(id, Peer::new(0, Now::default()));
            peers.set_deadline(id, at_ms);
        }
        assert_eq!(peers.deadlines.first(), Some(&(20, b)));
        peers.set_deadline(b, 40);
        assert_eq!(peers.deadlines.first(), Some(&(30, a)));
        peers.set_deadline(a, NEVER);
        assert!(peers.deadlines.iter().eq([&(40, b)]));
    }
}
