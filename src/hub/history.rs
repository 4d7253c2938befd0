//! The last messages of a room, for those who come later.

use std::collections::VecDeque;
use std::rc::Rc;

/// A ring of encoded chat messages.
///
/// Invariant: it owns no memory before the first message, and never more frames than its limit.
#[derive(Debug)]
pub struct History {
    frames: VecDeque<Rc<[u8]>>,
    frames_max: usize,
    replay: Option<Rc<[u8]>>,
}

impl History {
    /// An empty history of at most `frames_max` messages; 0 keeps none. Allocates nothing.
    pub fn new(frames_max: usize) -> Self {
        Self { frames: VecDeque::new(), frames_max, replay: None }
    }

    /// Remembers a message, and forgets the oldest where there are too many.
    pub fn push(&mut self, frame: &[u8]) {
        if self.frames_max == 0 {
            return;
        }
        if self.frames.len() == self.frames_max {
            self.frames.pop_front();
        }
        self.frames.push_back(frame.into());
        self.replay = None;
    }

    /// All messages, the oldest first, as one piece for the wire; `None` where there are none.
    ///
    /// Made once for all who join between two messages.
    pub fn replay(&mut self) -> Option<Rc<[u8]>> {
        if self.replay.is_none() && !self.frames.is_empty() {
            let frames: Vec<&[u8]> = self.frames.iter().map(|frame| &**frame).collect();
            self.replay = Some(frames.concat().into());
        }
        self.replay.clone()
    }

    /// Forgets the piece that [`History::replay`] made; it costs as much as the messages.
    pub fn release_replay(&mut self) {
        self.replay = None;
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allocated_before_the_first_message() {
        let mut history = History::new(100);
        assert_eq!(history.replay(), None);
        assert_eq!(history.frames.capacity(), 0);
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut history = History::new(3);
        for frame in [b"1", b"2", b"3", b"4"] {
            history.push(frame);
        }
        assert_eq!(history.replay().as_deref(), Some(&b"234"[..]));
        history.push(b"5");
        assert_eq!(history.replay().as_deref(), Some(&b"345"[..]), "a new message shows");
    }

    #[test]
    fn one_replay_is_shared_until_the_next_message() {
        let mut history = History::new(3);
        history.push(b"1");
        let (first, second) = (history.replay().unwrap(), history.replay().unwrap());
        assert!(Rc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_history_of_none_keeps_none() {
        let mut history = History::new(0);
        history.push(b"1");
        assert!(history.is_empty() && history.replay().is_none());
    }
}
