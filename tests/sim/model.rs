//! What must hold, whatever happens.

use hallway::limits::{
    CLOSE_MS_MAX, DRAIN_MS_MAX, REQUEST_BYTES_MAX, REQUEST_MS_MAX, SCRATCH_BYTES_KEPT,
};

use super::client::{Client, Temper};
use super::connection::{Connection, Resumed, Seen};
use super::world::World;

/// Bytes of heap that a connection costs beside what is queued for it and what it has sent.
const CONNECTION_BYTES: usize = 1024;

/// Bytes of heap that a room costs beside what it remembers.
const ROOM_BYTES: usize = 1024;

/// Bytes of heap that a message in a history costs beside its text: its entry in a ring that may
/// be half empty, and an envelope for each dialect.
const MESSAGE_BYTES: usize = 512;

/// The same for each byte of its text: once plain, and escaped for each dialect.
const MESSAGE_BYTES_PER_BYTE: usize = 1 + 2 * 6;

/// Bytes of heap that the server's own lists and buffers keep from turns as lively as these.
const KEPT_BYTES: usize = SCRATCH_BYTES_KEPT;

impl World {
    /// After every action: the parts agree, what is counted is what has gone in and out, and
    /// memory is within what the limits promise.
    pub(crate) fn check_step(&self) {
        self.server.check_invariants();
        let counters = self.server.counters();
        assert_eq!(counters.received_bytes, self.received_bytes, "bytes in are counted");
        assert_eq!(counters.sent_bytes, self.written_bytes, "bytes out are counted");
        let most = self.held_most();
        assert!(self.held <= most, "{} bytes are held, the limits allow {most}", self.held);
    }

    /// After every turn: deadlines advance, and everybody has seen its piece of the one order;
    /// who reads all of it has seen it to the end.
    pub(crate) fn check_turn(&mut self) {
        let is_over = self.server.is_drained(self.now);
        let next = self.server.poll_timeout();
        assert!(is_over || next.is_none_or(|at| at > self.now.mono_ms), "deadlines advance");
        (0..self.rooms()).for_each(|room| self.check_senders(room));
        for who in 0..self.clients.len() {
            self.check_order(who);
            self.check_told(who);
            let client = &self.clients[who];
            if client.reads_all() && client.is_member() {
                self.check_knows_all(client);
                self.check_count(client);
            }
        }
        (0..self.rooms()).for_each(|room| self.check_members(room));
    }

    /// When time has passed: nobody is kept for longer than the deadline that is its.
    pub(crate) fn check_deadlines(&self) {
        let silence_ms = self.limits.silence_ms_max() + self.limits.ping_ms / 32;
        let close_ms = if self.is_draining { DRAIN_MS_MAX } else { CLOSE_MS_MAX };
        for client in self.clients.iter().filter(|client| client.connection.peer.is_some()) {
            let Connection { order, since_ms, closed_ms, vanished_ms, .. } = client.connection;
            let since = |at: Option<u64>| self.now.mono_ms - at.unwrap_or(self.now.mono_ms);
            let unanswered = since(order.is_none().then_some(since_ms));
            // A request has its time, and so has the refusal that it ends with.
            assert!(unanswered <= 2 * REQUEST_MS_MAX, "{} waits {unanswered} ms", client.name);
            let closing = since(closed_ms);
            assert!(closing <= close_ms, "{} closes for {closing} ms", client.name);
            let silent = since(vanished_ms);
            assert!(silent <= silence_ms, "{} vanished {silent} ms ago", client.name);
        }
    }

    /// Nobody who behaves is dropped without being told why.
    pub(crate) fn check_reason(&self, who: usize) {
        let client = &self.clients[who];
        let is_told = !client.is_member() || !client.reads_all() || client.connection.is_broken;
        assert!(is_told || client.temper == Temper::Malicious, "{} lost its place", client.name);
    }

    /// When all is quiet: who has spoken was heard.
    pub(crate) fn check_settled(&self) {
        for client in self.clients.iter().filter(|client| client.is_member() && client.reads_all())
        {
            self.check_heard(client);
        }
    }

    /// When the server goes: everybody who reads is told, after all that was said before.
    pub(crate) fn check_goodbye(&self, members: &[usize]) {
        let is_sure = |client: &&Client| {
            let is_intact = client.takes_all() && !client.connection.is_broken;
            is_intact && client.temper != Temper::Malicious
        };
        for client in members.iter().map(|&who| &self.clients[who]).filter(is_sure) {
            let code = client.connection.close_code;
            let is_over_rate = code == Some(1008) && self.limits.rate_per_second > 0;
            assert!(code == Some(1001) || is_over_rate, "{} got {code:?}", client.name);
            if code == Some(1001) {
                self.check_knows_all(client);
            }
        }
    }

    /// When everybody has gone: only the history's memory is left.
    pub(crate) fn check_empty(&self) {
        self.server.check_invariants();
        assert_eq!(self.server.peers(), 0);
        let rooms = self.server.rooms();
        assert!(rooms == 0 || self.limits.history_frames_max > 0, "an empty room is forgotten");
        let most = self.held_when_new + self.histories_bytes() + KEPT_BYTES;
        assert!(self.held <= most, "{} bytes are left, {most} may be", self.held);
    }

    /// Bytes of heap that the limits allow, by those who are there.
    fn held_most(&self) -> usize {
        // What a room says in a turn, in two dialects, and twice: gathered, and handed out.
        let turns = self.rooms() * 4 * self.limits.queue_bytes_max as usize;
        let here = self.clients.iter().filter(|client| client.connection.peer.is_some());
        let connections: usize = here.map(|client| self.connection_bytes(client)).sum();
        // The replay of a turn is kept in each dialect for others of the same turn.
        self.held_when_new + KEPT_BYTES + 3 * self.histories_bytes() + turns + connections
    }

    fn connection_bytes(&self, client: &Client) -> usize {
        let is_open = client.connection.order.is_some();
        let message = 2 * self.limits.message_bytes_max as usize;
        let inbound = if is_open { message } else { REQUEST_BYTES_MAX };
        // Who reads all keeps nothing between turns; who does not may lag by a queue and a replay.
        let lag = self.limits.queue_bytes_max as usize + self.history_bytes(client.room);
        CONNECTION_BYTES + inbound + if client.takes_all() { 0 } else { lag }
    }

    fn histories_bytes(&self) -> usize {
        (0..self.rooms()).map(|room| ROOM_BYTES + self.history_bytes(room)).sum()
    }

    /// Bytes of heap of what a room remembers.
    fn history_bytes(&self, room: usize) -> usize {
        let bytes = |said: &Seen| {
            MESSAGE_BYTES + MESSAGE_BYTES_PER_BYTE * (said.username.len() + said.message.len())
        };
        let order = self.order(room);
        let oldest = order.len().saturating_sub(self.limits.history_frames_max as usize);
        order[oldest..].iter().map(bytes).sum()
    }

    /// All that was said in a room, in the order in which it was.
    fn order(&self, room: usize) -> &[Seen] {
        &self.observer(room).connection.seen
    }

    /// What the room has newly said was sent by those who are in it, each in its order.
    fn check_senders(&mut self, room: usize) {
        let heard = self.order(room).len();
        for at in self.told[room]..heard {
            let (name, number) = self.order(room)[at].signature();
            let sender = self.clients.iter().position(|client| client.name == name);
            let sender = sender.unwrap_or_else(|| panic!("{name} is nobody"));
            let client = &self.clients[sender];
            assert_eq!(client.room, room, "{name} is in another room");
            let is_next = (self.heard[sender] + 1..=client.sent).contains(&number);
            assert!(is_next, "{name} said {number} after {}", self.heard[sender]);
            self.heard[sender] = number;
        }
        self.told[room] = heard;
    }

    /// Notes where in the room's order the replay of a newcomer must begin: with the oldest
    /// message that is kept, or where it has asked to go on, if that is kept.
    pub(crate) fn note_joined(&mut self, who: usize) {
        let client = &self.clients[who];
        let order = self.order(client.room);
        let joined_at = order.len();
        let oldest = joined_at.saturating_sub(self.limits.history_frames_max as usize);
        let start = match client.connection.resumed {
            Resumed::At(since) => first_after(order, since).max(oldest),
            Resumed::No | Resumed::AtNothing => oldest,
        };
        self.clients[who].connection.order = Some((start, joined_at));
    }

    /// What a client has seen is a piece of the one order, without a gap and without a repeat:
    /// first the replay, then its own arrival, then what followed.
    fn check_order(&mut self, who: usize) {
        let client = &self.clients[who];
        let Connection { seen, order, checked, replayed, .. } = &client.connection;
        let Some((start, joined_at)) = *order else {
            return assert!(seen.is_empty(), "{} has not come in", client.name);
        };
        let said = &self.order(client.room)[start..];
        for (at, seen) in seen.iter().enumerate().skip(*checked) {
            let said = said.get(at);
            let is_same = said.is_some_and(|said| same(said, seen));
            assert!(is_same, "{}: {seen:?} at {at}, the room has {said:?}", client.name);
        }
        let is_first = replayed.is_none_or(|replayed| replayed == joined_at - start);
        assert!(is_first, "{} heard {replayed:?} before it came in", client.name);
        self.check_welcome(client, start, joined_at);
        let checked = seen.len();
        self.clients[who].connection.checked = checked;
    }

    fn check_welcome(&self, client: &Client, start: usize, joined_at: usize) {
        // A room that has nobody left to observe it may be another one by now.
        let is_observed = self.observer(client.room).connection.peer.is_some();
        let Some(welcome) = client.connection.welcome.as_ref().filter(|_| is_observed) else {
            return;
        };
        let order = self.order(client.room);
        let is_complete = match client.connection.resumed {
            Resumed::No => true,
            Resumed::At(since) => first_after(&order[..joined_at], since) == start,
            Resumed::AtNothing => false,
        };
        assert_eq!(welcome["complete"], is_complete, "{}: {welcome}", client.name);
        let last = joined_at.checked_sub(1).and_then(|at| order[at].id);
        let last = last.map(|id| id.to_string());
        assert_eq!(welcome["lastId"].as_str(), last.as_deref(), "{}: {welcome}", client.name);
    }

    /// Who is sent away is sent away for what it has done.
    fn check_told(&mut self, who: usize) {
        let (now_ms, client) = (self.now.mono_ms, &mut self.clients[who]);
        let Some(code) = client.connection.close_code else { return };
        client.connection.closed_ms.get_or_insert(now_ms);
        let is_deserved = match code {
            1000 => client.connection.is_leaving,
            1001 => self.is_draining,
            1008 => self.limits.rate_per_second > 0,
            1013 => !client.takes_all(),
            _ => false,
        };
        let is_malicious = client.temper == Temper::Malicious;
        assert!(is_deserved || is_malicious, "{} was sent away with {code}", client.name);
    }

    /// A member has the replay that it is due and all that came after it.
    fn check_knows_all(&self, client: &Client) {
        let (start, _) = client.connection.order.expect("a member has joined");
        let due = self.order(client.room).len() - start;
        assert_eq!(client.connection.seen.len(), due, "{} knows all", client.name);
    }

    /// What a member has said was heard once, or it knows why not.
    fn check_heard(&self, client: &Client) {
        if client.temper == Temper::Malicious {
            return;
        }
        let connection = &client.connection;
        let is_own = |seen: &&Seen| {
            let (name, number) = seen.signature();
            name == client.name && number > connection.sent_before
        };
        let heard = self.order(client.room).iter().filter(is_own).count();
        let said = client.sent - connection.sent_before;
        if client.is_second {
            assert_eq!(connection.echoes, heard, "{} knows what has arrived", client.name);
        }
        if self.limits.rate_per_second == 0 {
            assert_eq!((heard, connection.errors), (said, 0), "{} was heard", client.name);
        } else {
            // What was too fast got an error; news of who is typing may have been, too.
            assert!(heard <= said, "{} is heard {heard} times for {said}", client.name);
            assert!(heard + connection.errors >= said, "{} was heard or told", client.name);
        }
    }

    fn check_count(&self, client: &Client) {
        let members = self.server.members(&format!("r{}", client.room)) as u64;
        let count = client.connection.count;
        assert_eq!(count, Some(members), "{} knows how many there are", client.name);
    }

    /// The server counts all who are surely there, and none who surely is not.
    fn check_members(&self, room: usize) {
        let here = self.clients.iter().filter(|client| client.room == room);
        let joined = here
            .filter(|client| client.connection.peer.is_some() && client.connection.order.is_some());
        let (mut least, mut most) = (0, 0);
        for client in joined {
            most += 1;
            least += usize::from(client.is_member() && client.reads_all());
        }
        let members = self.server.members(&format!("r{room}"));
        assert!((least..=most).contains(&members), "{members} of {least} to {most} are there");
    }
}

/// The place of the first message after the one with this id.
fn first_after(order: &[Seen], since: u64) -> usize {
    order.iter().position(|said| said.id > Some(since)).unwrap_or(order.len())
}

/// Whether the observer and another have seen the same.
fn same(said: &Seen, seen: &Seen) -> bool {
    let has_id = seen.id.is_none() || seen.id == said.id;
    has_id && said.message == seen.message && said.username == seen.username
}
