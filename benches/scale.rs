//! What a member costs where there are many, without sockets: `cargo bench --bench scale`.
//!
//! Everybody joins one room; one message is delivered to all; all are replaced, in an order that
//! has nothing to do with that in which they came; one more message is delivered; all leave. For
//! ten thousand members and for a million it prints bytes of heap and nanoseconds for each.
//! `benches/scale-instructions` counts instructions.

use std::io::IoSlice;
use std::time::Instant;

use hallway::chat::{Server, Setup};
use hallway::clock::Now;
use hallway::conn::Output;
use hallway::limits::{Limits, WRITE_SLICES_MAX};
use hallway::peer::PeerId;
use testkit::client::{chat, handshake};
use testkit::heap;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// How many members are tried where no number is given.
const MEMBERS: [u32; 2] = [10_000, 1_000_000];

/// Members that join before their answers are written: what an iteration accepts.
const AT_ONCE: u32 = 256;

const NOW: Now = Now { mono_ms: 1, unix_ms: 0, utc_offset_s: 0 };

fn main() {
    // cargo passes --bench.
    let given: Vec<u32> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let all = if given.is_empty() { MEMBERS.to_vec() } else { given };
    for members in all {
        run(members);
    }
}

/// A server in whose lobby nothing but messages is said, and who has which slot.
struct Crowd {
    server: Server,
    ids: Vec<PeerId>,
}

fn run(members: u32) {
    let limits = Limits {
        rate_per_second: 0,
        peers_max: members,
        announce_up_to: 0,
        memory_bytes_max: u32::MAX,
        ..Limits::default()
    };
    let before = heap::held();
    let server = Server::with(Setup { limits, ..Setup::default() });
    let mut crowd = Crowd { server, ids: Vec::with_capacity(members as usize) };
    let own = heap::held() - before;
    let join = timed(|| join_all(&mut crowd, members));
    let bytes = (heap::held() - before - own) / members as usize;
    let deliver = timed(|| deliver_to_all(&mut crowd));
    let replace = timed(|| replace_all(&mut crowd, members));
    let again = timed(|| deliver_to_replaced(&mut crowd));
    let leave = timed(|| leave_all(&mut crowd));
    let each = |nanos: u128| nanos / u128::from(members);
    println!(
        "{members:>9} members: {bytes} bytes each; join {} ns, delivery {} ns, replacement {} ns, \
         delivery after it {} ns, leave {} ns",
        each(join),
        each(deliver),
        each(replace),
        each(again),
        each(leave)
    );
}

fn timed(act: impl FnOnce()) -> u128 {
    let start = Instant::now();
    act();
    start.elapsed().as_nanos()
}

#[inline(never)]
fn join_all(crowd: &mut Crowd, members: u32) {
    for slot in 0..members {
        let id = crowd.join(slot);
        crowd.ids.push(id);
        if slot % AT_ONCE == 0 {
            crowd.flush();
        }
    }
    crowd.flush();
}

#[inline(never)]
fn deliver_to_all(crowd: &mut Crowd) {
    crowd.say("Hello, everybody!");
}

/// Nearly the same: a compiler makes one function of two that are the same, and then its
/// instructions cannot be told apart.
#[inline(never)]
fn deliver_to_replaced(crowd: &mut Crowd) {
    crowd.say("Hello, everyone!");
}

#[inline(never)]
fn replace_all(crowd: &mut Crowd, members: u32) {
    // A step that shares no factor with the number of members comes to each of them once.
    let step = (members / 3 * 2 + 1) | 1;
    let mut slot = 0;
    for count in 0..members {
        slot = (slot + step) % members;
        crowd.server.handle_closed(crowd.ids[slot as usize], NOW);
        crowd.ids[slot as usize] = crowd.join(slot);
        if count % AT_ONCE == 0 {
            crowd.flush();
        }
    }
    crowd.flush();
}

#[inline(never)]
fn leave_all(crowd: &mut Crowd) {
    for id in std::mem::take(&mut crowd.ids) {
        crowd.server.handle_closed(id, NOW);
    }
    crowd.flush();
}

impl Crowd {
    fn join(&mut self, slot: u32) -> PeerId {
        let id = self.server.accept(slot, None, NOW).expect("there is a slot");
        let mut request = handshake("username=somebody", "").into_bytes();
        let taken = self.server.handle_input(id, &mut request, NOW);
        assert_eq!(taken, request.len(), "the gate is open");
        id
    }

    fn say(&mut self, text: &str) {
        let mut message = chat(text);
        self.server.handle_input(self.ids[0], &mut message, NOW);
        self.flush();
    }

    /// Writes everything to sockets that take everything.
    fn flush(&mut self) {
        while let Some(output) = self.server.poll_output(NOW) {
            if let Output::Transmit(id) = output {
                let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
                let count = self.server.transmit(id, &mut slices);
                let len = slices[..count].iter().map(|slice| slice.len()).sum();
                self.server.handle_sent(id, len);
            }
        }
    }
}
