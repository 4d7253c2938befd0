//! What one reader must still be sent, to the byte.

use std::collections::VecDeque;
use std::rc::Rc;

use hallway::outbound::{Counted, Frames};

/// What a frame is, as far as it matters to the one who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A handshake, a Ping, a Pong, a Close, or the rest of a frame that counts no more.
    Plain,
    /// A record of the past, by its id.
    Replay(u64),
    /// From the log.
    Live {
        counts: bool,
        is_text: bool,
    },
    Unicast,
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) class: Class,
    pub(crate) bytes: Rc<[u8]>,
    pub(crate) said_ms: u64,
}

impl Item {
    pub(crate) fn plain(bytes: Rc<[u8]>) -> Self {
        Self { class: Class::Plain, bytes, said_ms: 0 }
    }

    /// What it adds to the lag of its reader.
    fn counted(&self) -> Counted {
        let bytes = self.bytes.len() as u64;
        match self.class {
            Class::Live { counts, .. } => Counted { frames: counts.into(), bytes },
            Class::Unicast => Counted { frames: 1, bytes },
            Class::Plain | Class::Replay(_) => Counted::default(),
        }
    }
}

/// One reader, as it must be.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The index of its room.
    pub(crate) room: Option<usize>,
    /// What is written in part, and how much of it. A handshake comes first, so it begins here.
    pub(crate) half: Option<(Item, usize)>,
    pub(crate) ping: Option<Rc<[u8]>>,
    pub(crate) pong: Option<Rc<[u8]>>,
    pub(crate) items: VecDeque<Item>,
    pub(crate) is_blocked: bool,
    /// Its socket never takes anything until the end of the run.
    pub(crate) is_stuck: bool,
    /// The last that it replays does not exist, which is found when it comes to that.
    pub(crate) ends_in_gap: bool,
    pub(crate) has_left: bool,
    /// What was said in its room since.
    pub(crate) said_since: Counted,
    pub(crate) is_deferred: bool,
    /// How often it was deferred, and not woken since.
    pub(crate) defers: usize,
    /// It was beyond its queue when a pass ended.
    pub(crate) must_be_dismissed: bool,
    pub(crate) was_finished: bool,
}

impl Peer {
    /// All that is to be written to it, in this order.
    pub(crate) fn wanted(&self) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some((item, written)) = &self.half {
            all.extend_from_slice(&item.bytes[*written..]);
        }
        self.ping.iter().chain(&self.pong).for_each(|bytes| all.extend_from_slice(bytes));
        self.items.iter().for_each(|item| all.extend_from_slice(&item.bytes));
        all
    }

    /// Whether nothing is to be written to it.
    pub(crate) fn has_all(&self) -> bool {
        !self.has_own() && self.items.is_empty()
    }

    /// Whether it has something that does not come from the log.
    pub(crate) fn has_own(&self) -> bool {
        let is_live = |item: &Item| matches!(item.class, Class::Live { .. });
        self.half.is_some()
            || self.ping.is_some()
            || self.pong.is_some()
            || !self.items.iter().all(is_live)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.has_left && self.has_all()
    }

    /// Those that nobody has begun to write.
    pub(crate) fn unicasts(&self) -> usize {
        self.items.iter().filter(|item| item.class == Class::Unicast).count()
    }

    pub(crate) fn must_write_first(&self, unicasts_max: usize) -> bool {
        (self.pong.is_some() && !self.is_blocked) || self.unicasts() >= unicasts_max
    }

    /// The id of the first record that it must still be sent.
    pub(crate) fn next_replayed(&self) -> Option<u64> {
        // The rest of one that is cut is its own.
        self.items.iter().find_map(|item| match item.class {
            Class::Replay(id) => Some(id),
            _ => None,
        })
    }

    /// How many bytes come after the records before `id`.
    pub(crate) fn len_after(&self, id: u64) -> usize {
        let is_before = |item: &&Item| matches!(item.class, Class::Replay(at) if at < id);
        self.items.iter().skip_while(is_before).map(|item| item.bytes.len()).sum()
    }

    /// How far it lags. A frame of the log counts until it is whole, a unicast until it is begun.
    pub(crate) fn lag(&self) -> Counted {
        let half = self.half.iter().map(|(item, _)| item);
        let half = half.filter(|item| item.class != Class::Unicast);
        half.chain(&self.items).map(Item::counted).fold(Counted::default(), |sum, one| Counted {
            frames: sum.frames + one.frames,
            bytes: sum.bytes + one.bytes,
        })
    }

    /// `len` bytes have been written.
    pub(crate) fn handle_sent(&mut self, mut len: usize, frames: &mut Frames) {
        while len > 0 {
            let (item, written) = self.half.take().unwrap_or_else(|| {
                let control = self.ping.take().or_else(|| self.pong.take()).map(Item::plain);
                let item = control.or_else(|| self.items.pop_front());
                let item = item.expect("no more is written than there is");
                frames.sent += u64::from(item.class == Class::Unicast);
                (item, 0)
            });
            let part = len.min(item.bytes.len() - written);
            len -= part;
            if written + part < item.bytes.len() {
                self.half = Some((item, written + part));
            } else if item.class != Class::Unicast {
                frames.sent += item.counted().frames;
            }
        }
    }

    /// It is given up: what is half written is completed, then `close`.
    pub(crate) fn dismiss(&mut self, close: Rc<[u8]>, frames: &mut Frames) {
        let lag = self.lag().frames;
        let mut completed = 0;
        if let Some((item, _)) = &mut self.half {
            if item.class != Class::Unicast {
                completed = item.counted().frames;
            }
            if !matches!(item.class, Class::Replay(_)) {
                item.class = Class::Plain;
            }
        }
        frames.sent += completed;
        frames.too_slow += lag - completed;
        (self.ping, self.pong, self.items) = (None, None, [Item::plain(close)].into());
        self.has_left = true;
    }
}
