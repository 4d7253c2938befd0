//! A room: its members, and one buffer with the frames of the iteration and those that it remembers.

use std::collections::VecDeque;

use slab::Slab;

use super::connection::Connection;
use super::wire::{Frame, write_header};

/// Frames that a room remembers for newcomers.
const HISTORY: usize = 100;

#[derive(Default)]
pub struct Room {
    pub members: Vec<u32>,
    /// The last frames as they go over the wire, and among their end those of this turn.
    bytes: Vec<u8>,
    /// Where in `bytes` the frames that are remembered begin.
    history: usize,
    /// Where in `bytes` those of this turn begin.
    turn: usize,
    /// How long each frame is from `history` on.
    lengths: VecDeque<usize>,
}

impl Room {
    pub fn push(&mut self, frame: &Frame) {
        let start = self.bytes.len();
        write_header(frame.first_byte, frame.payload.len(), &mut self.bytes);
        frame.unmask_into(&mut self.bytes);
        self.lengths.push_back(self.bytes.len() - start);
    }

    pub fn has_news(&self) -> bool {
        self.turn < self.bytes.len()
    }

    /// What a newcomer gets; the frames of this turn it gets with the others.
    pub fn replay(&self) -> &[u8] {
        &self.bytes[self.history..self.turn]
    }

    pub fn flush(&mut self, connections: &mut Slab<Connection>) {
        for &member in &self.members {
            connections[member as usize].send(&self.bytes[self.turn..]);
        }
        let surplus = self.lengths.len().saturating_sub(HISTORY);
        self.history += self.lengths.drain(..surplus).sum::<usize>();
        // Moved down only once more than half is forgotten: a byte is moved once, on average.
        if self.history > self.bytes.len() / 2 {
            self.bytes.drain(..self.history);
            self.history = 0;
        }
        self.turn = self.bytes.len();
    }
}
