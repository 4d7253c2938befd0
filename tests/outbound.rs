//! The send side alone: random sockets, joins, leaves and dismissals against a model that knows
//! to the byte what each reader must be sent; and one short test for each of what was got wrong
//! at first.
//!
//!     OUTBOUND_SEEDS=100000 cargo test --release --test outbound model
//!     OUTBOUND_SEED=17 cargo test --test outbound model

#[path = "outbound/peer.rs"]
mod peer;
#[path = "outbound/random.rs"]
mod random;
#[path = "outbound/script.rs"]
mod script;
#[path = "outbound/world.rs"]
mod world;

use std::env;

use hallway::limits::Limits;
use hallway::outbound::{Counted, Depth, Frames, Kind, Next, Owner, Thresholds};
use hallway::peer::PeerId;
use testkit::heap;

use random::Random;
use script::{NOTHING, Script, bytes};
use world::{Tried, World};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// Seeds that are tried where nothing else is asked for.
const SEEDS: u64 = 2_000;

/// So small that a few steps cross each of them.
const TINY: Thresholds = Thresholds {
    crowd: 3,
    news_ms: 20,
    quantum_readers: 2,
    quantum_bytes: 60,
    unicasts: 2,
    replay_bytes: 40,
};

/// Says which seed has failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with OUTBOUND_SEED={}", self.0);
        }
    }
}

fn limits(queue_frames_max: u32, queue_bytes_max: u32) -> Limits {
    Limits { queue_frames_max, queue_bytes_max, ..Limits::default() }
}

fn run(seed: u64) -> Tried {
    let seed = Seed(seed);
    let mut random = Random::new(seed.0 ^ 0x5eed);
    let mut world = match random.below(8) {
        0 => World::new(seed.0, &Limits::default(), Thresholds::default()),
        1 => World::new(seed.0, &limits(8, 400), Thresholds { crowd: 1_000, ..TINY }),
        _ => World::new(seed.0, &limits(8, 400), TINY),
    };
    for _ in 0..200 {
        world.step();
        world.check();
    }
    world.finish();
    world.tried
}

#[test]
fn everybody_is_sent_what_the_model_says() {
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    if let Some(seed) = number("OUTBOUND_SEED") {
        run(seed);
        return;
    }
    let seeds = number("OUTBOUND_SEEDS").unwrap_or(SEEDS);
    let all: Vec<Tried> = (0..seeds).map(run).collect();
    let times = |of: fn(&Tried) -> usize| all.iter().map(of).sum::<usize>();
    let tried = [
        ("dismissed", times(|tried| tried.dismissed)),
        ("too slow", times(|tried| tried.too_slow)),
        ("gated", times(|tried| tried.gated)),
        ("parked", times(|tried| tried.parked)),
        ("deferred", times(|tried| tried.deferred)),
        ("held", times(|tried| tried.held)),
        ("echoes", times(|tried| tried.echoes)),
        ("replays", times(|tried| tried.replays)),
        ("rendered", times(|tried| tried.rendered)),
        ("evicted", times(|tried| tried.evicted)),
    ];
    let least = usize::try_from(seeds / 5).expect("not so many");
    assert!(tried.iter().all(|&(_, times)| times >= least), "the seeds reach all: {tried:?}");
}

fn tiny() -> Script {
    Script::new(&limits(8, 400), TINY)
}

fn default() -> Script {
    Script::new(&Limits::default(), Thresholds::default())
}

// --- what was got wrong at first

#[test]
fn a_log_is_never_trimmed_in_the_middle_of_a_frame() {
    let mut script = default();
    let (key, ids) = script.room(2);
    script.text(key, "<first.....>");
    script.write(ids[1], 9);
    script.out.set_blocked(ids[1], true);
    script.rest(&[]);
    // More than half of the log could go.
    script.text(key, "<2>");
    script.rest(&[]);
    script.out.pong(ids[1], bytes("<pong>"));
    script.out.set_blocked(ids[1], false);
    script.rest(&[]);
    assert_eq!(script.take_written(ids[1]), "..><pong><2>");
}

#[test]
fn who_was_blocked_while_it_had_all_keeps_its_place() {
    let mut script = default();
    let (key, ids) = script.room(3);
    script.text(key, "<1>");
    for &id in ids.iter().rev() {
        script.write(id, None);
    }
    script.out.set_blocked(ids[2], true);
    script.rest(&[]);
    script.text(key, "<2>");
    script.rest(&[]);
    script.text(key, "<3>");
    script.rest(&[]);
    script.out.set_blocked(ids[2], false);
    script.rest(&[]);
    assert_eq!(script.take_written(ids[2]), "<2><3>");
}

#[test]
fn who_is_unblocked_and_not_yet_written_to_keeps_its_place() {
    let mut script = default();
    let (key, ids) = script.room(3);
    script.text(key, "<1>");
    script.out.set_blocked(ids[2], true);
    // It is looked at, blocked, before the others; then its socket takes bytes again.
    script.write(ids[1], None);
    script.out.set_blocked(ids[2], false);
    script.text(key, "<2>");
    let mut written = String::new();
    while let Some(next) = script.next() {
        let Next::Write(id) = next else { panic!("{next:?}") };
        // It has its turn when the pass is over, and the log was trimmed.
        let pending = script.pending(id);
        if id == ids[2] {
            written.push_str(&pending);
        }
        script.out.handle_sent(id, pending.len());
    }
    assert_eq!(written, "<1><2>");
}

#[test]
fn a_channel_that_never_falls_silent_is_trimmed_and_judged() {
    let mut script = Script::new(&limits(64, 16 * 1024), Thresholds::default());
    let (key, ids) = script.room(100);
    let stuck = ids[7];
    let frame = "x".repeat(200);
    let (before, mut most, mut said, mut dismissed) = (heap::held(), 0, 0, 0);
    for _ in 0..300 {
        while !script.out.is_gated(key) {
            script.text(key, &frame);
            said += 1;
        }
        // Fewer than there are readers: the pass ends with more to say.
        for _ in 0..60 {
            match script.out.poll(0) {
                Some(Next::Write(id)) if id == stuck => script.out.set_blocked(id, true),
                Some(Next::Write(id)) => {
                    let len = script.pending(id).len();
                    script.out.handle_sent(id, len);
                }
                Some(Next::TooSlow(id)) => {
                    assert_eq!(id, stuck);
                    script.out.dismiss(id, bytes("<close>"));
                    dismissed += 1;
                }
                Some(Next::Channel(..)) => {}
                Some(next) => panic!("{next:?}"),
                None => break,
            }
        }
        most = most.max(heap::held().saturating_sub(before));
    }
    assert!(said > 2_000 && dismissed == 1, "{said} said, {dismissed} dismissed");
    assert!(most < 80 * 1024, "{most} bytes are held");
}

#[test]
fn what_is_said_after_somebody_left_is_no_lag_of_the_leaver() {
    let mut script = tiny();
    let (key, ids) = script.room(2);
    script.text(key, "<1>");
    script.rest(&[ids[1]]);
    script.out.finish(ids[1], Some(bytes("<close>")));
    for _ in 0..8 {
        script.text(key, "<after>");
        script.rest(&[ids[1]]);
    }
    assert_eq!(script.told, [], "it is not too slow");
    assert_eq!(script.out.depth().max, Counted { frames: 1, bytes: 3 });
    script.out.set_blocked(ids[1], false);
    script.writes.clear();
    script.rest(&[]);
    assert_eq!(script.writes, [(ids[1], "<1><close>".to_owned())]);
    assert_eq!(script.told, [Next::Finished(ids[1])]);
}

#[test]
fn who_has_left_and_takes_nothing_has_one_queue_kept_for_it() {
    let mut script = tiny();
    let (key, ids) = script.room(2);
    script.text(key, "<1>");
    script.rest(&[ids[1]]);
    script.out.finish(ids[1], Some(bytes("<close>")));
    for _ in 0..9 {
        script.text(key, "<after>");
        script.rest(&[ids[1]]);
    }
    assert_eq!(script.told, [Next::TooSlow(ids[1])]);
}

#[test]
fn a_leaver_that_has_all_keeps_nothing() {
    let mut script = default();
    let (key, ids) = script.room(2);
    script.text(key, "<1>");
    script.rest(&[]);
    script.out.set_blocked(ids[1], true);
    script.out.finish(ids[1], Some(bytes("<close>")));
    let before = heap::held();
    for _ in 0..200 {
        script.text(key, &"x".repeat(1_000));
        script.rest(&[]);
        script.writes = Vec::new();
    }
    assert!(heap::held() <= before + 1_000, "{} bytes", heap::held() - before);
    script.out.close(ids[0]);
    assert!(!script.out.is_open(key), "nor the channel");
}

#[test]
fn no_boundary_is_asked_for_where_the_log_has_none() {
    let mut script = default();
    let (key, ids) = script.room(2);
    script.text(key, "<1>");
    script.rest(&[]);
    script.out.ping(ids[0], bytes("<ping>"));
    assert_eq!(script.write(ids[0], None), "<ping>", "of an empty log");
    script.out.dismiss(ids[0], bytes("<close>"));
    assert_eq!(script.write(ids[0], None), "<close>");
}

#[test]
fn who_leaves_while_it_replays_needs_no_more_of_the_log() {
    for is_dismissed in [false, true] {
        let mut script = default();
        script.records = vec![(1, b"<past.....>".to_vec())];
        let (key, _) = script.room(1);
        script.text(key, "<before>");
        let id = script.open();
        script.out.attach(id, key, 1..=1);
        script.write(id, 4);
        script.out.set_blocked(id, true);
        match is_dismissed {
            false => script.out.finish(id, Some(bytes("<close>"))),
            true => script.out.dismiss(id, bytes("<close>")),
        }
        let before = heap::held();
        for _ in 0..50 {
            script.text(key, &"x".repeat(1_000));
            script.rest(&[]);
            script.writes.clear();
        }
        let more = heap::held().saturating_sub(before);
        assert!(more < 5_000, "{more} bytes are kept for it");
        script.out.set_blocked(id, false);
        script.rest(&[]);
        assert_eq!(script.take_written(id), "t.....><close>", "dismissed: {is_dismissed}");
    }
}

// --- the order of what is written

#[test]
fn a_join_is_one_write() {
    let mut script = default();
    script.records = (1..=20).map(|id| (id, format!("<{id}>").into_bytes())).collect();
    let (key, _) = script.room(1);
    let id = script.open();
    script.out.attach(id, key, 15..=20);
    script.text(key, "<joined>");
    script.out.begin(id, bytes("<101><welcome>"));
    script.out.pong(id, bytes("<pong>"));
    script.out.tell(id, bytes("<own>"), 0);
    script.text(key, "<live>");
    script.rest(&[]);
    let written: Vec<_> = script.writes.iter().filter(|(to, _)| *to == id).collect();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].1, "<101><welcome><pong><15><16><17><18><19><20><joined><own><live>");
    assert_eq!(script.rendered, 2, "one block after the other, before the write");
}

#[test]
fn control_frames_come_between_two_frames() {
    let log = |script: &mut Script, key, id| {
        script.text(key, "<one><two>");
        script.text(key, "<3>");
        script.out.attach(id, key, NOTHING);
        script.text(key, "<four>");
        script.text(key, "<5>");
        "<four><5>"
    };
    let replay = |script: &mut Script, key, id| {
        script.out.attach(id, key, 1..=9);
        script.text(key, "<live>");
        "<past1><past7><past9><live>"
    };
    let begun = |script: &mut Script, key, id| {
        script.out.attach(id, key, 9..=9);
        script.out.begin(id, bytes("<101>"));
        "<101><past9>"
    };
    let unicast = |script: &mut Script, key, id| {
        script.out.attach(id, key, NOTHING);
        script.text(key, "<a>");
        script.out.tell(id, bytes("<own>"), 3);
        script.text(key, "<b>");
        "<own><b>"
    };
    type Scene = fn(&mut Script, hallway::outbound::ChannelKey, PeerId) -> &'static str;
    let scenes: [Scene; 4] = [log, replay, begun, unicast];
    for (scene, cut) in scenes.into_iter().flat_map(|scene| (0..27).map(move |cut| (scene, cut))) {
        let mut script = default();
        script.records =
            [1, 7, 9].iter().map(|&id| (id, format!("<past{id}>").into_bytes())).collect();
        let (key, _) = script.room(1);
        let id = script.open();
        let wanted = scene(&mut script, key, id);
        if cut >= wanted.len() {
            continue;
        }
        while script.next() != Some(Next::Write(id)) {}
        let (mut sent, mut left) = (String::new(), cut);
        while left > 0 {
            let mut part = script.pending(id);
            part.truncate(left);
            script.out.handle_sent(id, part.len());
            left -= part.len();
            sent += &part;
            if left > 0 {
                while script.next() != Some(Next::Write(id)) {}
            }
        }
        script.out.pong(id, bytes("<old>"));
        script.out.pong(id, bytes("<pong>"));
        script.out.ping(id, bytes("<ping>"));
        script.rest(&[]);
        // A boundary is where a frame begins, and what is begun comes first.
        let first_of_all = if wanted.starts_with("<101>") { 5 } else { 0 };
        let from = cut.max(first_of_all);
        let at = wanted[from..].find('<').map_or(wanted.len(), |len| from + len);
        let expected = format!("{}<ping><pong>{}", &wanted[..at], &wanted[at..]);
        assert_eq!(sent + &script.take_written(id), expected, "cut at {cut}");
    }
}

#[test]
fn nothing_follows_the_close() {
    for is_dismissed in [false, true] {
        let mut script = default();
        let (key, ids) = script.room(2);
        script.text(key, "<1>");
        script.out.tell(ids[1], bytes("<own>"), 0);
        match is_dismissed {
            false => script.out.finish(ids[1], Some(bytes("<close>"))),
            true => script.out.dismiss(ids[1], bytes("<close>")),
        }
        script.out.ping(ids[1], bytes("<ping>"));
        script.out.pong(ids[1], bytes("<pong>"));
        script.out.tell(ids[1], bytes("<more>"), 0);
        script.out.finish(ids[1], Some(bytes("<again>")));
        script.text(key, "<2>");
        script.rest(&[]);
        let wanted = if is_dismissed { "<close>" } else { "<1><own><close>" };
        assert_eq!(script.take_written(ids[1]), wanted);
        assert_eq!(script.told, [Next::Finished(ids[1])]);
        assert_eq!(script.out.readers(key), [ids[0]]);
    }
}

#[test]
fn a_stale_id_or_key_finds_nothing() {
    let mut script = default();
    let (key, ids) = script.room(1);
    script.text(key, "<1>");
    script.rest(&[]);
    script.out.close(ids[0]);
    assert!(!script.out.is_open(key), "nobody reads it");
    let next = PeerId::new(0, 99);
    script.out.open(next);
    let new = script.out.open_channel(0);
    script.out.attach(next, new, NOTHING);
    script.out.ping(ids[0], bytes("<ping>"));
    script.out.tell(ids[0], bytes("<own>"), 0);
    script.out.finish(ids[0], Some(bytes("<close>")));
    script.out.close(ids[0]);
    script.text(key, "<2>");
    script.out.owe(key);
    script.out.park(next, key, false);
    assert_eq!(script.next(), Some(Next::Woken(next)), "there is no gate");
    assert_eq!(script.next(), None);
    assert_eq!((script.out.readers(key), script.out.readers(new)), (&[][..], &[next][..]));
    assert!(key != new && !script.out.is_finished(next));
}

#[test]
fn what_is_said_where_nobody_reads_is_not_kept() {
    let mut script = default();
    let key = script.out.open_channel(0);
    script.text(key, "<1>");
    assert_eq!(script.out.poll(0), None);
    let id = script.join(key);
    script.text(key, "<2>");
    assert_eq!(script.write(id, None), "<2>");
}

#[test]
fn nobody_loses_a_byte_of_a_frame_when_it_is_dismissed() {
    let mut script = default();
    let (key, ids) = script.room(1);
    script.text(key, "<first>");
    script.text(key, "<second>");
    script.write(ids[0], 3);
    script.out.dismiss(ids[0], bytes("<close>"));
    assert_eq!(script.out.frames(), Frames { sent: 1, too_slow: 1, gone: 0 });
    assert_eq!(script.write(ids[0], None), "rst><close>");
    assert_eq!(script.next(), Some(Next::Finished(ids[0])));
}

// --- who is served, and who lags

#[test]
fn a_room_that_shrinks_while_it_is_written_to_keeps_its_readers() {
    let mut script = default();
    let (lobby, _) = script.room(500);
    let (room, members) = script.room(64);
    script.text(lobby, "<lobby>");
    let fill = |script: &mut Script| {
        while !script.out.is_gated(room) {
            script.text(room, "<message>");
        }
    };
    fill(&mut script);
    for _ in 0..40 {
        let Some(Next::Write(id)) = script.next() else { panic!("there is much to write") };
        let len = script.pending(id).len();
        script.out.handle_sent(id, len);
    }
    script.out.close(members[1]);
    for _ in 0..3 {
        fill(&mut script);
        script.rest(&[]);
    }
    assert_eq!(script.told, [], "nobody is too slow");
    assert_eq!(script.out.frames().too_slow, 0);
    let Frames { sent, gone, .. } = script.out.frames();
    assert_eq!((sent, gone), (500 + 63 * 3 * 128, 128));
}

/// How many writes it takes until a small room is served beside `crowds` of 500, at most.
fn longest_wait(crowds: usize, answer_len: usize) -> usize {
    let thresholds = Thresholds { quantum_bytes: 2_000, ..Thresholds::default() };
    let mut script = Script::new(&Limits::default(), thresholds);
    let crowds: Vec<_> = (0..crowds).map(|_| script.room(500).0).collect();
    let (small, members) = script.room(2);
    let (mut longest, mut served, mut waits_since, mut next_said) = (0, 0, None, 400);
    for write in 0..4_000 {
        if write % 300 == 0 {
            crowds.iter().for_each(|&key| script.text(key, "<crowd>"));
        }
        // Not before every crowd has had a quantum: they were just listed as well.
        if write >= next_said && waits_since.is_none() {
            // At any time within a quantum.
            next_said = write + 35 + write % 31;
            script.text(small, "<small>");
            waits_since = Some(write);
        }
        if answer_len > 0 {
            let id = script.open();
            script.out.begin(id, "x".repeat(answer_len).into_bytes().into());
        }
        let mut next = script.out.poll(0);
        while let Some(Next::Channel(..)) = next {
            next = script.out.poll(0);
        }
        let Some(Next::Write(id)) = next else { panic!("there is much to write") };
        let len = script.pending(id).len();
        script.out.handle_sent(id, len);
        if id == members[0] {
            longest = longest.max(write - waits_since.take().expect("it was said"));
            served += 1;
        }
    }
    assert!(served > 20, "{served} times");
    longest
}

#[test]
fn a_small_room_waits_for_one_quantum_of_each_crowd_at_most() {
    // And for what is left of the one that is served.
    let most = |crowds: usize| (crowds + 1) * Thresholds::default().quantum_readers;
    for crowds in [1, 2, 5] {
        let longest = longest_wait(crowds, 0);
        assert!(longest <= most(crowds), "{longest} writes beside {crowds} crowds");
    }
    let longest = longest_wait(5, 1_000);
    assert!(longest <= 2 * most(5), "{longest} writes, every other for one reader alone");
    let longest = longest_wait(5, 3_000);
    assert!(longest <= 2 * most(5), "{longest} writes, every other a long one");
}

#[test]
fn a_crowd_gets_its_quanta_however_many_small_rooms_talk() {
    let mut script = Script::new(&Limits::default(), Thresholds::default());
    let (crowd, members) = script.room(500);
    let rooms: Vec<_> = (0..40).map(|_| script.room(16).0).collect();
    script.text(crowd, "<crowd>");
    let mut told = 0;
    for iteration in 0..100 {
        // As much as an iteration writes, to rooms that were silent for long enough to be idle.
        (0..16).for_each(|at| script.text(rooms[(16 * iteration + at) % rooms.len()], "<small>"));
        let mut writes = 0;
        while writes < 256
            && let Some(next) = script.out.poll(0)
        {
            let Next::Write(id) = next else { continue };
            let len = script.pending(id).len();
            script.out.handle_sent(id, len);
            writes += 1;
            told += usize::from(members.contains(&id));
        }
    }
    assert_eq!(told, 500, "all of the crowd");
}

#[test]
fn a_quantum_ends_by_readers_or_by_bytes() {
    for (quantum_readers, quantum_bytes, turns) in [(2, 10_000, "AABBAABB"), (100, 250, "AAABBBAB")]
    {
        let thresholds = Thresholds { quantum_readers, quantum_bytes, ..Thresholds::default() };
        let mut script = Script::new(&Limits::default(), thresholds);
        let (a, of_a) = script.room(4);
        let (b, _) = script.room(4);
        [a, b].iter().for_each(|&key| script.text(key, &"x".repeat(100)));
        script.rest(&[]);
        let turn = |id| if of_a.contains(id) { 'A' } else { 'B' };
        assert_eq!(script.writes.iter().map(|(id, _)| turn(id)).collect::<String>(), turns);
    }
}

#[test]
fn who_has_something_of_its_own_does_not_wait_for_a_crowd() {
    let mut script = default();
    let (crowd, ids) = script.room(1_000);
    script.text(crowd, "<crowd>");
    script.write(ids[999], None);
    script.out.pong(ids[0], bytes("<pong>"));
    let waits = std::iter::from_fn(|| match script.next() {
        Some(Next::Write(id)) if id != ids[0] => {
            let len = script.pending(id).len();
            script.out.handle_sent(id, len);
            Some(())
        }
        _ => None,
    });
    assert!(waits.count() <= 1, "it is the next but one");
    assert_eq!(script.pending(ids[0]), "<pong><crowd>");
}

#[test]
fn who_takes_bytes_again_is_not_too_slow() {
    let mut script = tiny();
    let (_, ids) = script.room(1);
    script.out.set_blocked(ids[0], true);
    for _ in 0..9 {
        script.out.tell(ids[0], bytes("<own>"), 0);
    }
    script.out.set_blocked(ids[0], false);
    assert_eq!(script.write(ids[0], None), "<own>".repeat(9));
    assert_eq!(script.next(), None);
}

#[test]
fn who_is_blocked_may_lag_by_one_queue() {
    let mut script = tiny();
    let (key, ids) = script.room(2);
    script.out.set_blocked(ids[1], true);
    for said in 1..=9 {
        assert_eq!(script.told, [], "{said} were said");
        script.text(key, "<.>");
        script.rest(&[]);
    }
    assert_eq!(script.told, [Next::TooSlow(ids[1])]);
    assert_eq!(script.out.depth().sum, Counted { frames: 9, bytes: 27 });
    script.out.pong(ids[1], bytes("<pong>"));
    assert_eq!(script.out.poll_timeout(), None, "there is nothing to do for it");
}

#[test]
fn an_echo_counts_once() {
    for ends in [Outcome::Sent, Outcome::Closed, Outcome::Dismissed] {
        let mut script = tiny();
        let (key, ids) = script.room(1);
        script.out.set_blocked(ids[0], true);
        for _ in 0..8 {
            script.text(key, "<text>");
            script.out.tell(ids[0], bytes("<echo>"), 6);
            script.rest(&[]);
        }
        let eight = Counted { frames: 8, bytes: 48 };
        assert_eq!(script.out.depth(), Depth { max: eight, sum: eight });
        assert_eq!(script.told, [], "a queue is not more than full");
        let frames = match ends {
            Outcome::Sent => {
                script.out.set_blocked(ids[0], false);
                script.rest(&[]);
                assert_eq!(script.take_written(ids[0]), "<echo>".repeat(8));
                Frames { sent: 8, ..Frames::default() }
            }
            Outcome::Closed => {
                script.out.close(ids[0]);
                Frames { gone: 8, ..Frames::default() }
            }
            Outcome::Dismissed => {
                script.out.dismiss(ids[0], bytes("<close>"));
                Frames { too_slow: 8, ..Frames::default() }
            }
        };
        assert_eq!(script.out.frames(), frames);
    }
}

/// What becomes of frames.
enum Outcome {
    Sent,
    Closed,
    Dismissed,
}

// --- the gate, and news

#[test]
fn a_gate_closes_at_half_a_queue_and_opens_when_the_pass_is_over() {
    let mut script = tiny();
    let (key, ids) = script.room(1);
    let idle = script.open();
    let states: Vec<_> = (0..4)
        .map(|_| {
            script.text(key, "<.>");
            (script.out.is_busy(key), script.out.is_gated(key))
        })
        .collect();
    assert_eq!(states, [(false, false), (true, false), (true, false), (true, true)]);
    script.out.park(idle, key, false);
    script.out.park(ids[0], key, false);
    script.rest(&[]);
    assert_eq!(script.told, [Next::Woken(idle), Next::Woken(ids[0])]);
    assert!(!script.out.is_gated(key) && !script.out.is_busy(key));
    let (key, _) = script.room(1);
    script.text(key, &"x".repeat(199));
    assert!(!script.out.is_gated(key), "in bytes it is half of 400");
    script.out.append(key, b".", Kind::Optional);
    assert!(script.out.is_gated(key));
}

#[test]
fn a_gate_stays_closed_where_half_a_queue_was_said_during_the_pass() {
    let mut script = tiny();
    let (key, ids) = script.room(2);
    script.text(key, "<.>");
    script.write(ids[1], None);
    for _ in 0..4 {
        script.text(key, "<.>");
    }
    script.out.park(ids[1], key, false);
    script.write(ids[0], None);
    assert_eq!(script.next(), Some(Next::Write(ids[1])), "the next pass, and nobody is woken");
    script.write_rest(ids[1]);
    script.rest(&[]);
    assert_eq!(script.told, [Next::Woken(ids[1])]);
}

#[test]
fn a_crowds_news_are_held_until_their_time_has_come() {
    let mut script = tiny();
    let (key, ids) = script.room(3);
    script.news(key, "<1>");
    script.rest(&[]);
    assert_eq!(script.writes.len(), 3, "the first are not held");
    script.writes.clear();
    script.now_ms += 5;
    script.news(key, "<2>");
    script.rest(&[]);
    assert_eq!((script.writes.len(), script.out.poll_timeout()), (0, Some(1_020)));
    script.now_ms = 1_019;
    script.rest(&[]);
    assert_eq!(script.writes.len(), 0);
    script.now_ms = 1_020;
    script.rest(&[]);
    assert_eq!(script.take_written(ids[0]), "<2>");
    script.writes.clear();
    script.news(key, "<3>");
    script.rest(&[]);
    assert_eq!(script.writes.len(), 0, "held again");
    script.text(key, "<4>");
    script.rest(&[]);
    assert_eq!(script.take_written(ids[0]), "<3><4>", "a message takes them along");
    script.news(key, "<5>");
    script.rest(&[]);
    script.writes.clear();
    script.news(key, "<6>");
    script.rest(&[]);
    assert_eq!(script.take_written(ids[0]), "<5><6>", "a quarter of a queue does not wait");
    script.out.close(ids[2]);
    script.news(key, "<7>");
    script.rest(&[]);
    assert_eq!(script.take_written(ids[0]), "<7>", "two are no crowd");
}

#[test]
fn a_unicast_takes_news_along_that_are_held() {
    let mut script = tiny();
    let (key, ids) = script.room(3);
    script.news(key, "<1>");
    script.rest(&[]);
    script.writes.clear();
    script.news(key, "<2>");
    script.rest(&[]);
    script.out.tell(ids[1], bytes("<own>"), 0);
    script.rest(&[]);
    assert_eq!(script.writes, [(ids[1], "<2><own>".to_owned())]);
}

#[test]
fn who_waits_for_a_small_rooms_pass_is_not_held_with_a_crowds_news() {
    let mut script = tiny();
    let (key, ids) = script.room(2);
    script.news(key, "<1>");
    script.rest(&[]);
    // Another channel is served first, so that this one's pass does not begin yet.
    let (other, _) = script.room(1);
    script.text(other, "<.>");
    script.news(key, "<2>");
    script.out.pong(ids[0], bytes("<pong>"));
    for _ in 0..3 {
        if let Some(Next::Write(id)) = script.out.poll(script.now_ms) {
            let len = script.pending(id).len();
            script.out.handle_sent(id, len);
        }
    }
    script.join(key);
    script.writes.clear();
    script.rest(&[]);
    assert_eq!(script.pending(ids[0]), "", "its Pong is written at once");
}

#[test]
fn an_answer_waits_for_the_pass_of_a_small_room_but_not_of_a_crowd() {
    for (readers, first) in [(2, "<pong><count>"), (3, "<pong>")] {
        let mut script = tiny();
        let (key, ids) = script.room(readers);
        script.out.owe(key);
        script.out.pong(ids[0], bytes("<pong>"));
        let mut written = None;
        while written.is_none() {
            match script.out.poll(0) {
                Some(Next::Channel(_, Owner::PassBegins(_))) => script.news(key, "<count>"),
                Some(Next::Write(id)) if id == ids[0] => written = Some(script.pending(id)),
                Some(Next::Write(id)) => {
                    script.write_rest(id);
                }
                next => panic!("{next:?}"),
            }
        }
        assert_eq!(written.as_deref(), Some(first), "{readers} readers");
    }
}

#[test]
fn what_is_owed_goes_out_with_what_is_said() {
    let mut script = default();
    let (key, ids) = script.room(1);
    script.out.owe(key);
    script.text(key, "<1>");
    script.out.owe(key);
    let begins = Next::Channel(key, Owner::PassBegins(0));
    assert_eq!(script.out.poll(0), Some(begins));
    script.news(key, "<count>");
    assert_eq!(script.write(ids[0], None), "<1><count>");
    assert_eq!(script.out.poll(0), Some(Next::Channel(key, Owner::PassEnded(0))));
    assert_eq!(script.out.poll(0), None, "one pass for all of it");
}

// --- the past

#[test]
fn long_records_are_rendered_in_turn() {
    let mut script = tiny();
    script.records = (0..4).map(|block| (8 * block + 7, vec![b'x'; 500])).collect();
    let (key, _) = script.room(0);
    let ids = [script.open(), script.open(), script.open()];
    for (id, first) in ids.into_iter().zip([0, 8, 16]) {
        script.out.attach(id, key, first..=31);
    }
    script.rest(&[]);
    for (id, records) in ids.into_iter().zip([4, 3, 2]) {
        assert_eq!(script.take_written(id).len(), 500 * records);
    }
}

#[test]
fn who_waits_for_records_gets_as_many_as_one_write_takes() {
    let mut script = tiny();
    script.records = (1..=40).map(|id| (id, b"<..>".to_vec())).collect();
    let (key, _) = script.room(0);
    let id = script.open();
    script.out.attach(id, key, 1..=40);
    assert_eq!(script.write(id, None).len(), 4 * 15, "40 bytes, to the end of their block");
    assert_eq!(script.rendered, 2);
    script.rest(&[]);
    assert_eq!(script.rendered, 6, "each block once");
    assert_eq!(script.take_written(id).len(), 4 * 25);
}

#[test]
fn what_is_rendered_is_shared() {
    let mut script = tiny();
    script.records = (1..=40).map(|id| (id, b"<..>".to_vec())).collect();
    let (key, _) = script.room(0);
    let ids = [script.open(), script.open()];
    script.out.attach(ids[0], key, 1..=40);
    script.out.attach(ids[1], key, 17..=40);
    script.rest(&[]);
    assert_eq!(script.rendered, 6, "each block once, for all of them fit");
}

#[test]
fn where_no_record_exists_there_is_nothing_to_write() {
    for (ids, wanted) in [(1..=3, ""), (1..=30, "<9><20>"), (1..=9, "<9>"), (20..=99, "<20>")] {
        let mut script = tiny();
        script.records = vec![(9, b"<9>".to_vec()), (20, b"<20>".to_vec())];
        let (key, _) = script.room(0);
        let id = script.open();
        script.out.attach(id, key, ids.clone());
        assert_eq!(script.out.replayed_from(key), Some(*ids.start()));
        script.rest(&[]);
        assert_eq!(script.take_written(id), wanted, "{ids:?}");
        assert_eq!(script.out.replayed_from(key), None);
        script.out.finish(id, None);
        assert_eq!(script.next(), Some(Next::Finished(id)));
        let id = script.open();
        script.out.attach(id, key, 1..=3);
        script.out.finish(id, None);
        script.told.clear();
        script.rest(&[]);
        assert_eq!(script.told, [Next::Finished(id)], "found when it is rendered");
    }
}

#[test]
fn records_are_needed_from_the_first_that_somebody_still_replays() {
    let mut script = default();
    script.records = (1..=30).map(|id| (id, b"<..>".to_vec())).collect();
    let (key, _) = script.room(1);
    let ids = [script.open(), script.open()];
    script.out.attach(ids[0], key, 20..=30);
    script.out.attach(ids[1], key, 3..=30);
    assert_eq!(script.out.replayed_from(key), Some(3));
    script.rest(&[ids[0]]);
    script.text(key, "<1>");
    script.rest(&[]);
    assert_eq!(script.out.replayed_from(key), Some(20), "of two, one has all");
    script.out.close(ids[0]);
    assert_eq!(script.out.replayed_from(key), None);
}

#[test]
fn the_rest_of_a_record_is_written_before_a_close() {
    let mut script = default();
    script.records = vec![(9, b"<nine>".to_vec()), (20, b"<20>".to_vec())];
    let (key, _) = script.room(0);
    let id = script.open();
    script.out.attach(id, key, 1..=20);
    script.write(id, 2);
    script.out.dismiss(id, bytes("<close>"));
    script.out.forget_block(key, 9);
    script.rest(&[]);
    assert_eq!(script.take_written(id), "ine><close>");
    assert!(!script.out.is_open(key));
}

// --- memory

#[test]
fn what_is_idle_owns_nothing() {
    let mut script = default();
    script.records = (1..=100).map(|id| (id, vec![b'x'; 1_000])).collect();
    let rooms = [script.room(60), script.room(60), script.room(60)];
    let mut before = 0;
    // The first makes the lists longer that all channels share. In the second nobody is late.
    for (at, (key, ids)) in rooms.iter().enumerate() {
        for _ in 0..100 {
            script.text(*key, &"x".repeat(1_000));
            script.out.park(ids[0], *key, false);
        }
        script.out.pong(ids[3], bytes("<pong>"));
        script.out.tell(ids[4], bytes("<own>"), 0);
        script.rest(if at == 1 { &[] } else { ids });
        ids.iter().for_each(|&id| script.out.set_blocked(id, false));
        script.rest(&[]);
        (script.writes, script.told) = (Vec::new(), Vec::new());
        before = if at == 0 { heap::held() } else { before };
        let more = heap::held().saturating_sub(before);
        assert!(more <= 256, "{more} bytes");
    }
    let key = rooms[0].0;
    // A thousand who replay, and take nothing, share what is rendered.
    let crowd: Vec<PeerId> = (0..1_000).map(|_| script.open()).collect();
    for &id in &crowd {
        script.out.attach(id, key, 1..=100);
    }
    let opened = heap::held();
    script.rest(&crowd);
    assert!(heap::held() <= opened + 500_000, "{} bytes", heap::held() - opened);
}

#[test]
fn lists_give_back_what_a_burst_took() {
    let mut script = Script::new(&Limits::default(), Thresholds { crowd: 2, ..Default::default() });
    let serve = |script: &mut Script| {
        while let Some(next) = script.out.poll(script.now_ms) {
            if let Next::Write(id) = next {
                let len = script.pending(id).len();
                script.out.handle_sent(id, len);
            }
        }
    };
    let (crowd, _) = script.room(2 * Thresholds::default().quantum_readers);
    let (rooms, members): (Vec<_>, Vec<_>) = (0..4_000).map(|_| script.room(2)).unzip();
    serve(&mut script);
    let before = heap::held();
    // One that takes more than a quantum comes first: so the others are listed behind it, once.
    script.text(crowd, "<1>");
    rooms.iter().for_each(|&key| script.text(key, "<1>"));
    for &id in members.iter().flatten() {
        script.out.pong(id, bytes("<pong>"));
        script.out.park(id, crowd, false);
    }
    serve(&mut script);
    // These are held.
    rooms.iter().for_each(|&key| script.news(key, "<2>"));
    serve(&mut script);
    script.now_ms += 1_000;
    serve(&mut script);
    assert_eq!(script.out.depth(), Depth::default(), "all is written");
    let left = heap::held() - before;
    assert!(left <= 24 * 1024, "{left} bytes are left");
}
