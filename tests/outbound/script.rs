//! A send side that is led by hand, for the short tests.

use std::io::IoSlice;
use std::rc::Rc;

use hallway::limits::Limits;
use hallway::outbound::{Block, ChannelKey, Kind, Next, Outbound, Thresholds};
use hallway::peer::PeerId;

/// No record of the past.
#[allow(clippy::reversed_empty_ranges)]
pub(crate) const NOTHING: std::ops::RangeInclusive<u64> = 1..=0;

pub(crate) struct Script {
    pub(crate) out: Outbound,
    pub(crate) now_ms: u64,
    opened: u32,
    /// The past of every room, by ids. What is rendered is a block of eight.
    pub(crate) records: Vec<(u64, Vec<u8>)>,
    /// What was written, in this order.
    pub(crate) writes: Vec<(PeerId, String)>,
    /// All else that `poll` has said, but for what an owner is told.
    pub(crate) told: Vec<Next>,
    /// How many blocks have been rendered.
    pub(crate) rendered: usize,
}

impl Script {
    pub(crate) fn new(limits: &Limits, thresholds: Thresholds) -> Self {
        Self {
            out: Outbound::new(limits, thresholds),
            now_ms: 1_000,
            opened: 0,
            records: Vec::new(),
            writes: Vec::new(),
            told: Vec::new(),
            rendered: 0,
        }
    }

    pub(crate) fn open(&mut self) -> PeerId {
        let id = PeerId::new(self.opened, self.opened + 1);
        self.opened += 1;
        self.out.open(id);
        id
    }

    /// A channel, and this many who read it.
    pub(crate) fn room(&mut self, readers: usize) -> (ChannelKey, Vec<PeerId>) {
        let key = self.out.open_channel(0);
        (key, (0..readers).map(|_| self.join(key)).collect())
    }

    pub(crate) fn join(&mut self, key: ChannelKey) -> PeerId {
        let id = self.open();
        self.out.attach(id, key, NOTHING);
        id
    }

    pub(crate) fn text(&mut self, key: ChannelKey, frame: &str) {
        self.out.append(key, frame.as_bytes(), Kind::Text);
    }

    pub(crate) fn news(&mut self, key: ChannelKey, frame: &str) {
        self.out.append(key, frame.as_bytes(), Kind::News);
    }

    /// What would be written to a reader.
    pub(crate) fn pending(&self, id: PeerId) -> String {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = self.out.transmit(id, &mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        String::from_utf8(bytes).expect("tests speak ASCII")
    }

    /// The next thing that is not the owner's, which is done for it.
    pub(crate) fn next(&mut self) -> Option<Next> {
        loop {
            let next = self.out.poll(self.now_ms);
            if !matches!(next, Some(Next::Write(_))) {
                self.out.check_invariants();
            }
            match next {
                Some(Next::Channel(..)) => {}
                Some(Next::Write(id)) => {
                    self.render(id);
                    return next;
                }
                _ => return next,
            }
        }
    }

    fn render(&mut self, id: PeerId) {
        while let Some((key, _, from)) = self.out.missing(id) {
            self.rendered += 1;
            assert!(self.rendered < 100, "it renders for ever");
            let first = from - from % 8;
            let mut block = Block::new(first..first + 8);
            for (id, frame) in self.records.iter().filter(|(id, _)| id / 8 == first / 8) {
                block.push(*id, frame);
            }
            self.out.render(key, block);
        }
    }

    /// Polls until a reader is to be written to, which must be this one, and writes `len` bytes of
    /// what there is, or all.
    pub(crate) fn write(&mut self, id: PeerId, len: impl Into<Option<usize>>) -> String {
        assert_eq!(self.next(), Some(Next::Write(id)));
        self.write_now(id, len.into())
    }

    /// Writes all to a reader that is to be written to.
    pub(crate) fn write_rest(&mut self, id: PeerId) -> String {
        self.write_now(id, None)
    }

    fn write_now(&mut self, id: PeerId, len: Option<usize>) -> String {
        let mut written = self.pending(id);
        written.truncate(len.unwrap_or(written.len()));
        self.out.handle_sent(id, written.len());
        self.out.check_invariants();
        written
    }

    /// Writes all to everybody whose socket is not in `blocked`, until there is nothing to do.
    pub(crate) fn rest(&mut self, blocked: &[PeerId]) {
        while let Some(next) = self.next() {
            match next {
                Next::Write(id) if blocked.contains(&id) => self.out.set_blocked(id, true),
                Next::Write(id) => {
                    let written = self.write_now(id, None);
                    self.writes.push((id, written));
                }
                next => self.told.push(next),
            }
        }
    }

    /// What was written to a reader since this was last asked, in one piece.
    pub(crate) fn take_written(&mut self, id: PeerId) -> String {
        let (of_it, others) = self.writes.drain(..).partition(|(to, _)| *to == id);
        self.writes = others;
        let of_it: Vec<(PeerId, String)> = of_it;
        of_it.into_iter().map(|(_, written)| written).collect()
    }
}

pub(crate) fn bytes(frame: &str) -> Rc<[u8]> {
    frame.as_bytes().into()
}
