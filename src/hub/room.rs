//! One room: who is in it, what it remembers, and what it is about to say.

use std::rc::Rc;

use super::PeerId;
use super::history::History;
use super::turn::Turn;

/// A room. Rooms are made when somebody joins and given back when nobody is in them and they
/// have nothing to remember.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Rc<str>,
    /// Who is in it, in no order that could be seen. Each member knows its place in here.
    pub(super) members: Vec<PeerId>,
    pub(super) history: History,
    pub(super) turn: Turn,
    /// Whether the number of members has changed since it was last told.
    pub(super) count_changed: bool,
    /// Whether it waits to be sealed already.
    pub(super) is_dirty: bool,
}

impl Room {
    pub(super) fn new(name: Rc<str>, history_frames_max: usize) -> Self {
        Self {
            name,
            members: Vec::new(),
            history: History::new(history_frames_max),
            turn: Turn::default(),
            count_changed: false,
            is_dirty: false,
        }
    }

    /// Whether nobody would notice if it were gone.
    pub(super) fn is_disposable(&self) -> bool {
        self.members.is_empty() && self.history.is_empty() && self.turn.is_empty()
    }
}
