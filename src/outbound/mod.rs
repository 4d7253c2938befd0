//! What is to be written to whom: a channel is a log, a reader is a cursor in it.
//!
//! What everybody who speaks one encoding in one room is sent is appended once, to the log of a
//! *channel*. A *reader* is the send side of one connection: its cursor in that log, and an
//! [`Extra`](reader::Extra) while it has something of its own. Writing to a reader is one `writev`
//! from its cursor to the end of the log. So a delivery pushes and pops nothing, a thousand
//! stalled readers hold one log among them, and an idle reader costs its cursor.
//!
//! The alternative that was not taken is a queue for each reader, of references to what was said:
//! it costs an entry, a reference count and an allocation a delivery, and the state of who has been
//! served must be kept beside it.
//!
//! Use, in each iteration of the loop: change it ([`Outbound::append`] and the others) while input
//! is read; then call [`Outbound::poll`] until it says `None` or a budget is used up, and do what
//! it says. `pass.rs` has the order in which readers are served, and why nobody starves.
//!
//! - Getters: [`Outbound::readers`], [`Outbound::gate_of`], [`Outbound::is_busy`],
//!   [`Outbound::must_write_first`], [`Outbound::is_finished`], [`Outbound::replayed_from`],
//!   [`Outbound::depth`], [`Outbound::frames`].
//! - What has happened to a socket: [`Outbound::handle_sent`], [`Outbound::handle_blocked`],
//!   [`Outbound::handle_writable`].
//! - Changes of one reader: [`Outbound::open`], [`Outbound::attach`], [`Outbound::begin`],
//!   [`Outbound::tell`], [`Outbound::ping`], [`Outbound::pong`], [`Outbound::finish`],
//!   [`Outbound::dismiss`], [`Outbound::close`].
//! - Changes of a channel: [`Outbound::open_channel`], [`Outbound::append`],
//!   [`Outbound::owe`], [`Outbound::park`], [`Outbound::render`], [`Outbound::forget_block`].
//! - What is to be done next: [`Outbound::poll`], [`Outbound::poll_timeout`],
//!   [`Outbound::transmit`].

mod channel;
mod log;
mod pass;
mod reader;
mod replay;
mod slots;

use std::collections::{BTreeSet, VecDeque};
use std::io::IoSlice;
use std::ops::RangeInclusive;

use crate::limits::Limits;
use crate::peer::{PeerId, PeerMap, growth};
use channel::{Channel, State};
use reader::{Extra, Plan, Reader, Unicast};
use replay::Replay;
use slots::Slots;

pub use channel::Kind;
pub use log::Counted;
pub use pass::{Next, Owner};
pub use reader::Bytes;
pub use replay::Block;
pub use slots::Key as ChannelKey;

/// The index of a reader that stands in no list.
const NOWHERE: u32 = u32::MAX;

/// The thresholds at which it does something else. A test makes them small, so that it crosses
/// them often; nobody else changes them.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Readers from which on a channel is a crowd's, in which news may be held. A pass of one
    /// less takes a fraction of a millisecond.
    pub crowd: usize,
    /// How long a crowd's news wait after its last pass, in milliseconds. A thousand who come
    /// back at once would otherwise each be told to all before them.
    pub news_ms: u64,
    /// Readers looked at before another channel or a single reader is served.
    pub quantum_readers: usize,
    /// The same in bytes written.
    pub quantum_bytes: usize,
    /// Frames for one reader alone that may wait. With as many it is not read.
    pub unicasts: usize,
    /// Bytes of a replay that are rendered ahead of one write.
    pub replay_bytes: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            crowd: 64,
            news_ms: 100,
            quantum_readers: 32,
            quantum_bytes: 128 * 1024,
            unicasts: 8,
            replay_bytes: 64 * 1024,
        }
    }
}

/// What has become of the frames that count: those of channels that are not optional, and those
/// for one reader alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Written to a socket.
    pub sent: u64,
    /// Dropped: the reader was dismissed.
    pub too_slow: u64,
    /// Dropped: the connection ended before.
    pub gone: u64,
}

/// How far readers lag: what counts of what waits for them, for the slowest and for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// For the slowest.
    pub max: Counted,
    /// For all; bytes that they share are counted for each.
    pub sum: Counted,
}

/// The send side of all connections.
///
/// Invariant: who has something to write and a socket that takes it is in the list of singles, or
/// its channel is listed or held.
#[derive(Debug)]
pub struct Outbound {
    /// How far a reader may lag.
    queue: Counted,
    thresholds: Thresholds,
    channels: Slots<Channel>,
    readers: PeerMap<Reader>,
    /// The channel of connections that have joined none. Nothing is ever appended to it.
    lone: ChannelKey,
    /// Channels with something to offer, each in one of these once: those that were just listed,
    /// the others, and by their time those that are held.
    fresh: VecDeque<ChannelKey>,
    listed: VecDeque<ChannelKey>,
    held: BTreeSet<(u64, ChannelKey)>,
    /// The channel whose owner has been asked for what it owes, and whose pass then begins.
    beginning: Option<ChannelKey>,
    /// Readers with something of their own to write.
    singles: VecDeque<PeerId>,
    was_single: bool,
    /// Readers looked at and bytes written since the present channel's quantum began.
    looked_at: usize,
    written: usize,
    /// What [`Outbound::poll`] still has to say of readers.
    told: VecDeque<Next>,
    frames: Frames,
}

impl Outbound {
    /// The send side of no connection.
    pub fn new(limits: &Limits, thresholds: Thresholds) -> Self {
        let mut channels = Slots::new();
        let lone = channels.insert(Channel::new(0));
        Self {
            queue: Counted {
                frames: limits.queue_frames_max.into(),
                bytes: limits.queue_bytes_max.into(),
            },
            thresholds,
            channels,
            readers: PeerMap::default(),
            lone,
            fresh: VecDeque::new(),
            listed: VecDeque::new(),
            held: BTreeSet::new(),
            beginning: None,
            singles: VecDeque::new(),
            was_single: false,
            looked_at: 0,
            written: 0,
            told: VecDeque::new(),
            frames: Frames::default(),
        }
    }

    // --- getters

    /// The readers of a channel, in no order that could be seen.
    pub fn readers(&self, key: ChannelKey) -> &[PeerId] {
        self.channels.get(key).map_or(&[], |channel| &channel.readers)
    }

    /// Whether a channel still exists.
    pub fn is_open(&self, key: ChannelKey) -> bool {
        self.channels.get(key).is_some()
    }

    /// Whether nothing more may be said in a channel until its pass is over: half a queue has been
    /// said since the last one began, so a reader that is blocked for one pass is not beyond its
    /// queue at once.
    pub fn is_gated(&self, key: ChannelKey) -> bool {
        self.channels.get(key).is_some_and(|channel| channel.grown().reaches(self.queue, 2))
    }

    /// Whether so much has been said in a channel that nobody would miss what is optional.
    pub fn is_busy(&self, key: ChannelKey) -> bool {
        self.channels.get(key).is_some_and(|channel| channel.grown().reaches(self.queue, 4))
    }

    /// Whether a reader's own answers must be written before it is read any further.
    pub fn must_write_first(&self, id: PeerId) -> bool {
        self.readers.get(id).is_some_and(|reader| reader.must_write_first(self.thresholds.unicasts))
    }

    /// Whether everything has been written to a reader that ever will be.
    pub fn is_finished(&self, id: PeerId) -> bool {
        self.readers.get(id).is_none_or(Reader::is_finished)
    }

    /// The first record that a reader of a channel may still have to replay; `None` for none.
    pub fn replayed_from(&self, key: ChannelKey) -> Option<u64> {
        self.channels.get(key)?.replayed_from
    }

    /// What has become of the frames that count.
    pub fn frames(&self) -> Frames {
        self.frames
    }

    /// How far readers lag. Work: a look at each that does.
    pub fn depth(&self) -> Depth {
        let mut depth = Depth::default();
        for (_, channel) in self.channels.iter() {
            for reader in channel.behind.iter().filter_map(|&id| self.readers.get(id)) {
                let Counted { frames, bytes } = reader.lag(channel);
                depth.max.frames = depth.max.frames.max(frames);
                depth.max.bytes = depth.max.bytes.max(bytes);
                depth.sum.frames += frames;
                depth.sum.bytes += bytes;
            }
        }
        depth
    }

    // --- changes of one reader

    /// A new connection, that reads no channel.
    pub fn open(&mut self, id: PeerId) {
        self.readers.insert(id, Reader::new(self.lone));
    }

    /// A connection is gone, with whatever was still to be written to it.
    pub fn close(&mut self, id: PeerId) {
        if let Some((reader, channel)) = self.reader(id) {
            let lag = reader.lag(channel).frames;
            self.frames.gone += lag;
        }
        let key = self.detach(id);
        self.note_caught_up(id);
        self.readers.remove(id);
        key.into_iter().for_each(|key| self.close_unused(key));
    }

    /// Makes a connection a reader of a channel, from here on, after the records of the past in
    /// `replay`, by their ids. The caller appends something to the channel, or owes it something.
    pub fn attach(&mut self, id: PeerId, key: ChannelKey, replay: RangeInclusive<u64>) {
        self.note_caught_up(id);
        let Some(channel) = self.channels.get_mut(key) else { return };
        let Some(reader) = self.readers.get_mut(id) else { return };
        reader.channel = key;
        reader.cursor = channel.log.end();
        reader.index = narrow(channel.readers.len());
        if channel.readers.len() == channel.readers.capacity() {
            channel.readers.reserve_exact(growth(channel.readers.len()));
        }
        channel.readers.push(id);
        if !replay.is_empty() {
            let (next, last) = replay.into_inner();
            channel.replayed_from =
                Some(channel.replayed_from.map_or(next, |before| before.min(next)));
            let extra = reader.extra.get_or_insert_default();
            extra.replay = Some(Replay { next, offset: 0, last });
        }
        if reader.is_blocked || reader.needs_channel(channel) {
            self.note_behind(id);
        }
        self.list(id);
    }

    /// Says what comes before all else: an HTTP answer, or the answer to a handshake. Only where
    /// nothing has been said yet.
    pub fn begin(&mut self, id: PeerId, bytes: Bytes) {
        if let Some(reader) = self.readers.get_mut(id) {
            reader.extra.get_or_insert_default().begun = Some((bytes, 0));
            self.list(id);
        }
    }

    /// Says a frame to one reader alone, after all that its channel has said so far, but in place
    /// of the last `replaced` bytes of that.
    pub fn tell(&mut self, id: PeerId, frame: Bytes, replaced: usize) {
        let queue = self.queue;
        let Some((reader, channel)) = self.reader(id) else { return };
        let skip_to = channel.log.end();
        let extra = reader.extra.get_or_insert_default();
        if extra.until.is_some() {
            return;
        }
        extra.unicasts.push_back(Unicast { at: skip_to - replaced as u64, frame, skip_to });
        if reader.is_blocked && reader.lag(channel).exceeds(queue) {
            self.told.push_back(Next::TooSlow(id));
        }
        self.list(id);
    }

    /// Sets the Ping to send.
    pub fn ping(&mut self, id: PeerId, frame: Bytes) {
        self.control(id, |extra| extra.ping = Some(frame));
    }

    /// Sets the Pong to send, in place of one not sent yet.
    pub fn pong(&mut self, id: PeerId, frame: Bytes) {
        self.control(id, |extra| extra.pong = Some(frame));
    }

    fn control(&mut self, id: PeerId, set: impl FnOnce(&mut Extra)) {
        if let Some(reader) = self.readers.get_mut(id) {
            let extra = reader.extra.get_or_insert_default();
            if extra.until.is_none() {
                set(extra);
                self.list(id);
            }
        }
    }

    /// Takes a reader out of its channel. It still gets what was said before, and `close`; nothing
    /// after that.
    pub fn finish(&mut self, id: PeerId, close: Option<Bytes>) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let end = channel.log.end();
        let extra = reader.extra.get_or_insert_default();
        if extra.until.is_some() {
            return;
        }
        (extra.until, extra.close) = (Some(end), close);
        self.settle_exit(id);
    }

    /// Gives a reader up: the frame that is half written is completed, and `close` is the last.
    pub fn dismiss(&mut self, id: PeerId, close: Bytes) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let lag = reader.lag(channel).frames;
        let mut extra = reader.extra.take().unwrap_or_default();
        extra.unicasts.clear();
        (extra.ping, extra.pong) = (None, None);
        // A record that is half replayed is rendered again when its rest can be written.
        extra.replay = extra.replay.filter(|replay| replay.offset > 0);
        if let Some(replay) = &mut extra.replay {
            replay.last = replay.next;
        }
        let mut completed = 0;
        if reader.cursor < reader.target(channel) && extra.begun.is_none() {
            let boundary = channel.log.boundary(reader.cursor);
            completed = channel.log.counted_between(reader.cursor, boundary).frames;
            let rest = channel.log.slice(reader.cursor, boundary);
            extra.begun = (!rest.is_empty()).then(|| (rest.into(), 0));
        }
        reader.cursor = channel.log.end();
        (extra.until, extra.close) = (Some(reader.cursor), Some(close));
        reader.extra = Some(extra);
        self.frames.sent += completed;
        self.frames.too_slow += lag - completed;
        self.settle_exit(id);
    }

    /// Asks to be told, by [`Next::Woken`], when a reader's own answers have been written.
    pub fn defer(&mut self, id: PeerId) {
        if let Some(reader) = self.readers.get_mut(id) {
            reader.extra.get_or_insert_default().is_deferred = true;
        }
    }

    // --- changes of a channel

    /// A channel without readers. What `owner` says of itself comes back in [`Next`]. The channel
    /// is gone, and its key finds nothing, once nobody reads it any more.
    pub fn open_channel(&mut self, owner: u32) -> ChannelKey {
        self.channels.insert(Channel::new(owner))
    }

    /// Says a frame to all readers of a channel; nothing is kept where there are none.
    pub fn append(&mut self, key: ChannelKey, frame: &[u8], kind: Kind) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.readers.is_empty() {
            return;
        }
        channel.log.append(frame, kind == Kind::Optional);
        let is_pressing = kind == Kind::Text || channel.grown().reaches(self.queue, 4);
        self.offer(key, is_pressing);
    }

    /// Asks for a pass of a channel, though nothing has been appended yet: its owner does that
    /// when it begins ([`Next::PassBegins`]).
    pub fn owe(&mut self, key: ChannelKey) {
        self.offer(key, false);
    }

    /// Lets a peer's input wait at the gate of a channel; [`Next::Woken`] tells when its pass is
    /// over. Where some of its input `was_taken` just now, it waits behind those who had none taken:
    /// else one who says much would pass the gate before all others, again and again.
    pub fn park(&mut self, id: PeerId, key: ChannelKey, was_taken: bool) {
        match self.channels.get_mut(key) {
            Some(channel) if was_taken => channel.parked_again.push(id),
            Some(channel) => channel.parked.push(id),
            None => self.told.push_back(Next::Woken(id)),
        }
    }

    /// Adds a block of the past to a channel, as [`Next::Render`] has asked for.
    pub fn render(&mut self, key: ChannelKey, block: Block) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.blocks.insert(block, 4 * self.thresholds.replay_bytes);
        }
    }

    /// The record of this id is new or has changed.
    pub fn forget_block(&mut self, key: ChannelKey, id: u64) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.blocks.forget(id);
        }
    }

    // --- what has happened to a socket

    /// The bytes to write next to a reader, as many slices of them as fit; how many there are.
    /// The same until something is changed.
    pub fn transmit<'o>(&'o self, id: PeerId, slices: &mut [IoSlice<'o>]) -> usize {
        let Some(reader) = self.readers.get(id) else { return 0 };
        let Some(channel) = self.channels.get(reader.channel) else { return 0 };
        if reader.extra.is_none() && !slices.is_empty() {
            // As nearly all are.
            let end = channel.log.end();
            slices[0] = IoSlice::new(channel.log.slice(reader.cursor, end));
            return usize::from(reader.cursor < end);
        }
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(Plan::new(reader, channel)) {
            *slice = IoSlice::new(piece.bytes);
            count += 1;
        }
        count
    }

    /// `len` of these bytes are written.
    pub fn handle_sent(&mut self, id: PeerId, len: usize) {
        self.written += len;
        let Some(reader) = self.readers.get_mut(id) else { return };
        let Some(channel) = self.channels.get_mut(reader.channel) else { return };
        let end = channel.log.end();
        if reader.extra.is_none() && reader.behind == NOWHERE && reader.cursor + len as u64 == end {
            self.frames.sent += channel.frames_between(reader.cursor, end);
            reader.cursor = end;
            return;
        }
        let mut left = len;
        while left > 0 {
            let Some(piece) = Plan::new(reader, channel).next() else { break };
            let (what, part) = (piece.what, left.min(piece.bytes.len()));
            let is_whole = part == piece.bytes.len();
            left -= part;
            self.frames.sent += reader.advance(channel, what, part, is_whole);
        }
        debug_assert_eq!(left, 0, "no more is sent than was to be written");
        self.settle_place(id);
        self.settle(id);
    }

    /// The socket takes no more until [`Outbound::handle_writable`].
    pub fn handle_blocked(&mut self, id: PeerId) {
        if let Some(reader) = self.readers.get_mut(id) {
            reader.is_blocked = true;
            self.note_behind(id);
            self.wake_if_written(id);
        }
    }

    /// The socket takes bytes again.
    pub fn handle_writable(&mut self, id: PeerId) {
        let Some(reader) = self.readers.get_mut(id) else { return };
        if !std::mem::take(&mut reader.is_blocked) {
            return;
        }
        if let Some((reader, channel)) = self.reader(id)
            && !reader.needs_channel(channel)
        {
            self.note_caught_up(id);
        }
        self.list(id);
    }

    // --- how the parts are kept in agreement

    fn reader(&mut self, id: PeerId) -> Option<(&mut Reader, &mut Channel)> {
        let reader = self.readers.get_mut(id)?;
        let channel = self.channels.get_mut(reader.channel)?;
        Some((reader, channel))
    }

    /// Notes that a channel has something to offer.
    fn offer(&mut self, key: ChannelKey, is_pressing: bool) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.has_more = true;
        channel.is_pressing |= is_pressing;
        match channel.state {
            State::Held(until) if channel.is_pressing => {
                self.held.remove(&(until, key));
            }
            State::Idle => {}
            State::Held(_) | State::Listed => return,
        }
        channel.state = State::Listed;
        self.fresh.push_back(key);
    }

    /// Has a reader served that has something to write, besides the passes of its channel.
    fn list(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        if !reader.is_listed && !reader.is_blocked && reader.has_pending(channel) {
            reader.is_listed = true;
            self.singles.push_back(id);
        }
    }

    /// After a write: goes on with a reader, or says that it is finished, or that its own answers
    /// have been written.
    fn settle(&mut self, id: PeerId) {
        self.wake_if_written(id);
        match self.is_finished(id) {
            true => self.told.push_back(Next::Finished(id)),
            false => self.list(id),
        }
    }

    /// After a reader has left its channel, or was given up.
    fn settle_exit(&mut self, id: PeerId) {
        let key = self.detach(id);
        if let Some(reader) = self.readers.get_mut(id) {
            let extra = reader.extra.as_mut();
            let is_deferred = extra.is_some_and(|extra| std::mem::take(&mut extra.is_deferred));
            if is_deferred {
                self.told.push_back(Next::Woken(id));
            }
        }
        self.settle_place(id);
        self.settle(id);
        key.into_iter().for_each(|key| self.close_unused(key));
    }

    /// Notes whether a reader still needs what its channel holds. One that has left and does not
    /// is in no channel any more.
    fn settle_place(&mut self, id: PeerId) {
        let lone = self.lone;
        let Some((reader, channel)) = self.reader(id) else { return };
        if reader.needs_channel(channel) {
            return self.note_behind(id);
        }
        let is_leaving = reader.is_leaving();
        self.note_caught_up(id);
        if let Some(reader) = self.readers.get_mut(id).filter(|_| is_leaving)
            && let Some(extra) = &mut reader.extra
        {
            (reader.channel, reader.cursor, extra.until) = (lone, 0, Some(0));
            for unicast in &mut extra.unicasts {
                (unicast.at, unicast.skip_to) = (0, 0);
            }
        }
    }

    fn wake_if_written(&mut self, id: PeerId) {
        let unicasts_max = self.thresholds.unicasts;
        let Some(reader) = self.readers.get_mut(id) else { return };
        if reader.must_write_first(unicasts_max) {
            return;
        }
        if let Some(extra) = &mut reader.extra
            && std::mem::take(&mut extra.is_deferred)
        {
            self.told.push_back(Next::Woken(id));
            if extra.is_empty() {
                reader.extra = None;
            }
        }
    }

    /// Takes a reader out of its channel's readers; of which channel, which may be unused now.
    fn detach(&mut self, id: PeerId) -> Option<ChannelKey> {
        let (reader, channel) = self.reader(id)?;
        let index = std::mem::replace(&mut reader.index, NOWHERE);
        if index == NOWHERE {
            return None;
        }
        let key = reader.channel;
        channel.readers.swap_remove(index as usize);
        // Who takes its index has been looked at, or is looked at once more: its cursor knows.
        if let Some(pass) = &mut channel.pass {
            pass.left = pass.left.min(channel.readers.len());
        }
        let moved = channel.readers.get(index as usize).copied();
        if channel.readers.is_empty() {
            channel.readers = Vec::new();
        }
        if let Some(moved) = moved.and_then(|moved| self.readers.get_mut(moved)) {
            moved.index = index;
        }
        Some(key)
    }

    fn note_behind(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        if reader.behind == NOWHERE {
            reader.behind = narrow(channel.behind.len());
            channel.behind.push(id);
        }
    }

    /// Nothing that a reader's channel holds is needed for it any more, unless it is blocked.
    fn note_caught_up(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let key = reader.channel;
        let index = std::mem::replace(&mut reader.behind, NOWHERE);
        if index == NOWHERE {
            return;
        }
        channel.behind.swap_remove(index as usize);
        let moved = channel.behind.get(index as usize).copied();
        if channel.behind.is_empty() {
            channel.behind = Vec::new();
            channel.replayed_from = None;
            channel.blocks.clear();
            if channel.state == State::Idle {
                channel.log.trim(channel.log.end());
                channel.log.release();
            }
        }
        if let Some(moved) = moved.and_then(|moved| self.readers.get_mut(moved)) {
            moved.behind = index;
        }
        self.close_unused(key);
    }

    /// Panics where lists, cursors and logs do not agree. Work: everything; for tests.
    pub fn check_invariants(&self) {
        for (key, channel) in self.channels.iter() {
            self.check_channel(key, channel);
        }
        for (id, reader) in self.readers.iter() {
            let Some(channel) = self.channels.get(reader.channel) else {
                panic!("{id} reads a channel that is gone");
            };
            let listed = |index: u32, list: &[PeerId]| {
                index == NOWHERE || list.get(index as usize) == Some(&id)
            };
            assert!(listed(reader.index, &channel.readers), "{id} is where it says");
            assert!(listed(reader.behind, &channel.behind), "{id} is behind where it says");
            let is_pinned = reader.cursor >= channel.log.start();
            assert!(
                is_pinned || reader.cursor == reader.target(channel),
                "{id} has lost its place"
            );
            assert!(reader.replay().is_none() || reader.behind != NOWHERE, "{id} replays");
            let is_listed = self.singles.iter().filter(|&&other| other == id).count();
            assert_eq!(is_listed, usize::from(reader.is_listed), "{id} is listed once");
            let is_served =
                reader.is_listed || (reader.index != NOWHERE && channel.state != State::Idle);
            let is_ready = reader.has_pending(channel) && !reader.is_blocked;
            assert!(!is_ready || is_served, "{id} would never be written to");
        }
    }

    fn check_channel(&self, key: ChannelKey, channel: &Channel) {
        let listed = self.fresh.iter().chain(&self.listed).filter(|&&other| other == key).count();
        assert_eq!(listed, usize::from(channel.state == State::Listed), "once, or not at all");
        let held = self.held.iter().filter(|(_, other)| *other == key).count();
        assert_eq!(held, usize::from(matches!(channel.state, State::Held(_))), "the same");
        let parked = channel.parked.len() + channel.parked_again.len();
        assert!(channel.state != State::Idle || parked == 0, "nobody waits for ever");
        let is_needed = channel.state != State::Idle || !channel.behind.is_empty();
        assert!(is_needed || channel.log.len() == 0, "an idle channel holds nothing");
        assert!(is_needed || channel.blocks.is_empty(), "nor does it render");
    }

    fn close_unused(&mut self, key: ChannelKey) {
        if key != self.lone && self.channels.get(key).is_some_and(Channel::is_unused) {
            self.channels.remove(key);
        }
    }
}

/// Half the memory, ten thousand times. There are not so many readers that it matters.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NOWHERE)
}
