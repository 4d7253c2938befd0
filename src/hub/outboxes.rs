//! The outbound halves of all peers, and who is next to be written to.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::rc::Rc;

use super::outbox::{Full, Outbox};
use super::{Column, PeerId, Traffic};
use crate::limits::{CROWD_MEMBERS_MIN, LINE_PEERS_KEPT, Limits};
use crate::wire::frame::Frame;

/// The outbound half of one peer.
#[derive(Debug, Default)]
struct Outbound {
    outbox: Outbox,
    /// The socket takes no more until it says so.
    is_blocked: bool,
    /// In which lines it stands, by [`Line`].
    is_in: [bool; Line::ALL.len()],
    /// Its queue could not take a turn: nothing more goes in or out until it is given up, or ends
    /// for another reason.
    is_lagging: bool,
}

/// Where a peer with something to write waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// For what one peer or a small room is told.
    Short,
    /// For what a crowd is told. The two lines are served by turns, so that nobody waits behind
    /// ten thousand others for a Pong.
    Crowd,
}

impl Line {
    /// Both, by their numbers.
    pub(super) const ALL: [Self; 2] = [Self::Short, Self::Crowd];

    /// The line for what a room of so many is told.
    pub(super) fn of_room(members: usize) -> Self {
        if members < CROWD_MEMBERS_MIN { Self::Short } else { Self::Crowd }
    }

    fn other(self) -> Self {
        match self {
            Self::Short => Self::Crowd,
            Self::Crowd => Self::Short,
        }
    }
}

/// How far readers lag: what counts of their queues, for the slowest and for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Frames in the longest queue.
    pub frames_max: u32,
    /// Frames in all queues.
    pub frames_sum: u64,
    /// Bytes in the largest queue.
    pub bytes_max: u32,
    /// Bytes in all queues; memory that they share is counted for each.
    pub bytes_sum: u64,
}

/// The outbound halves of all peers.
///
/// Invariant: a peer that has something to write, whose socket takes it and who keeps up stands
/// in a line, and nobody stands twice in one.
#[derive(Debug)]
pub struct Outboxes {
    limits: Rc<Limits>,
    all: Column<Outbound>,
    /// Peers with something to write, by [`Line`].
    lines: [VecDeque<PeerId>; Line::ALL.len()],
    /// How many of each line are still to be served of those who stood there when something was
    /// last handed out to it.
    ahead: [usize; Line::ALL.len()],
    /// The line that was served last.
    served: Line,
    /// Peers whose queue could not take a turn.
    laggards: VecDeque<PeerId>,
    traffic: Traffic,
}

impl Outboxes {
    pub(super) fn new(limits: Rc<Limits>) -> Self {
        let (all, lines, ahead, laggards, traffic) = Default::default();
        Self { limits, all, lines, ahead, served: Line::Crowd, laggards, traffic }
    }

    /// Gives a new peer its outbox.
    pub fn open(&mut self, id: PeerId) {
        self.all.insert(id, Outbound::default());
    }

    /// Takes a peer's outbox away, with whatever is in it.
    pub fn close(&mut self, id: PeerId) {
        if let Some(peer) = self.all.remove(id) {
            self.traffic.gone += u64::from(peer.outbox.frames());
        }
    }

    /// Queues an HTTP answer, a Ping, or another frame that counts nothing.
    pub fn push_whole(&mut self, id: PeerId, bytes: Rc<[u8]>) {
        self.change(id, |outbox| outbox.push_whole(bytes));
    }

    /// Queues the replay of a history.
    pub fn push_replay(&mut self, id: PeerId, bytes: Rc<[u8]>) {
        self.change(id, |outbox| outbox.push_replay(bytes));
    }

    /// Sets the Pong to send, in place of one not sent yet.
    pub fn set_pong(&mut self, id: PeerId, pong: Frame) {
        self.change(id, |outbox| outbox.set_pong(pong));
    }

    /// Queues the last bytes, if any; nothing is queued after them. What a laggard has in its
    /// queue still goes out: it is all that there was up to a point.
    pub fn finish(&mut self, id: PeerId, close: Option<Frame>) {
        if let Some(peer) = self.all.get_mut(id) {
            peer.is_lagging = false;
        }
        self.change(id, |outbox| outbox.finish(close));
    }

    /// Gives a laggard up: what it has half received is completed, and `close` is the last.
    pub fn overflow(&mut self, id: PeerId, close: Frame) {
        if let Some(peer) = self.all.get_mut(id) {
            peer.is_lagging = false;
            let queued = peer.outbox.frames();
            let dropped = peer.outbox.overflow(close);
            self.traffic.sent += u64::from(queued - dropped);
            self.traffic.too_slow += u64::from(dropped);
        }
        self.make_ready(id);
    }

    /// Queues one frame for this peer alone; counts like those of its room.
    pub fn push_alone(&mut self, id: PeerId, frame: Frame) {
        let bytes = frame.into_bytes();
        self.push(id, &bytes, 0..bytes.len(), 1, Line::Short);
    }

    /// Queues a part of `bytes` that is `frames` frames, to go out in `line`, or notes that the
    /// peer lags too far for that ([`Outboxes::next_laggard`]).
    pub(super) fn push(
        &mut self,
        id: PeerId,
        bytes: &Rc<[u8]>,
        range: Range<usize>,
        frames: u32,
        line: Line,
    ) {
        let Some(peer) = self.all.get_mut(id) else { return self.note_gone(frames) };
        if peer.outbox.is_finishing() {
            return self.note_gone(frames);
        }
        if peer.is_lagging {
            self.traffic.too_slow += u64::from(frames);
            return;
        }
        match peer.outbox.push(bytes, range, frames, &self.limits) {
            Ok(()) => {
                self.traffic.queued += u64::from(frames);
                line_up(&mut self.lines, line, id, peer);
            }
            Err(Full) => {
                self.traffic.too_slow += u64::from(frames);
                peer.is_lagging = true;
                self.laggards.push_back(id);
            }
        }
    }

    /// The next peer whose queue could not take a turn. The queue is as it was before.
    pub fn next_laggard(&mut self) -> Option<PeerId> {
        self.laggards.pop_front()
    }

    /// The next peer with something to write, from one line and the other by turns; it leaves
    /// that line.
    pub fn next_ready(&mut self) -> Option<PeerId> {
        let other = self.served.other();
        if !self.lines[other as usize].is_empty() {
            self.served = other;
        }
        let next = self.next_in(self.served).or_else(|| self.next_in(self.served.other()));
        if next.is_none() {
            self.lines.iter_mut().for_each(|line| line.shrink_to(LINE_PEERS_KEPT));
        }
        next
    }

    fn next_in(&mut self, line: Line) -> Option<PeerId> {
        while let Some(id) = self.lines[line as usize].pop_front() {
            self.ahead[line as usize] = self.ahead[line as usize].saturating_sub(1);
            if let Some(peer) = self.all.get_mut(id) {
                peer.is_in[line as usize] = false;
                // All of it may have been written when it was its turn in the other line.
                if !peer.is_lagging && !peer.is_blocked && !peer.outbox.is_empty() {
                    return Some(id);
                }
            }
        }
        None
    }

    /// Puts a peer back in line, behind all others, if it has something to write.
    pub fn make_ready(&mut self, id: PeerId) {
        if let Some(peer) = self.all.get_mut(id) {
            line_up(&mut self.lines, Line::Crowd, id, peer);
        }
    }

    /// The bytes to write next to a peer; see [`Outbox::transmit`].
    pub fn transmit<'o>(&'o self, id: PeerId, slices: &mut [IoSlice<'o>]) -> usize {
        self.all.get(id).map_or(0, |peer| peer.outbox.transmit(slices))
    }

    /// `len` more bytes are written to a peer.
    pub fn handle_sent(&mut self, id: PeerId, len: usize) {
        if let Some(peer) = self.all.get_mut(id) {
            self.traffic.sent += u64::from(peer.outbox.handle_sent(len));
        }
    }

    /// The socket takes no more: the peer is in no line until [`Outboxes::handle_writable`].
    pub fn handle_blocked(&mut self, id: PeerId) {
        if let Some(peer) = self.all.get_mut(id) {
            peer.is_blocked = true;
        }
    }

    /// The socket takes more again.
    pub fn handle_writable(&mut self, id: PeerId) {
        if let Some(peer) = self.all.get_mut(id)
            && peer.is_blocked
        {
            peer.is_blocked = false;
            line_up(&mut self.lines, Line::Crowd, id, peer);
        }
    }

    /// A turn has been handed out to a line.
    pub(super) fn note_handed_out(&mut self, line: Line) {
        self.ahead[line as usize] = self.lines[line as usize].len();
    }

    /// Whether all who were handed something out in a line have had it written since, as far as
    /// their sockets took it. Nobody who comes later puts that off.
    pub(super) fn is_served(&self, line: Line) -> bool {
        self.ahead[line as usize] == 0
    }

    /// Whether everything has been written to a peer that ever will be.
    pub fn is_finished(&self, id: PeerId) -> bool {
        self.all.get(id).is_none_or(|peer| peer.outbox.is_finished())
    }

    /// Whether nothing waits to be written to a peer.
    pub(super) fn is_empty(&self, id: PeerId) -> bool {
        self.all.get(id).is_none_or(|peer| peer.outbox.is_empty())
    }

    /// Whether a peer's own answers should go out before it asks for more: a Pong waits that the
    /// next would replace, and the socket has not refused it yet.
    pub fn wants_flush(&self, id: PeerId) -> bool {
        self.all.get(id).is_some_and(|peer| peer.outbox.has_pong() && !peer.is_blocked)
    }

    /// Whether somebody has something to write or is to be given up.
    pub(super) fn has_output(&self) -> bool {
        !(self.lines.iter().all(VecDeque::is_empty) && self.laggards.is_empty())
    }

    /// Members are to be sent so many frames, all together.
    pub fn note_expected(&mut self, frames: u64) {
        self.traffic.expected += frames;
    }

    /// So many frames were for a member that is gone before its turn went out.
    pub(super) fn note_gone(&mut self, frames: u32) {
        self.traffic.gone += u64::from(frames);
    }

    /// So many frames are left out for a member that lags and will not miss them.
    pub(super) fn note_spared(&mut self, frames: u32) {
        self.traffic.spared += u64::from(frames);
    }

    /// What members were to be told, and what became of it.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How far readers lag. Work: a look at every queue.
    pub fn depth(&self) -> Depth {
        let mut depth = Depth::default();
        for (_, Outbound { outbox, .. }) in self.all.iter() {
            let (frames, bytes) = (outbox.frames(), outbox.bytes());
            depth.frames_max = depth.frames_max.max(frames);
            depth.frames_sum += u64::from(frames);
            depth.bytes_max = depth.bytes_max.max(bytes);
            depth.bytes_sum += u64::from(bytes);
        }
        depth
    }

    /// Panics where counts or lines do not agree with the queues. Work: everything; for tests.
    pub(super) fn check_invariants(&self, is_between_turns: bool) {
        let Traffic { expected, queued, sent, .. } = self.traffic;
        let told = sent + self.depth().frames_sum;
        assert!(told <= queued, "what is written or waits was queued");
        let accounted = told + self.traffic.dropped();
        assert!(!is_between_turns || accounted == expected, "{accounted} of {expected} frames");
        for (id, peer) in self.all.iter() {
            peer.outbox.check_invariants(&self.limits);
            assert!(!peer.is_lagging || self.laggards.contains(&id));
            let must_be_ready = !peer.outbox.is_empty() && !peer.is_blocked && !peer.is_lagging;
            assert!(
                !must_be_ready || peer.is_in.contains(&true),
                "peer {id} would never be written to"
            );
            for (line, is_in) in self.lines.iter().zip(peer.is_in) {
                let times = line.iter().filter(|&&other| other == id).count();
                assert_eq!(times, usize::from(is_in));
            }
        }
    }

    fn change(&mut self, id: PeerId, change: impl FnOnce(&mut Outbox)) {
        if let Some(peer) = self.all.get_mut(id) {
            change(&mut peer.outbox);
            line_up(&mut self.lines, Line::Short, id, peer);
        }
    }
}

/// Puts a peer in a line of those that have something to write, if it has.
fn line_up(
    lines: &mut [VecDeque<PeerId>; Line::ALL.len()],
    line: Line,
    id: PeerId,
    peer: &mut Outbound,
) {
    let may = !peer.is_blocked && !peer.is_in[line as usize] && !peer.is_lagging;
    if may && !peer.outbox.is_empty() {
        peer.is_in[line as usize] = true;
        lines[line as usize].push_back(id);
    }
}
