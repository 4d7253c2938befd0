//! One channel: what everybody who speaks one encoding in one room is sent.

use super::held::Held;
use super::log::{Counted, Log};
use super::replay::Blocks;
use crate::peer::PeerId;

/// What is appended to a channel, by how much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes out as soon as it can.
    Text,
    /// Who came and went: in a crowd's channel it may be held.
    News,
    /// The same, and it counts as bytes only.
    Optional,
}

/// Whether a channel has something that its readers have not been offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Idle,
    /// Only news, until this time in milliseconds.
    Held(u64),
    /// It stands in one of the lists, once.
    Listed,
}

/// What everybody who speaks one encoding in one room is sent.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// Whose channel it is; means nothing here.
    pub(super) owner: u32,
    pub(super) log: Log,
    pub(super) readers: Vec<PeerId>,
    /// Every reader, and everybody who has left, whose socket is blocked, whose last write
    /// stopped short of the end, or who still has records to replay.
    pub(super) behind: Vec<PeerId>,
    /// Whose input waits at the gate: those of whom nothing was taken just before, who are woken
    /// first, and those of whom something was.
    pub(super) parked: [Vec<PeerId>; 2],
    pub(super) state: State,
    pub(super) pass: Option<Pass>,
    /// Whether something has been said since the pass began, and whether it is more than news.
    pub(super) has_more: bool,
    pub(super) is_pressing: bool,
    /// What had been counted when the last pass that is over began: so much was offered to all.
    pub(super) offered: Counted,
    /// News alone do not go out before this time, in milliseconds.
    pub(super) news_from_ms: u64,
    /// What is rendered of the past.
    pub(super) blocks: Blocks,
    /// The first record that somebody still has to replay, as far as is known: never too high.
    pub(super) replayed_from: Option<u64>,
    /// Two positions, and how many frames that count are between them.
    pub(super) last_span: (u64, u64, u64),
}

/// A pass that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// Readers that are still to be looked at: those below.
    pub(super) left: usize,
    /// Where the log ended when it began, and what had been counted.
    pub(super) end: u64,
    pub(super) counted: Counted,
}

impl Channel {
    /// Begins the pass that was picked. News alone do not begin another before `news_from_ms`.
    pub(super) fn begin_pass(&mut self, news_from_ms: u64) {
        let (left, end, counted) = (self.readers.len(), self.log.end(), self.log.counted());
        self.pass = Some(Pass { left, end, counted });
        (self.has_more, self.is_pressing, self.news_from_ms) = (false, false, news_from_ms);
    }

    /// Gives back the memory of what was kept for those who were behind.
    pub(super) fn forget_behind(&mut self) {
        self.behind = Vec::new();
        self.replayed_from = None;
        self.blocks.clear();
        if self.state == State::Idle {
            self.release();
        }
    }

    /// Gives back the memory that a channel without anything to say does not need.
    pub(super) fn release(&mut self) {
        self.parked = Default::default();
        if self.behind.is_empty() {
            self.log.trim(self.log.end());
            self.log.release();
        }
    }

    /// Bytes of memory of its log and of its blocks.
    pub(super) fn held(&self) -> Held {
        Held { logs: self.log.capacity(), blocks: self.blocks.capacity(), own: 0 }
    }

    /// What has been said since the last pass that is over began.
    pub(super) fn grown(&self) -> Counted {
        self.log.counted().since(self.offered)
    }

    /// Frames that count between two positions; cheap for the same two as before, as nearly all
    /// readers of a pass have them.
    pub(super) fn frames_between(&mut self, from: u64, to: u64) -> u64 {
        if (self.last_span.0, self.last_span.1) != (from, to) {
            self.last_span = (from, to, self.log.counted_between(from, to).frames);
        }
        self.last_span.2
    }

    /// Whether somebody reads it, or has left with something unread.
    pub(super) fn is_used(&self) -> bool {
        !self.readers.is_empty() || !self.behind.is_empty()
    }
}
