//! What is to be written to whom: a channel is a log, a reader is a cursor in it.
//!
//! What everybody who speaks one encoding in one room is sent is appended once, to the log of a
//! *channel*. A *reader* is the send side of one connection: its cursor in that log, and an
//! `Extra` while it has something of its own. Writing to a reader is one `writev`
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
//! The calls stand in this order: getters; changes of one reader; changes of a channel; what has
//! happened to a socket (`handle_*`); what is to be done next (`poll*`, in `pass.rs`).

mod channel;
mod check;
mod held;
mod log;
mod pass;
mod reader;
mod replay;
mod slots;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::RangeInclusive;

use crate::limits::Limits;
use crate::peer::{PeerId, PeerMap, growth};
use channel::{Channel, State};
use reader::{Extra, Reader, Unicast, plan};
use replay::Replay;
use slots::Slots;

pub use channel::Kind;
pub use held::Held;
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
#[derive(Debug, Default)]
pub struct Outbound {
    /// How far a reader may lag.
    queue: Counted,
    thresholds: Thresholds,
    channels: Slots<Channel>,
    readers: PeerMap<Reader>,
    /// The channel of connections that have joined none. Nothing is ever appended to it.
    lone: ChannelKey,
    /// Channels with something to offer, each in one of these once: those that were just listed,
    /// the others, and with their time those that are held.
    fresh: VecDeque<ChannelKey>,
    listed: VecDeque<ChannelKey>,
    held: Vec<(u64, ChannelKey)>,
    /// The channel whose owner has been asked for what it owes, and whose pass then begins.
    beginning: Option<ChannelKey>,
    /// Readers with something of their own to write.
    singles: VecDeque<PeerId>,
    was_single: bool,
    /// The channel that is served at present, and readers looked at and bytes written since its
    /// quantum began.
    served: ChannelKey,
    looked_at: usize,
    written: usize,
    /// What [`Outbound::poll`] still has to say of readers.
    told: VecDeque<Next>,
    frames: Frames,
    /// Bytes of memory of all channels, and of what readers have of their own.
    memory: Held,
}

impl Outbound {
    /// The send side of no connection.
    pub fn new(limits: &Limits, thresholds: Thresholds) -> Self {
        let (frames, bytes) = (limits.queue_frames_max.into(), limits.queue_bytes_max.into());
        let mut channels = Slots::default();
        let lone = channels.insert(Channel::default());
        Self { queue: Counted { frames, bytes }, thresholds, channels, lone, ..Self::default() }
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

    /// Whether somebody reads a channel, or has left it with something unread. Who has left is not
    /// sent what is said since, but judged by it: so much is kept for it.
    pub fn is_used(&self, key: ChannelKey) -> bool {
        self.channels.get(key).is_some_and(Channel::is_used)
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

    /// Since when something waits for a reader whose socket has not taken a byte, in milliseconds;
    /// a whole second, and at most one too late. `None` where nothing does.
    pub fn stalled_from_ms(&self, id: PeerId) -> Option<u64> {
        let reader = self.readers.get(id).filter(|reader| reader.is_blocked)?;
        let channel = self.channels.get(reader.channel)?;
        reader.has_pending(channel).then_some(u64::from(reader.stalled_from_s) * 1_000)
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
        let (index, behind) = (NOWHERE, NOWHERE);
        let reader = Reader { channel: self.lone, index, behind, ..Reader::default() };
        self.readers.insert(id, reader);
    }

    /// A connection is gone, with whatever was still to be written to it.
    pub fn close(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let (key, lag) = (reader.channel, reader.lag(channel).frames);
        self.frames.gone += lag;
        self.detach(id);
        self.note_caught_up(id);
        self.memory.own -= self.held_for(id);
        self.readers.remove(id);
        self.close_unused(key);
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
        if replay.is_empty() && !reader.is_blocked {
            return;
        }
        if !replay.is_empty() {
            let (next, last) = replay.into_inner();
            channel.replayed_from = channel.replayed_from.into_iter().chain([next]).min();
            let extra = reader.extra.get_or_insert_default();
            extra.replay = Some(Replay { next, last });
        }
        self.settle(id);
    }

    /// Says what comes before all else: an HTTP answer, or the answer to a handshake. Only where
    /// nothing has been said yet.
    pub fn begin(&mut self, id: PeerId, bytes: Bytes) {
        self.change(id, |extra| extra.begun = Some((bytes, 0)));
    }

    /// Says a frame to one reader alone, after all that its channel has said so far, but in place
    /// of the last `replaced` bytes of that.
    pub fn tell(&mut self, id: PeerId, frame: Bytes, replaced: usize) {
        let Some((_, channel)) = self.reader(id) else { return };
        let skip_to = channel.log.end();
        let unicast = Unicast { at: skip_to - replaced as u64, frame, skip_to };
        self.change(id, |extra| extra.unicasts.push_back(unicast));
        let queue = self.queue;
        if let Some((reader, channel)) = self.reader(id)
            && reader.is_too_slow(channel, queue)
        {
            self.told.push_back(Next::TooSlow(id));
        }
    }

    /// Sets the Ping to send.
    pub fn ping(&mut self, id: PeerId, frame: Bytes) {
        self.change(id, |extra| extra.ping = Some(frame));
    }

    /// Sets the Pong to send, in place of one not sent yet.
    pub fn pong(&mut self, id: PeerId, frame: Bytes) {
        self.change(id, |extra| extra.pong = Some(frame));
    }

    /// Asks to be told, by [`Next::Woken`], when a reader's own answers have been written.
    pub fn defer(&mut self, id: PeerId) {
        self.change(id, |extra| extra.is_deferred = true);
    }

    /// Changes what a reader has of its own, unless the last has been said to it.
    fn change(&mut self, id: PeerId, change: impl FnOnce(&mut Extra)) {
        if let Some(reader) = self.readers.get_mut(id).filter(|reader| !reader.is_leaving()) {
            change(reader.extra.get_or_insert_default());
            self.settle(id);
        }
    }

    /// Tells by [`Next::Woken`] that a peer's input need not wait any longer.
    pub fn wake(&mut self, id: PeerId) {
        self.told.push_back(Next::Woken(id));
    }

    /// Takes a reader out of its channel. It still gets what was said before, and `close`; nothing
    /// after that.
    pub fn finish(&mut self, id: PeerId, close: Option<Bytes>) {
        let Some((reader, channel)) = self.reader(id) else { return };
        if !reader.is_leaving() {
            let extra = reader.extra.get_or_insert_default();
            (extra.until, extra.close) = (Some(channel.log.end()), close);
            extra.left_at = channel.log.counted();
            self.detach(id);
            self.settle(id);
        }
    }

    /// Gives a reader up: the frame that is half written is completed, and `close` is the last.
    pub fn dismiss(&mut self, id: PeerId, close: Bytes) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let (lag, is_cut) = (reader.lag(channel).frames, reader.cursor < reader.target(channel));
        let Extra { mut begun, is_deferred, charged, .. } =
            *reader.extra.take().unwrap_or_default();
        let mut completed = 0;
        if is_cut && begun.is_none() {
            let boundary = channel.log.boundary(reader.cursor);
            completed = channel.log.counted_between(reader.cursor, boundary).frames;
            let rest = channel.log.slice(reader.cursor, boundary);
            begun = (!rest.is_empty()).then(|| (rest.into(), 0));
        }
        reader.cursor = channel.log.end();
        let (until, close) = (Some(reader.cursor), Some(close));
        let extra = Extra { begun, until, close, is_deferred, charged, ..Extra::default() };
        reader.extra = Some(Box::new(extra));
        self.frames.sent += completed;
        self.frames.too_slow += lag - completed;
        self.detach(id);
        self.settle(id);
    }

    // --- changes of a channel

    /// A channel without readers. What `owner` says of itself comes back in [`Next`]. The channel
    /// is gone, and its key finds nothing, once nobody reads it any more.
    pub fn open_channel(&mut self, owner: u32) -> ChannelKey {
        self.channels.insert(Channel { owner, ..Channel::default() })
    }

    /// Says a frame to all readers of a channel; nothing is kept where it is [unused].
    ///
    /// [unused]: Outbound::is_used
    pub fn append(&mut self, key: ChannelKey, frame: &[u8], kind: Kind) {
        let Some(channel) = self.channels.get_mut(key).filter(|channel| channel.is_used()) else {
            return;
        };
        self.memory.logs -= channel.log.capacity();
        channel.log.append(frame, kind == Kind::Optional);
        self.memory.logs += channel.log.capacity();
        let is_pressing = kind == Kind::Text || channel.grown().reaches(self.queue, 4);
        self.offer(key, is_pressing);
    }

    /// Asks for a pass of a channel, though nothing has been appended yet: its owner does that
    /// when it begins ([`Owner::PassBegins`]).
    pub fn owe(&mut self, key: ChannelKey) {
        self.offer(key, false);
    }

    /// Lets a peer's input wait at the gate of a channel; [`Next::Woken`] tells when its pass is
    /// over. Who had some of it taken just now is woken after those who had none: else one who
    /// says much would always pass the gate before the others.
    pub fn park(&mut self, id: PeerId, key: ChannelKey, was_taken: bool) {
        match self.channels.get_mut(key) {
            Some(channel) => channel.parked[usize::from(was_taken)].push(id),
            None => self.wake(id),
        }
    }

    /// Adds a block of the past to a channel, as [`Outbound::missing`] asks for.
    pub fn render(&mut self, key: ChannelKey, block: Block) {
        let bytes = self.thresholds.replay_bytes;
        self.change_channel(key, |channel| channel.blocks.insert(block, bytes));
    }

    /// The record of this id is new or has changed.
    pub fn forget_block(&mut self, key: ChannelKey, id: u64) {
        if self.channels.get(key).is_some_and(|channel| !channel.blocks.is_empty()) {
            self.change_channel(key, |channel| channel.blocks.forget(id));
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
        plan(reader, channel, &mut |_, bytes| {
            if let Some(slice) = slices.get_mut(count) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
        });
        count
    }

    /// `len` of these bytes are written.
    pub fn handle_sent(&mut self, id: PeerId, len: usize) {
        self.written += len;
        let Some(reader) = self.readers.get_mut(id) else { return };
        reader.stalled_from_s = 0;
        let Some(channel) = self.channels.get_mut(reader.channel) else { return };
        let end = channel.log.end();
        if reader.extra.is_none() && reader.behind == NOWHERE && reader.cursor + len as u64 == end {
            self.frames.sent += channel.frames_between(reader.cursor, end);
            reader.cursor = end;
            return;
        }
        let (mut left, mut parts) = (len, Vec::new());
        plan(reader, channel, &mut |what, bytes| {
            if left > 0 {
                parts.push((what, left.min(bytes.len())));
                left = left.saturating_sub(bytes.len());
            }
        });
        for (what, part) in parts {
            self.frames.sent += reader.advance(channel, what, part);
        }
        self.settle(id);
    }

    /// A write has found that the socket takes no more: from now on it makes no progress, unless it
    /// has made none before.
    pub fn note_stalled(&mut self, id: PeerId, now_ms: u64) {
        if let Some(reader) = self.readers.get_mut(id)
            && reader.stalled_from_s == 0
        {
            reader.stalled_from_s = u32::try_from(now_ms / 1_000 + 1).unwrap_or(u32::MAX);
        }
    }

    /// The socket takes no more, or takes bytes again.
    pub fn set_blocked(&mut self, id: PeerId, is_blocked: bool) {
        if let Some(reader) = self.readers.get_mut(id)
            && reader.is_blocked != is_blocked
        {
            reader.is_blocked = is_blocked;
            self.settle(id);
        }
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
                self.held.retain(|&held| held != (until, key));
            }
            State::Idle => {}
            State::Held(_) | State::Listed => return,
        }
        channel.state = State::Listed;
        self.fresh.push_back(key);
    }

    /// Brings all that follows from the state of a reader in agreement with it.
    fn settle(&mut self, id: PeerId) {
        let Some(reader) = self.readers.get_mut(id) else { return };
        let (key, is_leaving) = (reader.channel, reader.is_leaving());
        self.memory.own -= reader.charged();
        let must_write_first = reader.must_write_first(self.thresholds.unicasts);
        if let Some(extra) = &mut reader.extra {
            if extra.is_deferred && (is_leaving || !must_write_first) {
                extra.is_deferred = false;
                self.told.push_back(Next::Woken(id));
            }
            extra.charge();
            if extra.is_empty() {
                reader.extra = None;
            }
        }
        self.memory.own += reader.charged();
        let Some(channel) = self.channels.get_mut(key) else { return };
        if reader.is_behind(channel) {
            if reader.behind == NOWHERE {
                reader.behind = narrow(channel.behind.len());
                channel.behind.push(id);
            }
        } else {
            self.note_caught_up(id);
            if is_leaving {
                self.move_to_lone(id);
                self.close_unused(key);
            }
        }
        self.list(id);
        if let Some(reader) = self.readers.get_mut(id)
            && reader.is_finished()
            && !std::mem::replace(&mut reader.is_over, true)
        {
            self.told.push_back(Next::Finished(id));
        }
    }

    /// Has a reader served that has something to write, besides the passes of its channel.
    fn list(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        if !reader.is_listed && !reader.is_blocked && reader.has_pending(channel) {
            reader.is_listed = true;
            self.singles.push_back(id);
        }
    }

    /// Takes a reader out of its channel's readers.
    fn detach(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let index = std::mem::replace(&mut reader.index, NOWHERE) as usize;
        if index >= channel.readers.len() {
            return;
        }
        channel.readers.swap_remove(index);
        // Who takes its index has been looked at, or is looked at once more: its cursor knows.
        if let Some(pass) = &mut channel.pass {
            pass.left = pass.left.min(channel.readers.len());
        }
        let moved = channel.readers.get(index).copied();
        if let Some(moved) = moved.and_then(|moved| self.readers.get_mut(moved)) {
            moved.index = narrow(index);
        }
    }

    /// Takes a reader out of those that are behind in its channel.
    fn note_caught_up(&mut self, id: PeerId) {
        let Some((reader, channel)) = self.reader(id) else { return };
        let key = reader.channel;
        let index = std::mem::replace(&mut reader.behind, NOWHERE) as usize;
        if index >= channel.behind.len() {
            return;
        }
        channel.behind.swap_remove(index);
        let moved = channel.behind.get(index).copied();
        if channel.behind.is_empty() {
            self.change_channel(key, Channel::forget_behind);
        }
        if let Some(moved) = moved.and_then(|moved| self.readers.get_mut(moved)) {
            moved.behind = narrow(index);
        }
    }

    /// Whoever has left and needs nothing more of its channel is in none.
    fn move_to_lone(&mut self, id: PeerId) {
        if let Some(reader) = self.readers.get_mut(id)
            && let Some(extra) = &mut reader.extra
        {
            (reader.channel, reader.cursor, extra.until) = (self.lone, 0, Some(0));
            extra.left_at = Counted::default();
            for unicast in &mut extra.unicasts {
                (unicast.at, unicast.skip_to) = (0, 0);
            }
        }
    }

    /// Forgets a channel that nobody needs.
    fn close_unused(&mut self, key: ChannelKey) {
        let is_over = |channel: &Channel| !channel.is_used() && channel.state == State::Idle;
        if key != self.lone && self.channels.get(key).is_some_and(is_over) {
            self.channels.remove(key);
        }
    }
}

/// Half the memory, ten thousand times. There are not so many readers that it matters.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NOWHERE)
}
