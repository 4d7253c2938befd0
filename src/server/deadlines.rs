//! When time alone makes something happen to a peer.

use super::{Ending, Phase, Server};
use crate::clock::Now;
use crate::hub::PeerId;
use crate::limits::KEEPALIVE_SLICES;
use crate::wire::frame::Frame;
use crate::wire::response::Refusal;

impl Server {
    /// Looks at a peer again at that time; `None` for never.
    pub(super) fn set_deadline(&mut self, id: PeerId, at: Option<u64>) {
        if let Some(peer) = self.peers.get_mut(id) {
            self.timers.set(id, &mut peer.deadline, at);
        }
    }

    /// Does what is due for a peer: refuses, pings, or drops it.
    pub(super) fn handle_deadline(&mut self, id: PeerId, now: Now) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        match &peer.phase {
            Phase::Request(head) if !head.is_empty() => {
                self.refuse(id, &Refusal::new(408, "the request took too long"), now);
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

    /// Pings a silent member, or drops one that has been silent for too long.
    fn keep_alive(&mut self, id: PeerId, heard_ms: u64, now: Now) {
        let (ping_ms, silence_ms_max) = (self.limits.ping_ms, self.limits.silence_ms_max());
        let silent_ms = now.mono_ms.saturating_sub(heard_ms);
        if silent_ms >= silence_ms_max {
            log::debug!("dropped peer={id} reason=silent silent_ms={silent_ms}");
            self.leave(id, Ending::Silent, None, now);
            self.handle_closed(id, now);
        } else if silent_ms >= ping_ms {
            self.hub.outboxes.push_whole(id, Frame::ping().into_bytes());
            self.counters.pinged += 1;
            self.set_keepalive(id, now.mono_ms, ping_ms.min(silence_ms_max - silent_ms));
        } else {
            self.set_keepalive(id, heard_ms, ping_ms);
        }
    }

    /// Looks at a member again `after_ms` from `from_ms`, or a little later together with others.
    pub(super) fn set_keepalive(&mut self, id: PeerId, from_ms: u64, after_ms: u64) {
        let slice = (self.limits.ping_ms / KEEPALIVE_SLICES).max(1);
        let at = (from_ms + after_ms).next_multiple_of(slice);
        self.set_deadline(id, (self.limits.ping_ms > 0).then_some(at));
    }
}
