//! From a member, or a request, to a free slot.

use super::{Ending, Peer, Phase, Server};
use crate::clock::Now;
use crate::hub::PeerId;
use crate::limits::CLOSE_MS_MAX;
use crate::wire::frame::{CloseCode, Frame};

impl Server {
    /// Sends a member away.
    pub(super) fn dismiss(&mut self, id: PeerId, code: CloseCode, reason: &str, now: Now) {
        log::debug!("dismissed peer={id} code={code} reason={reason:?}");
        self.leave(id, Ending::of(code), Some(Frame::close(code, reason)), now);
    }

    /// A member lags too far: Close 1013, and nobody else notices. Who has been told another
    /// reason in the same turn keeps that.
    pub(super) fn give_up(&mut self, id: PeerId, now: Now) {
        if !self.peers.get(id).is_some_and(Peer::is_open) {
            return;
        }
        log::debug!("dismissed peer={id} code=1013 reason=\"too slow\"");
        self.hub
            .outboxes
            .overflow(id, Frame::close(CloseCode::Again, "too slow; come back when you can read"));
        self.leave(id, Ending::TooSlow, None, now);
    }

    /// Takes a member out of its room; the other phases stay as they are.
    pub(super) fn leave(&mut self, id: PeerId, ending: Ending, close: Option<Frame>, now: Now) {
        if !self.peers.get(id).is_some_and(Peer::is_open) {
            return;
        }
        self.hub.leave(id, close, self.drained_by_ms.is_some(), now);
        self.members -= 1;
        self.counters.left.count(ending);
        self.uncount_address(id);
        self.begin_closing(id, ending, now.mono_ms + CLOSE_MS_MAX);
    }

    /// Takes nothing more from a peer, which has been told the last or goes without a word.
    pub(super) fn begin_closing(&mut self, id: PeerId, ending: Ending, deadline_ms: u64) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.phase = Phase::Closing(ending);
            self.set_deadline(id, Some(deadline_ms));
        }
    }

    /// Forgets a peer that is in no room; its slot is free for another.
    pub(super) fn forget(&mut self, id: PeerId) {
        self.set_deadline(id, None);
        self.guests.depart(id);
        let phase = self.peers.remove(id).map(|peer| peer.phase);
        self.addresses.remove(id);
        self.hub.outboxes.close(id);
        self.counters.closed.count(match phase {
            Some(Phase::Closing(ending)) => ending,
            _ => Ending::Unused,
        });
    }
}
