//! One reader: a cursor in the log of its channel, and what it has besides.

use std::collections::VecDeque;
use std::rc::Rc;

use super::channel::Channel;
use super::log::Counted;
use super::replay::{Blocks, Replay};
use super::{ChannelKey, NOWHERE};

/// Bytes that any number of readers may share.
pub type Bytes = Rc<[u8]>;

/// The send side of one connection. An idle one costs this and nothing else.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) channel: ChannelKey,
    /// Where it stands in the channel's `readers`; [`NOWHERE`] before it joins and after it leaves.
    pub(super) index: u32,
    /// Where it stands in the channel's `behind`, or [`NOWHERE`].
    pub(super) behind: u32,
    /// Its position in the channel's log.
    pub(super) cursor: u64,
    /// The socket takes no more until it says so.
    pub(super) is_blocked: bool,
    /// It stands in the list of singles.
    pub(super) is_listed: bool,
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
    pub(super) close: Option<Bytes>,
    /// Its input waits until its own answers have been written.
    pub(super) is_deferred: bool,
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
    pub(super) fn new(channel: ChannelKey) -> Self {
        Self {
            channel,
            index: NOWHERE,
            behind: NOWHERE,
            cursor: 0,
            is_blocked: false,
            is_listed: false,
            extra: None,
        }
    }

    /// How far it reads.
    pub(super) fn target(&self, channel: &Channel) -> u64 {
        self.extra.as_ref().and_then(|extra| extra.until).unwrap_or(channel.log.end())
    }

    /// Whether it has left, and is only written what was said before.
    pub(super) fn is_leaving(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.until.is_some())
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

    pub(super) fn replay(&self) -> Option<&Replay> {
        self.extra.as_ref()?.replay.as_ref()
    }

    /// What waits to be written to it and counts against its queue.
    pub(super) fn lag(&self, channel: &Channel) -> Counted {
        let mut lag =
            channel.log.counted_between(self.cursor.max(channel.log.start()), self.target(channel));
        for unicast in self.extra.iter().flat_map(|extra| &extra.unicasts) {
            lag.frames += 1;
            lag.bytes += unicast.frame.len() as u64;
        }
        lag
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
    pub(super) fn advance(
        &mut self,
        channel: &Channel,
        what: What,
        len: usize,
        is_whole: bool,
    ) -> u64 {
        if what == What::Log {
            let from = self.cursor;
            self.cursor += len as u64;
            return channel.log.counted_between(from, self.cursor).frames;
        }
        let Some(extra) = &mut self.extra else { return 0 };
        let mut completed = 0;
        let begun = match what {
            What::Log => None,
            What::Begun => extra.begun.take().map(|(bytes, sent)| (bytes, sent + len)),
            What::Ping => extra.ping.take().map(|frame| (frame, len)),
            What::Pong => extra.pong.take().map(|frame| (frame, len)),
            What::Close => extra.close.take().map(|frame| (frame, len)),
            What::Unicast => extra.unicasts.pop_front().map(|unicast| {
                self.cursor = unicast.skip_to;
                completed = 1;
                (unicast.frame, len)
            }),
            What::Replay => {
                if let Some(replay) = &mut extra.replay
                    && let Some(block) = channel.blocks.at(replay)
                {
                    replay.advance(block, len);
                }
                None
            }
        };
        if !is_whole && what != What::Replay {
            extra.begun = begun;
        }
        self.drop_what_is_written(channel);
        completed
    }

    /// Gives back the extra where nothing is in it any more.
    fn drop_what_is_written(&mut self, channel: &Channel) {
        let Some(extra) = &mut self.extra else { return };
        if let Some(replay) = &mut extra.replay {
            // Blocks at the end may have no record that is still to come.
            while let Some(block) = channel.blocks.at(replay).filter(|_| !replay.is_over())
                && Blocks::bytes(block, replay).is_empty()
            {
                replay.skip(block);
            }
            extra.replay = extra.replay.filter(|replay| !replay.is_over());
        }
        if extra.is_empty() {
            self.extra = None;
        }
    }
}

impl Extra {
    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.until.is_none() && !self.is_deferred && self.is_written()
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

/// What is to be written to a reader next.
#[derive(Debug)]
pub(super) struct Piece<'p> {
    pub(super) what: What,
    pub(super) bytes: &'p [u8],
}

/// What is to be written to a reader, piece by piece: what is begun; Ping and Pong at the next
/// frame boundary; the replay; the log, with the unicasts at their places; Close. The one place
/// where that order is decided.
#[derive(Debug)]
pub(super) struct Plan<'p> {
    channel: &'p Channel,
    extra: Option<&'p Extra>,
    /// What comes next, if there is any of it.
    stage: Stage,
    cursor: u64,
    target: u64,
    replay: Option<Replay>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Begun,
    Boundary,
    Ping,
    Pong,
    Replay,
    /// The log up to this unicast, or to the end.
    Log(usize),
    Unicast(usize),
    Close,
    Over,
}

impl<'p> Plan<'p> {
    pub(super) fn new(reader: &'p Reader, channel: &'p Channel) -> Self {
        let extra = reader.extra.as_deref();
        Self {
            channel,
            extra,
            stage: if extra.is_some() { Stage::Begun } else { Stage::Log(0) },
            cursor: reader.cursor,
            target: reader.target(channel),
            replay: extra.and_then(|extra| extra.replay),
        }
    }

    /// The bytes of the present stage, if there are any; goes on to the next stage.
    fn step(&mut self, extra: &'p Extra) -> Option<Piece<'p>> {
        let own = |what, frame: &'p Option<Bytes>| Some(Piece { what, bytes: frame.as_ref()? });
        match self.stage {
            Stage::Begun => {
                self.stage = Stage::Boundary;
                let (bytes, sent) = extra.begun.as_ref()?;
                self.stage = Stage::Ping;
                Some(Piece { what: What::Begun, bytes: &bytes[*sent..] })
            }
            Stage::Boundary => {
                self.stage = Stage::Ping;
                let is_needed = extra.ping.is_some() || extra.pong.is_some();
                if is_needed { self.rest_of_frame() } else { None }
            }
            Stage::Ping => {
                self.stage = Stage::Pong;
                own(What::Ping, &extra.ping)
            }
            Stage::Pong => {
                self.stage = Stage::Replay;
                own(What::Pong, &extra.pong)
            }
            Stage::Replay => self.step_replay(),
            Stage::Log(next) => match extra.unicasts.get(next) {
                Some(unicast) => {
                    self.stage = Stage::Unicast(next);
                    self.log_to(unicast.at)
                }
                None => {
                    self.stage = Stage::Close;
                    self.log_to(self.target)
                }
            },
            Stage::Unicast(at) => {
                self.stage = Stage::Log(at + 1);
                let unicast = &extra.unicasts[at];
                self.cursor = unicast.skip_to;
                Some(Piece { what: What::Unicast, bytes: &unicast.frame })
            }
            Stage::Close => {
                self.stage = Stage::Over;
                own(What::Close, &extra.close)
            }
            Stage::Over => None,
        }
    }

    fn step_replay(&mut self) -> Option<Piece<'p>> {
        let Some(replay) = self.replay.as_mut().filter(|replay| !replay.is_over()) else {
            self.stage = Stage::Log(0);
            return None;
        };
        let Some(block) = self.channel.blocks.at(replay) else {
            // It is rendered when all before it has been written.
            self.stage = Stage::Over;
            return None;
        };
        let bytes = Blocks::bytes(block, replay);
        replay.skip(block);
        Some(Piece { what: What::Replay, bytes })
    }

    /// The rest of the frame that is cut by the last write, of the replay or of the log.
    fn rest_of_frame(&mut self) -> Option<Piece<'p>> {
        match &mut self.replay {
            Some(replay) if replay.offset == 0 => None,
            Some(replay) => {
                let block = self.channel.blocks.at(replay)?;
                let bytes = Blocks::rest_of_frame(block, replay);
                replay.advance(block, bytes.len());
                Some(Piece { what: What::Replay, bytes })
            }
            None if self.cursor == self.target => None,
            None => self.log_to(self.channel.log.boundary(self.cursor)),
        }
    }

    fn log_to(&mut self, to: u64) -> Option<Piece<'p>> {
        let from = std::mem::replace(&mut self.cursor, to);
        (from < to).then(|| Piece { what: What::Log, bytes: self.channel.log.slice(from, to) })
    }
}

impl<'p> Iterator for Plan<'p> {
    type Item = Piece<'p>;

    fn next(&mut self) -> Option<Piece<'p>> {
        let Some(extra) = self.extra else {
            return self.log_to(self.target);
        };
        loop {
            let piece = self.step(extra);
            if piece.as_ref().is_some_and(|piece| !piece.bytes.is_empty()) {
                return piece;
            }
            if matches!(self.stage, Stage::Over) {
                return piece.filter(|piece| !piece.bytes.is_empty());
            }
        }
    }
}
