//! The last messages of a room, for those who come later.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::wire::envelope::{self, Dialect, Notice, Said};
use crate::wire::frame::{self, Data, OpCode, sent_payload};

/// A frame for each dialect, where there is one.
pub(super) type Frames<T> = [Option<T>; Dialect::ALL.len()];

/// One message, as the frames that have been needed of it so far.
///
/// Invariant: there is at least one, of which the others can be made.
#[derive(Debug)]
struct Entry {
    id: u64,
    unix_ms: i64,
    frames: Frames<Box<[u8]>>,
}

impl Entry {
    /// The frame in a dialect, made when it is first asked for.
    fn frame(&mut self, dialect: Dialect) -> &[u8] {
        if self.frames[dialect.index()].is_none() {
            self.frames[dialect.index()] = Some(self.translate(dialect));
        }
        self.frames[dialect.index()].as_deref().unwrap_or_default()
    }

    /// The frame in a dialect that nobody in the room spoke when the message was said.
    fn translate(&self, dialect: Dialect) -> Box<[u8]> {
        let other =
            self.frames.iter().flatten().next().map_or(&[][..], |frame| sent_payload(frame));
        let text = envelope::read_said(other);
        let said = Said {
            id: self.id,
            unix_ms: self.unix_ms,
            username: &text.username,
            message: &text.message,
        };
        let mut json = Vec::new();
        envelope::write(&Notice::Said(said), dialect, &mut json);
        let mut frame = Vec::new();
        frame::append(OpCode::Data(Data::Text), &json, &mut frame);
        frame.into()
    }
}

/// A ring of chat messages.
///
/// Invariant: it owns no memory before the first message, and never more messages than its limit.
#[derive(Debug)]
pub struct History {
    entries: VecDeque<Entry>,
    entries_max: usize,
    last_id: u64,
    /// The whole of it as one piece, for all who join in the same turn.
    replays: Frames<Rc<[u8]>>,
}

impl History {
    /// An empty history of at most `entries_max` messages; 0 keeps none. Allocates nothing.
    pub fn new(entries_max: usize) -> Self {
        let replays = Frames::default();
        Self { entries: VecDeque::new(), entries_max, last_id: 0, replays }
    }

    /// The id of the next message. Ids count from 1 on.
    pub fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    /// The id of the latest message, kept or not; `None` before the first.
    pub fn last_id(&self) -> Option<u64> {
        (self.last_id > 0).then_some(self.last_id)
    }

    /// Remembers a message as the frames that were made of it, one at least, and forgets the
    /// oldest where there are too many.
    pub fn push(&mut self, said: &Said<'_>, frames: Frames<&[u8]>) {
        self.last_id = said.id;
        self.replays = Frames::default();
        if self.entries_max == 0 {
            return;
        }
        if self.entries.len() == self.entries_max {
            self.entries.pop_front();
        }
        debug_assert!(frames.iter().any(Option::is_some), "its sender speaks a dialect");
        let frames = frames.map(|frame| frame.map(Box::from));
        self.entries.push_back(Entry { id: said.id, unix_ms: said.unix_ms, frames });
    }

    /// Whether all that came after message `id` is still here. Never for an id yet to come.
    pub fn reaches_back_to(&self, id: u64) -> bool {
        let first = self.entries.front().map_or(self.next_id(), |entry| entry.id);
        id <= self.last_id && first <= id + 1
    }

    /// The messages after `after`, the oldest first, as one piece for the wire; `None` where
    /// there are none. Work: constant for the second who asks for all of it in a turn.
    pub fn replay(&mut self, dialect: Dialect, after: u64) -> Option<Rc<[u8]>> {
        let skip = self.entries.partition_point(|entry| entry.id <= after);
        if skip == self.entries.len() {
            return None;
        }
        if skip > 0 {
            return Some(self.concat(dialect, skip));
        }
        if self.replays[dialect.index()].is_none() {
            self.replays[dialect.index()] = Some(self.concat(dialect, 0));
        }
        self.replays[dialect.index()].clone()
    }

    /// Forgets the pieces that [`History::replay`] has made; they cost as much as the messages.
    pub fn release_replays(&mut self) {
        self.replays = Frames::default();
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn concat(&mut self, dialect: Dialect, skip: usize) -> Rc<[u8]> {
        let frames: Vec<&[u8]> =
            self.entries.iter_mut().skip(skip).map(|entry| entry.frame(dialect)).collect();
        frames.concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Frame;

    fn push(history: &mut History, message: &str) {
        let said = Said { id: history.next_id(), unix_ms: 0, username: "a", message };
        let mut json = Vec::new();
        envelope::write(&Notice::Said(said), Dialect::First, &mut json);
        let frame = Frame::new(OpCode::Data(Data::Text), &json);
        history.push(&said, [Some(&*frame), None]);
    }

    /// The messages of a replay.
    fn replay(history: &mut History, dialect: Dialect, after: u64) -> Vec<String> {
        let bytes = history.replay(dialect, after).unwrap_or_else(|| Rc::from([]));
        let text = String::from_utf8_lossy(&bytes);
        text.split("\"message\":\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn nothing_is_allocated_before_the_first_message() {
        let mut history = History::new(100);
        assert_eq!(history.replay(Dialect::First, 0), None);
        assert_eq!((history.entries.capacity(), history.last_id()), (0, None));
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut history = History::new(3);
        for message in ["1", "2", "3", "4"] {
            push(&mut history, message);
        }
        assert_eq!(replay(&mut history, Dialect::First, 0), ["2", "3", "4"]);
        push(&mut history, "5");
        assert_eq!(replay(&mut history, Dialect::Second, 0), ["3", "4", "5"], "a new one shows");
        assert_eq!((history.len(), history.last_id()), (3, Some(5)));
    }

    #[test]
    fn who_has_seen_some_gets_the_rest() {
        let mut history = History::new(3);
        for message in ["1", "2", "3", "4"] {
            push(&mut history, message);
        }
        assert_eq!(replay(&mut history, Dialect::Second, 3), ["4"]);
        assert_eq!(history.replay(Dialect::Second, 4), None);
        let reached: Vec<u64> = (0..7).filter(|&id| history.reaches_back_to(id)).collect();
        assert_eq!(reached, [1, 2, 3, 4], "0 would miss message 1, 5 is yet to come");
    }

    #[test]
    fn one_replay_is_shared_until_the_next_message() {
        let mut history = History::new(3);
        push(&mut history, "1");
        let mut replay = || history.replay(Dialect::First, 0).unwrap();
        let (first, second) = (replay(), replay());
        assert!(Rc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_message_of_one_dialect_is_told_in_the_other() {
        let said = Said { id: 1, unix_ms: 7, username: "a \"b\"", message: "tab\tand 😀" };
        let frame = |dialect| {
            let mut json = Vec::new();
            envelope::write(&Notice::Said(said), dialect, &mut json);
            Frame::new(OpCode::Data(Data::Text), &json)
        };
        let (first, second) = (frame(Dialect::First), frame(Dialect::Second));
        for frames in [[Some(&*first), None], [None, Some(&*second)]] {
            let mut history = History::new(3);
            history.push(&said, frames);
            for (dialect, expected) in [(Dialect::First, &first), (Dialect::Second, &second)] {
                assert_eq!(history.replay(dialect, 0).as_deref(), Some(&**expected));
            }
        }
    }

    #[test]
    fn a_history_of_none_keeps_none_and_counts_on() {
        let mut history = History::new(0);
        push(&mut history, "1");
        assert!(history.is_empty() && history.replay(Dialect::First, 0).is_none());
        assert_eq!(history.last_id(), Some(1));
        assert!(history.reaches_back_to(1) && !history.reaches_back_to(0));
    }
}
