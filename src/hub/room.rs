//! One room: who is in it, what it remembers, and what it is about to say.

use std::ops::Range;
use std::rc::Rc;

use super::PeerId;
use super::history::{Frames, History};
use super::turn::{Sealed, Turn};
use crate::wire::envelope::{Dialect, Notice, Said};

/// Where a client wants to go on, as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Resume<'r> {
    /// The id of the last message that it has seen.
    pub since: &'r str,
    /// The epoch of that id.
    pub epoch: &'r str,
}

/// A room. Rooms are made when somebody joins and given back when nobody is in them and they
/// have nothing to remember.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Rc<str>,
    /// In which life of the room ids count; no two rooms ever have the same.
    pub(super) epoch: Box<str>,
    /// Who is in it, in no order that could be seen. Each member knows its place in here.
    pub(super) members: Vec<PeerId>,
    /// Members of each dialect.
    pub(super) speakers: [u32; Dialect::ALL.len()],
    pub(super) history: History,
    pub(super) turn: Turn,
    /// Whether the number of members has changed since it was last told.
    pub(super) count_changed: bool,
    /// Whether it has changed without an announcement of who came or went.
    pub(super) count_unannounced: bool,
    /// Whether it waits to be sealed already.
    pub(super) is_dirty: bool,
    /// Whether it waits until it is time for news.
    pub(super) is_resting: bool,
    /// Whether its turn must go out before anything else happens in it.
    pub(super) is_full: bool,
    /// When the last member left, by the monotonic clock.
    pub(super) empty_since_ms: u64,
}

impl Room {
    pub(super) fn new(name: Rc<str>, epoch: String, history_frames_max: usize) -> Self {
        Self {
            name,
            epoch: epoch.into(),
            members: Vec::new(),
            speakers: Default::default(),
            history: History::new(history_frames_max),
            turn: Turn::default(),
            count_changed: false,
            count_unannounced: false,
            is_dirty: false,
            is_resting: false,
            is_full: false,
            empty_since_ms: 0,
        }
    }

    /// Says something to all members, once a dialect that one of them speaks.
    pub(super) fn say(&mut self, notice: &Notice<'_>) {
        for dialect in Dialect::ALL {
            self.tell(notice, dialect);
        }
    }

    /// Says something to those who speak a dialect, if there are any; where it stands in the turn.
    fn tell(&mut self, notice: &Notice<'_>, dialect: Dialect) -> Option<Range<usize>> {
        let speakers = self.speakers[dialect.index()];
        (speakers > 0).then(|| self.turn.append(notice, dialect, speakers))
    }

    /// Says a chat message to all members and remembers it; where its frame in `dialect` stands
    /// in the turn.
    pub(super) fn publish(&mut self, said: &Said<'_>, dialect: Dialect) -> Range<usize> {
        let places = Dialect::ALL.map(|each| self.tell(&Notice::Said(*said), each));
        let mut frames: Frames<&[u8]> = Default::default();
        for each in Dialect::ALL {
            let place = places[each.index()].clone();
            frames[each.index()] = place.map(|place| &self.turn.bytes(each)[place]);
        }
        self.history.push(said, frames);
        places[dialect.index()].clone().unwrap_or_default()
    }

    /// Where a replay begins for a client that asks to go on: the id after which, and whether
    /// nothing is missing. Whatever is no id of this life of the room counts as none.
    pub(super) fn resume(&self, resume: Option<Resume<'_>>) -> (u64, bool) {
        let Some(Resume { since, epoch }) = resume else { return (0, true) };
        let is_number = since.bytes().all(|byte| byte.is_ascii_digit());
        match since.parse().ok().filter(|_| is_number) {
            Some(id) if epoch == &*self.epoch && self.history.reaches_back_to(id) => (id, true),
            _ => (0, false),
        }
    }

    /// Whether it must be sealed as soon as that can be.
    pub(super) fn is_pressing(&self) -> bool {
        self.is_full || self.turn.is_pressing()
    }

    /// Ends the turn, with a count of the members where that has changed.
    pub(super) fn seal(&mut self) -> Sealed {
        (self.is_dirty, self.is_resting, self.is_full) = (false, false, false);
        let count = Notice::Count(self.members.len());
        if std::mem::take(&mut self.count_changed) {
            self.tell(&count, Dialect::First);
        }
        if std::mem::take(&mut self.count_unannounced) {
            self.tell(&count, Dialect::Second);
        }
        self.history.release_replays();
        let sealed = self.turn.seal();
        if self.members.is_empty() {
            // Its buffers are for those who talk.
            self.turn = Turn::default();
        }
        sealed
    }

    /// Whether nobody would notice if it were gone.
    pub(super) fn is_disposable(&self) -> bool {
        self.members.is_empty() && self.history.is_empty() && self.turn.is_empty()
    }
}
