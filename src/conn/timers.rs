//! When each peer must be looked at next.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use crate::peer::PeerId;

/// One deadline a peer, in order. All times are in milliseconds of [`crate::clock::Now::mono_ms`].
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(u64, PeerId)>,
}

/// The deadline of one peer as the peer itself keeps it, to find it in [`Timers`] again. Zero is
/// none, which saves eight bytes a peer: no deadline is at the very start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadline(Option<NonZeroU64>);

impl Deadline {
    /// How long it has been over, in milliseconds.
    pub(super) fn late_ms(self, now: u64) -> u64 {
        self.0.map_or(0, |at| now.saturating_sub(at.get()))
    }
}

impl Timers {
    /// Sets a peer's deadline in place of the one it had; `None` for no deadline.
    pub(super) fn set(&mut self, id: PeerId, deadline: &mut Deadline, at: Option<u64>) {
        if let Some(before) = deadline.0 {
            self.by_time.remove(&(before.get(), id));
        }
        deadline.0 = at.map(|at| NonZeroU64::new(at).unwrap_or(NonZeroU64::MIN));
        if let Some(at) = deadline.0 {
            self.by_time.insert((at.get(), id));
        }
    }

    /// The first deadline of all.
    pub(super) fn next(&self) -> Option<u64> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// A peer whose deadline is not after `now`. It stays so until its deadline is set anew.
    pub(super) fn expired(&self, now: u64) -> Option<PeerId> {
        self.by_time.first().filter(|&&(at, _)| at <= now).map(|&(_, id)| id)
    }

    /// How many peers have a deadline.
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_a_new_deadline_replaces_the_old() {
        let (a, b) = (PeerId::new(0, 1), PeerId::new(1, 2));
        let (mut of_a, mut of_b) = Default::default();
        let mut timers = Timers::default();
        timers.set(a, &mut of_a, Some(30));
        timers.set(b, &mut of_b, Some(20));
        assert_eq!((timers.next(), timers.expired(19)), (Some(20), None));
        assert_eq!(timers.expired(20), Some(b));
        timers.set(b, &mut of_b, Some(40));
        assert_eq!(timers.expired(100), Some(a));
        timers.set(a, &mut of_a, None);
        assert_eq!((timers.expired(100), timers.len()), (Some(b), 1));
    }
}
