//! For tests only: whether the parts of [`Connections`] agree.

use std::collections::BTreeSet;

use super::deadlines::NEVER;
use super::peer::Phase;
use super::{Connections, Counters, Ending, Peers};

impl<A> Connections<A> {
    /// Panics where the parts do not agree. Work: everything; for tests.
    pub fn check_invariants(&self) {
        let Peers { all, deadlines, pending, counters, .. } = &self.peers;
        self.peers.outbound.check_invariants();
        let open = all.iter().filter(|(_, peer)| peer.is_open()).count();
        assert_eq!(open, self.peers.open as usize, "WebSockets are counted");
        let timed = all.iter().filter(|(_, peer)| peer.deadline_ms != NEVER);
        let timed: BTreeSet<_> = timed.map(|(id, peer)| (peer.deadline_ms, id)).collect();
        assert_eq!(timed, *deadlines, "every deadline has its peer");
        assert_eq!(pending.len(), all.len() - open, "all but WebSockets may be evicted");
        let waits =
            |&(at_ms, id): &(u64, _)| all.get(id).is_some_and(|peer| peer.ready_ms() == at_ms);
        assert!(self.peers.paused.iter().all(waits), "only those who are here wait for tokens");
        self.peers.addresses.check_invariants(all.len());

        let &Counters { accepted, closed, joined, exited, served, refused, .. } = counters;
        assert_eq!(accepted, closed.sum() + all.len() as u64, "all are here or gone");
        assert_eq!(joined, exited.sum() + open as u64, "all are here or have left");
        let mut ended = closed;
        for (_, peer) in all.iter() {
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
