//! What must add up: how many frames members were to be told, and what became of them.

use hallway::limits::EVENT_FRAMES_MAX;

use super::connection::Connection;
use super::tokens::{Rate, Taken, Tokens};
use super::world::{ADDRESSES, ROOMS, World};

/// What the server has counted, before something happens.
pub(crate) struct Snapshot {
    pub(crate) joined: u64,
    pub(crate) exited: u64,
    pub(crate) messages: u64,
    pub(crate) rejected: u64,
    /// Messages, Pings and Pongs that were taken.
    pub(crate) taken: Taken,
    /// By room.
    pub(crate) members: [usize; ROOMS],
}

/// What has happened in a run that is worth to be reached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    /// Handshakes and messages that had to wait at a gate.
    pub(crate) parked_joins: u64,
    pub(crate) parked_texts: u64,
    /// Input that had to wait until its sender's own answers were written.
    pub(crate) deferred: u64,
    /// Input that had to wait for tokens of its sender, or of its sender's address.
    pub(crate) paused: u64,
    pub(crate) paused_by_address: u64,
    /// Handshakes that were refused because their address joins too often.
    pub(crate) refused_joins: u64,
    /// Members of a crowd who were not told at once how many they are.
    pub(crate) held: u64,
    /// Writes that ended in the middle of a replay, though the socket took everything.
    pub(crate) replays_in_pieces: u64,
    /// Readers that got their Close after the rest of a frame which was half written.
    pub(crate) closed_in_a_frame: u64,
    /// Members that left while a socket that took nothing kept them from reading their log.
    pub(crate) left_behind: u64,
}

#[derive(Default)]
pub(crate) struct Ledger {
    /// Chat messages said in each room.
    pub(crate) said: [usize; ROOMS],
    /// Frames that count which members were to be told: at least and at most. How often the
    /// number of members is told depends on the passes, which the model does not know.
    expected: (u64, u64),
    /// Frames written to connections that are forgotten, and how many of their streams end in the
    /// middle of a frame.
    forgotten: (u64, u64),
    /// When it was last told that somebody has joined or left each room, and when it had a crowd.
    pub(crate) changed_ms: [u64; ROOMS],
    pub(crate) crowd_ms: [u64; ROOMS],
    /// How many have joined or left each room since the last iteration was over.
    pub(crate) changes: [usize; ROOMS],
    /// What each address may still send.
    addresses: [Tokens; ADDRESSES],
    pub(crate) reached: Reached,
}

impl Ledger {
    /// A client begins a new connection.
    pub(crate) fn forget(&mut self, connection: &Connection) {
        self.forgotten.0 += connection.counted();
        self.forgotten.1 += u64::from(connection.written.is_cut());
        self.reached.refused_joins += u64::from(connection.is_too_soon);
    }
}

impl World {
    /// Notes what came of something that has happened to a client, or to many.
    pub(crate) fn note(&mut self, who: Option<usize>, before: &Snapshot) {
        let after = self.snapshot();
        let (messages, rejected) =
            (after.messages - before.messages, after.rejected - before.rejected);
        let joined = after.joined - before.joined;
        if let Some(who) = who {
            self.note_taken(who, joined > 0, &before.taken, &after.taken);
        }
        let ledger = &mut self.ledger;
        ledger.expected.0 += rejected;
        ledger.expected.1 += rejected;
        if messages + joined > 0 {
            let who = who.expect("whoever speaks or joins has sent something");
            let room = self.clients[who].room;
            if joined > 0 {
                self.note_joined(who);
            }
            let ledger = &mut self.ledger;
            // A newcomer cannot have said anything yet.
            assert!(messages == 0 || joined == 0, "one at a time");
            ledger.said[room] += usize::try_from(messages).expect("few");
            ledger.expected.0 += messages * before.members[room] as u64;
            ledger.expected.1 += messages * before.members[room] as u64;
        }
        for room in Self::rooms() {
            let is_here = who.is_some_and(|who| self.clients[who].room == room);
            let most = before.members[room] as u64 + if is_here { joined } else { 0 };
            let exited = most - after.members[room] as u64;
            let changes = exited + if is_here { joined } else { 0 };
            // Each change is told, and the number of members after it.
            let ledger = &mut self.ledger;
            ledger.expected.1 += 2 * changes * most;
            ledger.changes[room] += usize::try_from(changes).expect("few");
            let now_ms = self.driver.now.mono_ms;
            if usize::try_from(most).is_ok_and(|most| most >= self.thresholds.crowd) {
                ledger.crowd_ms[room] = now_ms;
            }
        }
    }

    /// Notes what a client has used up of what it and its address may send.
    fn note_taken(&mut self, who: usize, has_joined: bool, before: &Taken, after: &Taken) {
        let taken = Taken {
            messages: after.messages - before.messages,
            pings: after.pings - before.pings,
            pongs: after.pongs - before.pongs,
        };
        let now_ms = self.driver.now.mono_ms;
        let Some(own) = self.rate() else { return };
        let address = self.address(who);
        let rate = Rate::of_peers(&self.limits, self.limits.address_peers);
        let Self { ledger, clients, .. } = self;
        let mut address = address.map(|number| &mut ledger.addresses[number]).zip(rate);
        let pace = &mut clients[who].connection.pace;
        if has_joined {
            pace.join(now_ms, address.as_mut().map(|(tokens, rate)| (&mut **tokens, *rate)));
        }
        pace.take(&taken, now_ms, own, address);
    }

    /// How fast each may send, if that is limited.
    pub(crate) fn rate(&self) -> Option<Rate> {
        Rate::of_peers(&self.limits, 1)
    }

    /// Whether the next message of a client must wait for a token, for all that the model knows.
    pub(crate) fn is_paused(&self, who: usize) -> bool {
        let pace = &self.clients[who].connection.pace;
        self.rate().is_some_and(|rate| pace.ready_ms(rate) > self.driver.now.mono_ms)
    }

    /// Notes where in the room's order the replay of a newcomer must begin: with the oldest
    /// message that is kept, or where it has asked to go on, if that is kept.
    fn note_joined(&mut self, who: usize) {
        let joined_at = self.ledger.said[self.clients[who].room];
        let oldest = joined_at.saturating_sub(self.limits.history_frames_max as usize);
        let now_ms = self.driver.now.mono_ms;
        let connection = &mut self.clients[who].connection;
        let start = connection.since().unwrap_or(0).clamp(oldest, joined_at);
        connection.order = Some((start, joined_at));
        // Whoever has hung up while its request waited has its time from now on.
        connection.eof_ms = connection.eof_ms.map(|_| now_ms);
    }

    /// An iteration is over, in which it was told who came and left, or held.
    pub(crate) fn note_changes(&mut self) {
        for room in Self::rooms() {
            if std::mem::take(&mut self.ledger.changes[room]) > 0 {
                self.ledger.changed_ms[room] = self.driver.now.mono_ms;
            }
        }
    }

    /// Every frame that members were to be told is written, dropped, or waits.
    pub(crate) fn check_frames(&self) {
        let (mut counted, mut cut) = self.ledger.forgotten;
        for client in &self.clients {
            counted += client.connection.counted();
            cut += u64::from(client.connection.written.is_cut());
        }
        let outbound = &self.driver.server.peers().outbound;
        let (frames, depth) = (outbound.frames(), outbound.depth());
        let is_counted = (counted..=counted + cut).contains(&frames.sent);
        assert!(is_counted, "{} frames are sent, {counted} are whole, {cut} are cut", frames.sent);
        let waiting = depth.sum.frames;
        let told = frames.sent + frames.too_slow + frames.gone + waiting;
        let (least, most) = self.ledger.expected;
        assert!(
            (least..=most).contains(&told),
            "{told} of {least} to {most}: {frames:?}, {waiting}"
        );
        // A queue when the last pass was over, and what is said until somebody leaves or the next
        // one is over.
        let queue = u64::from(self.limits.queue_frames_max);
        let lag_max = queue + queue / 2 + u64::from(EVENT_FRAMES_MAX);
        assert!(depth.max.frames <= lag_max, "somebody lags by {} frames", depth.max.frames);
    }
}
