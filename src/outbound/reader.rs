//! One reader: a cursor in the log of its channel, and what it has besides.

use std::collections::VecDeque;
use std::rc::Rc;

use super::ChannelKey;
use super::channel::Channel;
use super::log::Counted;
use super::replay::{Blocks, Replay};

/// Bytes that any number of readers may share.
pub type Bytes = Rc<[u8]>;

/// The send side of one connection. An idle one costs this and nothing else.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) channel: ChannelKey,
    /// Where it stands in the channel's `readers`; nowhere before it joins and after it leaves.
    pub(super) index: u32,
    /// Where it stands in the channel's `behind`, if it does.
    pub(super) behind: u32,
    /// Its position in the channel's log.
    pub(super) cursor: u64,
    /// Since when the socket has taken nothing, in seconds of the monotonic clock, rounded up; 0
    /// where it has taken something since it was blocked.
    pub(super) stalled_from_s: u32,
    /// The socket takes no more until it says so.
    pub(super) is_blocked: bool,
    /// It stands in the list of singles.
    pub(super) is_listed: bool,
    /// It has been said that everything is written to it that ever will be.
    pub(super) is_over: bool,
    pub(super) extra: Option<Box<Extra>>,
}

/// What a reader has besides its cursor; only while there is something.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Bytes that come before all else, and how many of them are written: an HTTP answer, the
    /// handshake, or the rest of a frame that is written in part.
    pub(super) begun: Option<(Bytes, usize)>,
    pub(super) ping: Option<Bytes>,
    /// The latest Pong: one that was not sent yet need not be (RFC 6455, section 5.5.3).
    pub(super) pong: Option<Bytes>,
    pub(super) replay: Option<Replay>,
    pub(super) unicasts: VecDeque<Unicast>,
    /// It reads no further than this, and `close` is the last.
    pub(super) until: Option<u64>,
    /// What had been counted in its channel when it left.
    pub(super) left_at: Counted,
    pub(super) close: Option<Bytes>,
    /// Its input waits until its own answers have been written.
    pub(super) is_deferred: bool,
    /// Bytes of memory that were counted for it.
    pub(super) charged: usize,
}

/// A frame for one reader alone, at its place among those of its channel.
#[derive(Debug)]
pub(super) struct Unicast {
    /// The position in the log that it comes at.
    pub(super) at: u64,
    pub(super) frame: Bytes,
    /// Where the reader goes on: behind the frame for which this one stands, if there is one.
    pub(super) skip_to: u64,
}

impl Reader {
    /// How far it reads.
    pub(super) fn target(&self, channel: &Channel) -> u64 {
        self.extra.as_ref().and_then(|extra| extra.until).unwrap_or(channel.log.end())
    }

    /// Whether it has left, and is only written what was said before.
    pub(super) fn is_leaving(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.until.is_some())
    }

    /// Whether its channel must keep what it has not read, or it is blocked and may lag.
    pub(super) fn is_behind(&self, channel: &Channel) -> bool {
        self.needs_channel(channel) || (self.is_blocked && !self.is_leaving())
    }

    /// Whether there is something to write to it.
    pub(super) fn has_pending(&self, channel: &Channel) -> bool {
        self.cursor < self.target(channel)
            || self.extra.as_ref().is_some_and(|extra| !extra.is_written())
    }

    /// Whether it still needs something that its channel holds, or that its room remembers.
    pub(super) fn needs_channel(&self, channel: &Channel) -> bool {
        self.cursor < self.target(channel) || self.replay().is_some()
    }

    /// Bytes of memory that were counted for what it has besides its cursor.
    pub(super) fn charged(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.charged)
    }

    pub(super) fn replay(&self) -> Option<&Replay> {
        self.extra.as_ref()?.replay.as_ref()
    }

    /// What waits to be written to it and counts against its queue.
    pub(super) fn lag(&self, channel: &Channel) -> Counted {
        let mut lag =
            channel.log.counted_between(self.cursor.max(channel.log.start()), self.target(channel));
        for unicast in self.extra.iter().flat_map(|extra| &extra.unicasts) {
            let replaced = channel.log.counted_between(unicast.at, unicast.skip_to);
            lag.frames = lag.frames + 1 - replaced.frames;
            lag.bytes = lag.bytes + unicast.frame.len() as u64 - replaced.bytes;
        }
        lag
    }

    /// Whether more waits for it than it may lag; or, where it has left, more was said since, all
    /// of which its channel keeps for it. Only a socket that takes nothing makes it so.
    pub(super) fn is_too_slow(&self, channel: &Channel, queue: Counted) -> bool {
        let left_at = self.extra.as_ref().filter(|_| self.is_leaving()).map(|extra| extra.left_at);
        let kept = || match left_at {
            Some(left_at) if self.needs_channel(channel) => channel.log.counted().since(left_at),
            Some(_) => Counted::default(),
            None => self.lag(channel),
        };
        self.is_blocked && kept().exceeds(queue)
    }

    /// Whether its own answers must be written before it is read any further: a Pong waits that
    /// the next would replace, and its socket takes it, or too many frames are for it alone.
    pub(super) fn must_write_first(&self, unicasts_max: usize) -> bool {
        self.extra.as_ref().is_some_and(|extra| {
            (extra.pong.is_some() && !self.is_blocked) || extra.unicasts.len() >= unicasts_max
        })
    }

    /// Whether everything has been written to it that ever will be.
    pub(super) fn is_finished(&self) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.until == Some(self.cursor) && extra.is_written())
    }

    /// Goes on by `len` bytes of the first piece of its plan, which is `what`; how many frames
    /// that count were completed by them.
    pub(super) fn advance(&mut self, channel: &Channel, what: What, len: usize) -> u64 {
        let from = self.cursor;
        let Some(extra) = self.extra.as_mut().filter(|_| what != What::Log) else {
            self.cursor += len as u64;
            return channel.log.counted_between(from, self.cursor).frames;
        };
        let mut completed = 0;
        let begun = match what {
            What::Begun => extra.begun.take().map(|(bytes, sent)| (bytes, sent + len)),
            What::Ping => extra.ping.take().map(|frame| (frame, len)),
            What::Pong => extra.pong.take().map(|frame| (frame, len)),
            What::Close => extra.close.take().map(|frame| (frame, len)),
            What::Unicast => extra.unicasts.pop_front().map(|unicast| {
                (self.cursor, completed) = (unicast.skip_to, 1);
                (unicast.frame, len)
            }),
            What::Replay => {
                // The rest of a frame that is cut is its own: the block may be dropped or change.
                let rest = extra.replay.as_mut().map(|replay| channel.blocks.advance(replay, len));
                extra.skip_empty(channel);
                rest.map(|rest| (rest.into(), 0))
            }
            What::Log => None,
        };
        extra.begun = begun.filter(|(bytes, sent)| *sent < bytes.len());
        completed
    }
}

impl Extra {
    /// Counts the memory that it owns: of bytes that others share, nothing.
    pub(super) fn charge(&mut self) {
        let begun = self.begun.as_ref().map(|(bytes, _)| bytes);
        let own = [begun, self.pong.as_ref(), self.close.as_ref()].into_iter().flatten();
        let frames = own.chain(self.unicasts.iter().map(|unicast| &unicast.frame));
        let frames = frames.filter(|bytes| Rc::strong_count(bytes) == 1);
        let list = self.unicasts.capacity() * size_of::<Unicast>();
        self.charged = size_of::<Self>() + list + frames.map(|bytes| bytes.len()).sum::<usize>();
    }

    /// Goes on with the replay behind blocks that have nothing for it.
    pub(super) fn skip_empty(&mut self, channel: &Channel) {
        if let Some(replay) = &mut self.replay {
            channel.blocks.skip_empty(replay);
            self.replay = self.replay.filter(|replay| !replay.is_over());
        }
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.until.is_none() && self.is_written()
    }

    /// Whether nothing of it waits to be written.
    pub(super) fn is_written(&self) -> bool {
        self.begun.is_none()
            && self.ping.is_none()
            && self.pong.is_none()
            && self.replay.is_none()
            && self.unicasts.is_empty()
            && self.close.is_none()
    }
}

/// What a piece of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Begun,
    Replay,
    Ping,
    Pong,
    Log,
    Unicast,
    Close,
}

/// Gives what is to be written to a reader, piece by piece, none of them empty: what is begun;
/// Ping and Pong at the next frame boundary; the replay; the log, with the unicasts at their
/// places; Close. The one place where that order is decided.
pub(super) fn plan<'p>(
    reader: &'p Reader,
    channel: &'p Channel,
    give: &mut dyn FnMut(What, &'p [u8]),
) {
    let (mut cursor, target) = (reader.cursor, reader.target(channel));
    let mut give = |what, bytes: &'p [u8]| {
        if !bytes.is_empty() {
            give(what, bytes);
        }
    };
    let mut log_to = |to| channel.log.slice(std::mem::replace(&mut cursor, to), to);
    let Some(extra) = &reader.extra else {
        return give(What::Log, log_to(target));
    };
    let mut replay = extra.replay;
    if let Some((bytes, sent)) = &extra.begun {
        give(What::Begun, &bytes[*sent..]);
    } else if extra.ping.is_some() || extra.pong.is_some() {
        // A record that is cut is begun, and so has a rest there.
        if replay.is_none() && reader.cursor < target {
            give(What::Log, log_to(channel.log.boundary(reader.cursor)));
        }
    }
    give(What::Ping, extra.ping.as_deref().unwrap_or_default());
    give(What::Pong, extra.pong.as_deref().unwrap_or_default());
    while let Some(replay) = replay.as_mut().filter(|replay| !replay.is_over()) {
        // What is missing is rendered when all before it has been written.
        let Some(block) = channel.blocks.at(replay) else { return };
        give(What::Replay, Blocks::bytes(block, replay));
        replay.skip(block);
    }
    for unicast in &extra.unicasts {
        give(What::Log, log_to(unicast.at));
        give(What::Unicast, &unicast.frame);
        log_to(unicast.skip_to);
    }
    give(What::Log, log_to(target));
    give(What::Close, extra.close.as_deref().unwrap_or_default());
}
