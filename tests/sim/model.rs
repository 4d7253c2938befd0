//! What must hold, whatever happens.

use hallway::limits::{
    CLOSE_MS_MAX, DRAIN_MS_MAX, EVENT_FRAMES_MAX, PENDING_MS_MIN, PROGRESS_MS_MAX,
    REQUEST_BYTES_MAX, REQUEST_MS_MAX,
};
use hallway::peer::PeerId;

use super::client::{Client, Temper};
use super::connection::{Connection, Resumed, Seen, Wait};
use super::world::{ADDRESSES, ROOMS, World};
use testkit::Driver;

/// Bytes of heap that a connection costs beside what is queued for it and what it has sent.
const CONNECTION_BYTES: usize = 1024;

/// Bytes of heap that a room costs beside what it remembers.
const ROOM_BYTES: usize = 1024;

/// Bytes of heap that a message in a history costs beside its text: its entry in a ring that may
/// be half empty, and an envelope for each version.
const MESSAGE_BYTES: usize = 512;

/// The same for each byte of its text: once plain, and escaped for each version.
const MESSAGE_BYTES_PER_BYTE: usize = 1 + 2 * 6;

/// Bytes of heap that the server's own lists and buffers keep from times as lively as these.
const KEPT_BYTES: usize = 48 * 1024;

/// Records in one block of a replay.
const BLOCK_RECORDS: usize = 64;

impl World {
    /// After every action: the parts agree, what is counted is what has gone in and out, and
    /// memory is within what the limits promise.
    pub(crate) fn check_step(&self) {
        let Driver { server, bytes_in, bytes_out, held, .. } = &self.driver;
        server.check();
        let counters = server.counters();
        assert_eq!(counters.received_bytes, *bytes_in, "bytes in are counted");
        assert_eq!(counters.sent_bytes, *bytes_out, "bytes out are counted");
        let most = self.held_most() + ROOMS * 2 * self.channel_bytes();
        assert!(*held <= most, "{held} bytes are held, the limits allow {most}");
    }

    /// After every iteration: deadlines advance, and everybody has seen its piece of the one
    /// order; who reads all of it has seen it to the end.
    pub(crate) fn check_iteration(&mut self) {
        let is_over = self.driver.server.is_drained(self.driver.now);
        let next = self.driver.server.poll_timeout();
        assert!(is_over || next.is_none_or(|at| at > self.driver.now.mono_ms), "deadlines advance");
        self.note_changes();
        Self::rooms().for_each(|room| self.check_senders(room));
        for who in 0..self.clients.len() {
            self.check_order(who);
            self.check_told(who);
            self.check_input(who);
            self.check_left(who);
            let client = &self.clients[who];
            if client.reads_all() && client.is_member() {
                self.check_knows_all(client);
                self.check_count(who);
            }
        }
        Self::rooms().for_each(|room| self.check_members(room));
        Self::rooms().for_each(|room| self.check_records(room));
        self.check_frames();
        self.check_idle();
    }

    /// While passes are under way: what is said to a room waits at its gate, so nobody who keeps
    /// up is told more at once than half a queue, and what one event adds to that.
    pub(crate) fn check_written(&self, who: usize, frames: usize) {
        let client = &self.clients[who];
        let most = self.limits.queue_frames_max / 2 + EVENT_FRAMES_MAX;
        let most = most as usize + self.thresholds.unicasts;
        let is_blocked = client.connection.was_blocked;
        assert!(is_blocked || frames <= most, "{} is told {frames} frames at once", client.name);
    }

    /// Whoever waits at a gate gets its chance before others get another one. Those who have
    /// left are told of first.
    pub(crate) fn check_wait(&self, who: usize) {
        let Client { name, connection, room, .. } = &self.clients[who];
        if let Some(Wait { in_vain, others }) = connection.wait {
            // A room has a gate for each version.
            let most = 2 * (others + 2) + self.ledger.changes[*room];
            assert!(in_vain <= most, "{name} was woken in vain {in_vain} times, for {others}");
        }
    }

    /// Whoever has left with messages unread, and does not read them, is dropped when its room has
    /// said a queue since.
    fn check_left(&self, who: usize) {
        let Client { name, room, connection, .. } = &self.clients[who];
        let socket = connection.peer.and_then(|peer| self.driver.socket(peer));
        if let Some((left_at, (start, _))) = connection.left_at.zip(connection.order)
            && socket.is_some_and(|socket| socket.is_blocked)
            && start + connection.written.texts < left_at
        {
            let since = self.ledger.said[*room] - left_at;
            let most = self.limits.queue_frames_max as usize;
            assert!(since <= most, "{since} messages are kept for {name}, who has left");
        }
    }

    /// Who is evicted is of the address that has the most who are no members; where that is the
    /// newcomer's own, it has had its time.
    pub(crate) fn check_evicted(&self, evicted: PeerId, newcomer: usize) {
        let gone = self.find(evicted);
        let Client { name, connection, .. } = &self.clients[gone];
        let of = |address| {
            let here = self.clients.iter().map(|client| &client.connection).enumerate();
            here.filter(move |&(who, connection)| {
                connection.peer.is_some() && self.address(who) == address
            })
        };
        let most = of(self.address(gone)).count();
        for address in 0..ADDRESSES {
            let pending = of(Some(address)).filter(|(_, other)| other.order.is_none()).count();
            assert!(pending <= most, "{name} is one of {most}, another address has {pending}");
        }
        let age_ms = self.driver.now.mono_ms - connection.since_ms;
        let is_own = self.address(gone) == self.address(newcomer);
        assert!(!is_own || age_ms >= PENDING_MS_MIN, "{name} was there for {age_ms} ms");
    }

    /// Between two iterations no input waits but of those who do not read their own answers, and
    /// of those who have sent too fast, until they have a token.
    fn check_input(&self, who: usize) {
        let connection = &self.clients[who].connection;
        let Some(peer) = connection.peer else { return };
        let Some(socket) = self.driver.socket(peer) else { return };
        let must_wait = self.driver.server.peers().outbound.must_write_first(peer);
        let is_taken = socket.unread.is_empty() || (must_wait && socket.is_blocked);
        let is_taken = is_taken || (connection.order.is_some() && self.is_paused(who));
        assert!(is_taken, "{} has {} bytes unread", self.clients[who].name, socket.unread.len());
    }

    /// When time has passed: nobody is kept for longer than the deadline that is its.
    pub(crate) fn check_deadlines(&self) {
        let silence_ms = self.limits.silence_ms_max() + self.limits.ping_ms / 32;
        let close_ms = if self.is_draining { DRAIN_MS_MAX } else { CLOSE_MS_MAX };
        let here = |(_, client): &(usize, &Client)| client.connection.peer.is_some();
        for (who, client) in self.clients.iter().enumerate().filter(here) {
            let Connection { order, since_ms, closed_ms, vanished_ms, .. } = client.connection;
            let Connection { peer, stalled_ms, eof_ms, .. } = client.connection;
            let socket = peer.and_then(|peer| self.driver.socket(peer)).expect("a socket");
            let since =
                |at: Option<u64>| self.driver.now.mono_ms - at.unwrap_or(self.driver.now.mono_ms);
            let unanswered = since(order.is_none().then_some(since_ms));
            // A request has its time, and so has the refusal that it ends with.
            assert!(unanswered <= 2 * REQUEST_MS_MAX, "{} waits {unanswered} ms", client.name);
            let closing = since(closed_ms);
            assert!(closing <= close_ms, "{} closes for {closing} ms", client.name);
            // What it had sent before may have had to wait.
            let is_waiting = !socket.unread.is_empty() && self.is_paused(who);
            let silent = since(vanished_ms.filter(|_| !is_waiting).max(Some(socket.heard_ms)));
            let is_vanished = vanished_ms.is_some() && !is_waiting;
            assert!(
                !is_vanished || silent <= silence_ms,
                "{} vanished {silent} ms ago",
                client.name
            );
            // Whole seconds of it are counted, and who is told a Close in the last of them has its
            // time to read that.
            let stalled = since(stalled_ms.filter(|_| socket.is_blocked));
            let most = PROGRESS_MS_MAX + 1_000 + close_ms;
            assert!(stalled <= most, "{} takes nothing for {stalled} ms", client.name);
            let hung_up = since(eof_ms.filter(|_| order.is_some()));
            // What it has sent is read for two seconds, and may be answered with a Close.
            let most = CLOSE_MS_MAX + close_ms;
            assert!(hung_up <= most, "{} hung up {hung_up} ms ago", client.name);
        }
    }

    /// Nobody who behaves is dropped without being told why.
    pub(crate) fn check_reason(&self, who: usize) {
        let client = &self.clients[who];
        let Connection { is_broken, is_overdue, .. } = client.connection;
        let is_told = !client.is_member() || !client.reads_all() || is_broken || is_overdue;
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
            assert_eq!(code, Some(1001), "{} is told", client.name);
            self.check_knows_all(client);
        }
    }

    /// When everybody has gone: only the history's memory is left.
    pub(crate) fn check_empty(&self) {
        let server = &self.driver.server;
        server.check();
        assert!(server.peers().is_empty());
        let rooms = server.rooms();
        assert!(rooms == 0 || self.limits.history_frames_max > 0, "an empty room is forgotten");
        let most = self.held_when_new + self.histories_bytes() + KEPT_BYTES;
        let held = self.driver.held;
        assert!(held <= most, "{held} bytes are left, {most} may be");
    }

    /// A room whose members have read all that it has said owns no memory for that.
    fn check_idle(&self) {
        let is_idle = |room| {
            let now_ms = self.driver.now.mono_ms;
            now_ms - self.ledger.changed_ms[room] >= self.thresholds.news_ms
        };
        let is_read = !self.driver.sockets().any(|socket| socket.is_blocked);
        if is_read && Self::rooms().all(is_idle) {
            let (held, most) = (self.driver.held, self.held_most());
            assert!(held <= most, "{held} bytes are held when all is read, {most} may be");
        }
    }

    /// Bytes of heap that the limits allow by those who are there, but for what their rooms say.
    fn held_most(&self) -> usize {
        let here = self.clients.iter().filter(|client| client.connection.peer.is_some());
        let connections: usize = here.map(|client| self.connection_bytes(client)).sum();
        self.held_when_new + KEPT_BYTES + self.histories_bytes() + connections
    }

    /// Bytes of heap of what a room is told in one version.
    fn channel_bytes(&self) -> usize {
        let frame = self.limits.frame_bytes_max() as usize;
        let in_frames = (self.limits.queue_frames_max + EVENT_FRAMES_MAX) as usize * frame;
        let queue = in_frames.min(self.limits.queue_bytes_max as usize);
        // A reader may lag by a queue when a pass ends, and by half a one and an event more when
        // the next one does; the log is trimmed when half of it can go, and grows by doubling.
        let log = 4 * (queue + queue / 2 + self.limits.event_bytes_max() as usize);
        let replay = 4 * self.thresholds.replay_bytes;
        log + replay.max(BLOCK_RECORDS.min(self.limits.history_frames_max as usize) * frame)
    }

    fn connection_bytes(&self, client: &Client) -> usize {
        let is_open = client.connection.order.is_some();
        let message = 2 * self.limits.message_bytes_max as usize;
        let inbound = if is_open { message } else { REQUEST_BYTES_MAX };
        // Who reads all keeps nothing between iterations; who does not may have answers of its own.
        let own = self.limits.frame_bytes_max() as usize * (1 + self.thresholds.unicasts);
        CONNECTION_BYTES + inbound + if client.takes_all() { 0 } else { own }
    }

    fn histories_bytes(&self) -> usize {
        Self::rooms().map(|room| ROOM_BYTES + self.history_bytes(room)).sum()
    }

    /// Bytes of heap of what a room remembers.
    fn history_bytes(&self, room: usize) -> usize {
        let bytes = |said: &Seen| {
            MESSAGE_BYTES + MESSAGE_BYTES_PER_BYTE * (said.username.len() + said.message.len())
        };
        let order = self.order(room);
        // A reader that replays keeps what it needs, as long as it does not lag by a queue.
        let kept = self.limits.history_frames_max + 2 * self.limits.queue_frames_max;
        let kept = if self.limits.history_frames_max > 0 { kept as usize } else { 0 };
        order[order.len().saturating_sub(kept)..].iter().map(bytes).sum()
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
            assert_eq!(self.order(room)[at].id, Some(at as u64 + 1), "ids count from 1 on");
            self.heard[sender] = number;
        }
        self.told[room] = heard;
        assert_eq!(heard, self.ledger.said[room], "all that was accepted is told");
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
        let is_complete = match client.connection.resumed {
            Resumed::No => true,
            Resumed::At(_) => client.connection.since() == Some(start),
            Resumed::AtNothing => false,
        };
        assert_eq!(welcome["complete"], is_complete, "{}: {welcome}", client.name);
        let last = (joined_at > 0).then(|| joined_at.to_string());
        assert_eq!(welcome["lastId"].as_str(), last.as_deref(), "{}: {welcome}", client.name);
    }

    /// Who is sent away is sent away for what it has done.
    fn check_told(&mut self, who: usize) {
        let (now_ms, client) = (self.driver.now.mono_ms, &mut self.clients[who]);
        let Some(code) = client.connection.close_code else { return };
        client.connection.closed_ms.get_or_insert(now_ms);
        let is_deserved = match code {
            1000 => client.connection.is_leaving,
            1001 => self.is_draining,
            1013 => client.connection.was_blocked,
            _ => false,
        };
        // Only a socket that took no more makes a reader slow, whatever else it does.
        let is_malicious = client.temper == Temper::Malicious && code != 1013;
        assert!(is_deserved || is_malicious, "{} was sent away with {code}", client.name);
    }

    /// A member has the replay that it is due and all that came after it.
    fn check_knows_all(&self, client: &Client) {
        let (start, _) = client.connection.order.expect("a member has joined");
        let due = self.order(client.room).len() - start;
        assert_eq!(client.connection.seen.len(), due, "{} knows all", client.name);
    }

    /// What a member has said was heard once, however fast it was.
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
        if client.is_v2 {
            assert_eq!(connection.echoes, heard, "{} knows what has arrived", client.name);
        }
        assert_eq!((heard, connection.errors), (said, 0), "{} was heard", client.name);
    }

    /// A member knows how many there are; of a crowd it may hear a little later.
    fn check_count(&mut self, who: usize) {
        let client = &self.clients[who];
        let members = self.driver.server.members(&format!("r{}", client.room)) as u64;
        let count = client.connection.count;
        let since_ms = |at: [u64; ROOMS]| self.driver.now.mono_ms - at[client.room];
        let may_be_held = [self.ledger.changed_ms, self.ledger.crowd_ms]
            .into_iter()
            .all(|at| since_ms(at) < self.thresholds.news_ms);
        let is_known = count == Some(members);
        assert!(is_known || may_be_held, "{} knows {count:?} of {members}", client.name);
        let next = self.driver.server.poll_timeout();
        let is_woken =
            next.is_some_and(|at| at <= self.driver.now.mono_ms + self.thresholds.news_ms);
        assert!(is_known || is_woken, "the loop sleeps on while news are held");
        self.ledger.reached.held += u64::from(!is_known);
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
        let members = self.driver.server.members(&format!("r{room}"));
        assert!((least..=most).contains(&members), "{members} of {least} to {most} are there");
    }

    /// Nobody's replay keeps many more records than the history has: a queue until it leaves, and
    /// another after that, and what is said until the next pass is over.
    fn check_records(&self, room: usize) {
        let records = self.driver.server.application().rooms.records(&format!("r{room}"));
        let beyond = 3 * self.limits.queue_frames_max + 2 * EVENT_FRAMES_MAX;
        let most = (self.limits.history_frames_max + beyond) as usize;
        assert!(records <= most, "{records} records are kept, {most} may be");
    }
}

/// Whether the observer and another have seen the same.
fn same(said: &Seen, seen: &Seen) -> bool {
    let has_id = seen.id.is_none() || seen.id == said.id;
    has_id && said.message == seen.message && said.username == seen.username
}
