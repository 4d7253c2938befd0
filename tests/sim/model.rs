//! What must hold, whatever happens.

use hallway::limits::{REQUEST_BYTES_MAX, SCRATCH_BYTES_KEPT};

use super::client::{Client, Seen, Temper};
use super::world::World;

/// Bytes of heap that a connection costs beside what is queued for it and what it has sent.
const CONNECTION_BYTES: usize = 1024;

/// Bytes of heap that the server's own lists and buffers keep from turns as lively as these.
const KEPT_BYTES: usize = SCRATCH_BYTES_KEPT;

impl World {
    /// After every action: the parts agree, and memory is within what the limits promise.
    pub(crate) fn check_step(&self) {
        self.server().check_invariants();
        let most = self.held_most();
        assert!(self.held <= most, "{} bytes are held, the limits allow {most}", self.held);
    }

    /// After every turn: deadlines advance, and everybody has seen a piece of the one order.
    pub(crate) fn check_turn(&mut self) {
        let is_over = self.server().is_drained(self.now);
        let next = self.server().poll_timeout();
        assert!(is_over || next.is_none_or(|at| at > self.now.mono_ms), "deadlines advance");
        (0..self.clients.len()).for_each(|who| self.check_order(who));
    }

    /// When time has passed: nobody who is gone without a word is kept for longer than two and a
    /// half times the interval of pings, and what those are spread by.
    pub(crate) fn check_vanished(&self) {
        let most = self.limits.ping_ms * 5 / 2 + self.limits.ping_ms / 32;
        for client in self.clients.iter().filter(|client| client.connection.peer.is_some()) {
            let since = client.connection.vanished_ms.unwrap_or(self.now.mono_ms);
            let silent = self.now.mono_ms - since;
            assert!(silent <= most, "{} vanished {silent} ms ago", client.name);
        }
    }

    /// When all is quiet: who reads and is still there knows all that it should.
    pub(crate) fn check_settled(&self) {
        for (who, client) in self.clients.iter().enumerate() {
            if client.reads_all() && client.is_member() && !self.is_observer(who) {
                self.check_knows_all(client);
                self.check_heard(client);
                self.check_count(client);
            }
        }
    }

    /// When the server goes: everybody who reads is told.
    pub(crate) fn check_goodbye(&self, members: &[usize]) {
        for client in members.iter().map(|&who| &self.clients[who]) {
            let is_told = client.connection.close_code == Some(1001);
            assert!(is_told || !client.reads_all(), "{} was told goodbye", client.name);
        }
    }

    /// When everybody has gone: the counters add up, and only the history's memory is left.
    pub(crate) fn check_empty(&self) {
        self.server().check_invariants();
        let counters = self.server().counters();
        assert_eq!((self.server().peers(), counters.accepted), (0, counters.closed.sum()));
        assert_eq!(counters.joined, counters.left.sum());
        let rooms = self.server().rooms();
        assert!(rooms == 0 || self.limits.history_frames_max > 0, "an empty room is forgotten");
        let most = self.held_when_new + rooms * self.history_bytes() + KEPT_BYTES;
        assert!(self.held <= most, "{} bytes are left, {most} may be", self.held);
    }

    /// Bytes of heap that the limits allow, by those who are there.
    fn held_most(&self) -> usize {
        let queue = self.limits.queue_bytes_max as usize;
        let message = 2 * self.limits.message_bytes_max as usize;
        let connection = CONNECTION_BYTES + REQUEST_BYTES_MAX + message + queue;
        let rooms = self.server().rooms() * self.history_bytes();
        self.held_when_new + KEPT_BYTES + rooms + self.clients.len() * connection
    }

    /// Bytes of heap of a room that has said as much as it keeps, in two dialects.
    fn history_bytes(&self) -> usize {
        let frame = 2 * self.limits.frame_bytes_max() as usize;
        CONNECTION_BYTES + self.limits.history_frames_max as usize * frame
    }

    /// What a client has seen is a piece of the one order, without a gap and without a repeat.
    fn check_order(&mut self, who: usize) {
        let (client, order) = self.with_order(who);
        let connection = &client.connection;
        let Some(first) = connection.seen.first() else { return };
        let start =
            connection.order_start.or_else(|| order.iter().position(|said| same(said, first)));
        let start = start.unwrap_or_else(|| panic!("{} saw {first:?}, nobody else", client.name));
        let checked = connection.checked;
        for (at, seen) in connection.seen.iter().enumerate().skip(checked) {
            let said = order.get(start + at);
            let is_same = said.is_some_and(|said| same(said, seen));
            assert!(is_same, "{}: {seen:?} at {at}, the room has {said:?}", client.name);
            let sender = seen.message.split('#').next();
            assert_eq!(sender, Some(&*seen.username), "names are not mixed");
        }
        let connection = &mut self.clients[who].connection;
        (connection.order_start, connection.checked) = (Some(start), connection.seen.len());
    }

    /// A client, and the order of its room.
    fn with_order(&self, who: usize) -> (&Client, &[Seen]) {
        let client = &self.clients[who];
        (client, &self.observer(client.room).connection.seen)
    }

    /// A member has the replay that it is due and all that came after it.
    fn check_knows_all(&self, client: &Client) {
        let connection = &client.connection;
        let joined_at = connection.joined_at.expect("a member has joined");
        let order = &self.observer(client.room).connection.seen;
        let oldest = joined_at.saturating_sub(self.limits.history_frames_max as usize);
        let missed = connection.since.map(|since| first_after(order, since));
        // Nothing is repeated for who comes back, as long as the history reaches so far.
        let start = missed.filter(|&at| at >= oldest).unwrap_or(oldest);
        let texts =
            |seen: &[Seen]| seen.iter().map(|seen| seen.message.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&connection.seen), texts(&order[start..]), "{} knows all", client.name);
        if let Some(welcome) = &connection.welcome {
            let is_complete = missed.is_none_or(|at| at >= oldest);
            assert_eq!(welcome["complete"], is_complete, "{}: {welcome}", client.name);
        }
    }

    /// What a member has said was heard, or it knows why not.
    fn check_heard(&self, client: &Client) {
        if client.temper == Temper::Malicious {
            return;
        }
        let connection = &client.connection;
        let order = &self.observer(client.room).connection.seen;
        let own = order.iter().filter(|said| said.username == client.name);
        let number = |said: &Seen| said.message.rsplit('#').next().and_then(|n| n.parse().ok());
        let heard = own.filter(|said| number(said) > Some(connection.sent_before)).count();
        let said = client.sent - connection.sent_before;
        if self.limits.rate_per_second == 0 {
            assert_eq!((heard, connection.errors), (said, 0), "{} was heard", client.name);
        } else {
            // What was too fast got an error; news of who is typing may have been, too.
            assert!(heard <= said, "{} is heard {heard} times for {said}", client.name);
            assert!(heard + connection.errors >= said, "{} was heard or told", client.name);
        }
    }

    fn check_count(&self, client: &Client) {
        let members = self.server().members(&format!("r{}", client.room)) as u64;
        let is_true = client.connection.count.is_none_or(|count| count == members);
        assert!(is_true, "{} counts {:?}, not {members}", client.name, client.connection.count);
    }
}

fn first_after(order: &[Seen], since: u64) -> usize {
    order.iter().position(|said| said.id > Some(since)).unwrap_or(order.len())
}

/// Whether the observer and another have seen the same.
fn same(said: &Seen, seen: &Seen) -> bool {
    let has_id = seen.id.is_none() || seen.id == said.id;
    has_id && said.message == seen.message && said.username == seen.username
}
