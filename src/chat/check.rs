//! For tests only: whether all parts of a [`Server`] agree.

use super::{Counters, Server};

impl Server {
    /// Panics where the parts do not agree. Work: everything; for tests.
    pub fn check(&self) {
        self.check_invariants();
        self.application().rooms.check_invariants(&self.peers().outbound);
        let Counters { messages, typing, rejected, .. } = self.chat_counters();
        let answered = messages + typing + rejected.sum();
        assert_eq!(self.counters().texts, answered, "each text has one outcome");
    }
}
