//! For tests: whether the parts agree.

use super::channel::{Channel, State};
use super::{ChannelKey, Held, NOWHERE, Outbound};
use crate::peer::PeerId;

impl Outbound {
    /// Panics where lists, cursors and logs do not agree. Work: everything; for tests.
    pub fn check_invariants(&self) {
        let mut held = Held::default();
        self.channels.iter().for_each(|(_, channel)| held += channel.held());
        held.own = self.readers.iter().map(|(_, reader)| reader.charged()).sum();
        assert_eq!(held, self.memory, "what is held is counted");
        for (key, channel) in self.channels.iter() {
            self.check_channel(key, channel);
        }
        for (id, reader) in self.readers.iter() {
            let Some(channel) = self.channels.get(reader.channel) else {
                panic!("{id} reads a channel that is gone");
            };
            let listed = |index: u32, list: &[PeerId]| {
                index == NOWHERE || list.get(index as usize) == Some(&id)
            };
            assert!(listed(reader.index, &channel.readers), "{id} is where it says");
            assert!(listed(reader.behind, &channel.behind), "{id} is behind where it says");
            let is_pinned = reader.cursor >= channel.log.start();
            assert!(
                is_pinned || reader.cursor == reader.target(channel),
                "{id} has lost its place"
            );
            assert!(reader.replay().is_none() || reader.behind != NOWHERE, "{id} replays");
            let is_listed = self.singles.iter().filter(|&&other| other == id).count();
            assert_eq!(is_listed, usize::from(reader.is_listed), "{id} is listed once");
            let is_served =
                reader.is_listed || (reader.index != NOWHERE && channel.state != State::Idle);
            let is_ready = reader.has_pending(channel) && !reader.is_blocked;
            assert!(!is_ready || is_served, "{id} would never be written to");
        }
    }

    fn check_channel(&self, key: ChannelKey, channel: &Channel) {
        let listed = self.fresh.iter().chain(&self.listed).filter(|&&other| other == key).count();
        assert_eq!(listed, usize::from(channel.state == State::Listed), "once, or not at all");
        let held = self.held.iter().filter(|(_, other)| *other == key).count();
        assert_eq!(held, usize::from(matches!(channel.state, State::Held(_))), "the same");
        assert!(
            channel.state != State::Idle || channel.parked.iter().all(Vec::is_empty),
            "nobody waits for ever"
        );
        let is_needed = channel.state != State::Idle || !channel.behind.is_empty();
        assert!(is_needed || channel.log.len() == 0, "an idle channel holds nothing");
        assert!(is_needed || channel.blocks.is_empty(), "nor does it render");
        channel.blocks.check_invariants(self.thresholds.replay_bytes);
    }
}
