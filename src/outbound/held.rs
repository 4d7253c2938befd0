//! How much memory is held for readers, by what it is for.

use std::ops::{AddAssign, SubAssign};

use super::channel::{Channel, State};
use super::reader::Reader;
use super::{ChannelKey, Outbound};
use crate::peer::PeerId;

/// Bytes of memory, by capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Logs of channels.
    pub logs: usize,
    /// Blocks of records that are replayed.
    pub blocks: usize,
    /// What is for one reader alone, and not shared with others.
    pub own: usize,
}

impl AddAssign for Held {
    fn add_assign(&mut self, more: Self) {
        self.logs += more.logs;
        self.blocks += more.blocks;
        self.own += more.own;
    }
}

impl SubAssign for Held {
    fn sub_assign(&mut self, less: Self) {
        self.logs -= less.logs;
        self.blocks -= less.blocks;
        self.own -= less.own;
    }
}

impl Outbound {
    /// How much memory is held.
    pub fn held(&self) -> Held {
        self.memory
    }

    /// How much of it is held for one reader alone.
    pub fn held_for(&self, id: PeerId) -> usize {
        self.readers.get(id).map_or(0, Reader::charged)
    }

    /// Changes a channel, and counts what it holds then.
    pub(super) fn change_channel<T>(
        &mut self,
        key: ChannelKey,
        change: impl FnOnce(&mut Channel) -> T,
    ) -> Option<T> {
        let channel = self.channels.get_mut(key)?;
        self.memory -= channel.held();
        let outcome = change(channel);
        self.memory += channel.held();
        Some(outcome)
    }

    // --- where memory is short

    /// Drops all rendered blocks; they are rendered again for who needs them.
    pub fn shed_blocks(&mut self) {
        let keys: Vec<ChannelKey> = self.channels.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.change_channel(key, |channel| channel.blocks.clear());
        }
    }

    /// The channel whose log holds most, how many bytes these are, and who must go so that half of
    /// it can be dropped.
    pub fn holders_of_longest_log(&self) -> Option<(ChannelKey, usize, Vec<PeerId>)> {
        let (key, channel) = self.channels.iter().max_by_key(|(_, channel)| channel.log.len())?;
        let cut = channel.log.start() + channel.log.len() as u64 / 2;
        let holds = |id: &PeerId| {
            self.readers.get(*id).is_some_and(|reader| {
                reader.cursor < cut && reader.cursor < reader.target(channel) && reader.is_blocked
            })
        };
        let holders = channel.behind.iter().copied().filter(holds).collect();
        Some((key, channel.log.len(), holders))
    }

    /// Gives back the memory of what nobody needs of a log. Whether that is done: where a pass is
    /// under way or due, its end does it, for others than those behind need the log until then.
    pub fn shed_log(&mut self, key: ChannelKey) -> bool {
        let idle = self.channels.get(key).filter(|channel| channel.state == State::Idle);
        let Some(channel) = idle else { return false };
        let readers = channel.behind.iter().filter_map(|&id| self.readers.get(id));
        let needy = readers.filter(|reader| reader.cursor < reader.target(channel));
        let least = needy.map(|reader| reader.cursor).fold(channel.log.end(), u64::min);
        self.change_channel(key, |channel| {
            channel.log.trim(least);
            channel.log.release();
        });
        true
    }
}
