//! One room: what it remembers, and the channels by which its members are told.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;

use super::History;
use crate::envelope::Version;
use crate::outbound::{ChannelKey, Outbound};

/// Where a client wants to go on, as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Resume<'r> {
    /// The id of the last record that it has seen.
    pub since: &'r str,
    /// The epoch of that id.
    pub epoch: &'r str,
}

/// Bytes of memory of a room without its name and its history: itself, its entries in lists of
/// rooms, and its channels.
const ROOM_BYTES: usize = 1024;

/// A room. Rooms are made when somebody joins, and dropped when nobody is in them and they have
/// nothing to remember.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: Rc<str>,
    /// The process that has made it, and which of its rooms it is.
    pub(super) made: (u64, u64),
    pub(super) history: History,
    /// The channel of each version, by [`Version::index`]; its readers are the members. It may be
    /// gone, and is then opened anew.
    pub(super) channels: [Option<ChannelKey>; Version::ALL.len()],
    /// Whether the number of members is still to be told to a version.
    pub(super) owes_count: [bool; Version::ALL.len()],
    /// Names of those who have left while the gate was closed, to be told when it opens. They
    /// still count.
    pub(super) departed: VecDeque<Rc<str>>,
    /// When the last member left, by the monotonic clock.
    pub(super) empty_since_ms: u64,
    /// Who has made it: an address, `None` for a Unix socket.
    pub(super) maker: Option<IpAddr>,
}

impl Room {
    pub(super) fn new(
        name: Rc<str>,
        made: (u64, u64),
        records_max: usize,
        maker: Option<IpAddr>,
    ) -> Self {
        Self {
            name,
            made,
            history: History::new(records_max),
            channels: Default::default(),
            owes_count: Default::default(),
            departed: VecDeque::new(),
            empty_since_ms: 0,
            maker,
        }
    }

    /// Bytes of memory that it owns.
    pub(super) fn held(&self) -> usize {
        ROOM_BYTES + self.name.len() + self.history.held()
    }

    /// Ids are compared only within one epoch; no two rooms ever have the same.
    pub(super) fn epoch(&self) -> String {
        let (process, number) = self.made;
        format!("{process:x}-{number}")
    }

    /// The version whose channel this is.
    pub(super) fn version_of(&self, key: ChannelKey) -> Option<Version> {
        Version::ALL.into_iter().find(|version| self.channels[version.index()] == Some(key))
    }

    /// The channels that have been opened, though one may be gone by now.
    pub(super) fn open_channels(&self) -> impl Iterator<Item = (Version, ChannelKey)> + use<> {
        let channels = self.channels;
        let all = Version::ALL.into_iter();
        all.filter_map(move |version| Some((version, channels[version.index()]?)))
    }

    /// Whether somebody reads one of its channels, or is still to be sent what one of them holds.
    pub(super) fn has_channel(&self, outbound: &Outbound) -> bool {
        self.channels.iter().flatten().any(|&key| outbound.is_open(key))
    }

    /// Notes that the members of a version are to be told how many there are.
    pub(super) fn owe_count(&mut self, outbound: &mut Outbound, version: Version) {
        if let Some(key) = self.channels[version.index()]
            && !outbound.readers(key).is_empty()
        {
            self.owes_count[version.index()] = true;
            outbound.owe(key);
        }
    }

    /// How many are here.
    pub(super) fn members(&self, outbound: &Outbound) -> usize {
        self.channels.iter().flatten().map(|&key| outbound.readers(key).len()).sum()
    }

    /// How many are here, as far as the members have been told or are told next.
    pub(super) fn told_members(&self, outbound: &Outbound) -> usize {
        self.members(outbound) + self.departed.len()
    }

    /// The channel whose pass must be over before more is said, if there is one.
    pub(super) fn gate(&self, outbound: &Outbound) -> Option<ChannelKey> {
        self.channels.iter().flatten().copied().find(|&key| outbound.is_gated(key))
    }

    /// Whether so much is being said that nobody would miss what is optional.
    pub(super) fn is_busy(&self, outbound: &Outbound) -> bool {
        self.channels.iter().flatten().any(|&key| outbound.is_busy(key))
    }

    /// The first record that a member is still to be sent.
    pub(super) fn replayed_from(&self, outbound: &Outbound) -> Option<u64> {
        self.channels.iter().flatten().filter_map(|&key| outbound.replayed_from(key)).min()
    }

    /// The ids that a newcomer is sent, and whether nothing is missing of what it asked for.
    /// Whatever is no id of this epoch counts as none.
    pub(super) fn resume(&self, resume: Option<Resume<'_>>) -> (RangeInclusive<u64>, bool) {
        let Some(Resume { since, epoch }) = resume else { return (self.history.all(), true) };
        let is_number = since.bytes().all(|byte| byte.is_ascii_digit());
        let id: Option<u64> = since.parse().ok().filter(|_| is_number && epoch == self.epoch());
        match id.and_then(|id| self.history.since(id)) {
            Some(ids) => (ids, true),
            None => (self.history.all(), false),
        }
    }
}
