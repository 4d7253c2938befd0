//! The simulator: the whole server but its sockets and its clock, with dozens or hundreds of
//! virtual clients of different temper, a network that cuts, delays and loses, and time that
//! jumps. A shadow model (sim/model.rs) says what must hold, and is asked after every step.
//!
//! 256 seeds are a test. As many as one likes, or one, with all that it does:
//!
//!     SIM_SEEDS=10000 cargo test --release --test sim -- --nocapture
//!     SIM_SEED=17 cargo test --test sim -- --nocapture
//!
//! A seed that fails prints what has failed, and the shortest list of actions that was found to
//! fail in the same place. `fuzz/planted/run` shows that the seeds find bugs which are there.

#[path = "sim/action.rs"]
mod action;
#[path = "sim/client.rs"]
mod client;
#[path = "sim/connection.rs"]
mod connection;
#[path = "sim/ledger.rs"]
mod ledger;
#[path = "sim/model.rs"]
mod model;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/shorten.rs"]
mod shorten;
#[path = "sim/tokens.rs"]
mod tokens;
#[path = "sim/traffic.rs"]
mod traffic;
#[path = "sim/world.rs"]
mod world;
#[path = "sim/written.rs"]
mod written;

use std::cell::{Cell, RefCell};
use std::env;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::time::{Duration, Instant};

use action::Action;
use hallway::conn::Ending;
use hallway::envelope::REJECTION_CODES;
use hallway::outbound::{Frames, Thresholds};
use hallway::{chat, conn};
use ledger::Reached;
use random::Random;
use shorten::shorten;
use world::World;

#[global_allocator]
static ALLOCATOR: testkit::heap::Counting = testkit::heap::Counting;

/// Seeds that are tried where nothing else is asked for.
const SEEDS: usize = 256;

/// Actions for each client of a run.
const ACTIONS_PER_CLIENT: usize = 50;

/// How many clients a seed has: mostly two dozen, now and then a crowd.
const CROWDS: [(u64, usize); 2] = [(32, 300), (8, 80)];
const CLIENTS: usize = 24;

/// How long a failing seed is made shorter.
const SHORTEN_FOR: Duration = Duration::from_secs(60);

thread_local! {
    /// Where the latest panic was, and what it said.
    static PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    /// How many actions the present run has begun.
    static BEGUN: Cell<usize> = const { Cell::new(0) };
}

/// What a seed stands for.
struct Run {
    seed: u64,
    clients: usize,
    actions: Vec<Action>,
}

/// What has happened in a run.
struct Outcome {
    counters: conn::Counters,
    chat: chat::Counters,
    frames: Frames,
    reached: Reached,
    /// Its thresholds are those that operators have.
    is_real: bool,
}

/// How a run ended that failed.
#[derive(Debug)]
struct Failure {
    place: String,
    message: String,
    /// How many actions had begun.
    begun: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let crowd = CROWDS.iter().find(|(every, _)| seed % every == every - 1);
        let clients = crowd.map_or(CLIENTS, |&(_, clients)| clients);
        let mut random = Random::new(!seed);
        let count = clients * ACTIONS_PER_CLIENT;
        let actions = (0..count).map(|_| Action::random(&mut random, clients)).collect();
        Self { seed, clients, actions }
    }

    fn go(&self, actions: &[Action]) -> Outcome {
        let mut world = World::new(self.seed, self.clients);
        for (index, &action) in (1..).zip(actions) {
            BEGUN.set(index);
            world.act(action);
        }
        if self.seed.is_multiple_of(4) {
            // In the middle of the conversation.
            world.drain();
        } else {
            world.settle();
        }
        if self.seed % 4 == 2 {
            world.drain();
        }
        world.leave_all();
        let server = &world.driver.server;
        Outcome {
            counters: *server.counters(),
            chat: *server.chat_counters(),
            frames: server.peers().outbound.frames(),
            reached: world.ledger.reached,
            is_real: world.thresholds.crowd == Thresholds::default().crowd,
        }
    }

    fn try_it(&self, actions: &[Action]) -> Result<Outcome, Failure> {
        catch_unwind(AssertUnwindSafe(|| self.go(actions))).map_err(|_| {
            let (place, message) = PANIC.take().expect("the hook has seen it");
            Failure { place, message, begun: BEGUN.get() }
        })
    }

    /// Leaves out what it does not need to fail in the same place.
    fn shorten(&mut self, failure: &Failure) {
        let mut actions = std::mem::take(&mut self.actions);
        let is_same = |actions: &[Action]| {
            self.try_it(actions).is_err_and(|found| found.place == failure.place)
        };
        // What it had not come to is the least needed.
        if is_same(&actions[..failure.begun]) {
            actions.truncate(failure.begun);
        }
        shorten(&mut actions, Instant::now() + SHORTEN_FOR, is_same);
        self.actions = actions;
    }

    fn print(&self) {
        let clients = world::ordinary(self.seed, self.clients);
        for Action { kind, who, how } in &self.actions {
            let client = &clients[*who];
            let version = if client.is_v2 { 2 } else { 1 };
            let (temper, room) = (client.temper, client.room);
            println!("{kind:?} of {who} ({temper:?}, version {version}, room {room}), {how:#018x}");
        }
        println!("{} actions of seed {}: SIM_SEED={}", self.actions.len(), self.seed, self.seed);
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}

fn seeds() -> Range<u64> {
    match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(SEEDS as u64),
    }
}

/// What has happened in each of the seeds' runs, or the first that fails, made short, and how; the panics
/// on the way are not worth a line.
fn try_all(seeds: Range<u64>) -> Result<Vec<Outcome>, (Run, Failure)> {
    let hook = take_hook();
    set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or_default().to_owned();
        PANIC.set(Some((place, message)));
    }));
    let tried = seeds.map(|seed| {
        let mut run = Run::new(seed);
        run.try_it(&run.actions).map_err(|failure| {
            run.shorten(&failure);
            (run, failure)
        })
    });
    let outcome = tried.collect();
    set_hook(hook);
    outcome
}

/// Fails where something has not happened in any run: what does not happen is not tested.
fn check_reached(runs: &[Outcome]) {
    let mut missing = Vec::new();
    let mut expect = |what: String, of: &dyn Fn(&Outcome) -> u64| {
        if runs.iter().map(of).sum::<u64>() == 0 {
            missing.push(what);
        }
    };
    // The budget of memory has a model of its own: tests/memory.rs.
    for ending in Ending::ALL.into_iter().filter(|&ending| ending != Ending::OverMemory) {
        let of =
            |counters: &conn::Counters| counters.closed.of(ending) + counters.exited.of(ending);
        expect(ending.to_string(), &|run| of(&run.counters));
    }
    for status in [400, 404, 405, 408, 429, 431, 503] {
        expect(status.to_string(), &|run| run.counters.refused.of(status));
    }
    for code in REJECTION_CODES {
        expect(code.to_owned(), &|run| run.chat.rejected.of(code));
    }
    type Times = fn(&Outcome) -> u64;
    let events: [(&str, Times); 17] = [
        ("a server that is full", |run| run.chat.full),
        ("pings", |run| run.counters.pinged),
        ("typing", |run| run.chat.typing),
        ("frames lost to lag", |run| run.frames.too_slow),
        ("frames for who is gone", |run| run.frames.gone),
        ("a handshake at a closed gate", |run| run.reached.parked_joins),
        ("a message at a closed gate", |run| run.reached.parked_texts),
        ("input behind answers of its own", |run| run.reached.deferred),
        ("a message that waits for a token", |run| run.reached.paused),
        ("a message that waits for others of its address", |run| run.reached.paused_by_address),
        ("a join that is too soon for its address", |run| run.reached.refused_joins),
        ("news that are held", |run| run.reached.held),
        ("a replay in pieces", |run| run.reached.replays_in_pieces),
        ("a Close after half a frame", |run| run.reached.closed_in_a_frame),
        ("a member that leaves with its log unread", |run| run.reached.left_behind),
        ("real thresholds", |run| u64::from(run.is_real)),
        ("tiny thresholds", |run| u64::from(!run.is_real)),
    ];
    for (what, of) in events {
        expect(what.to_owned(), &of);
    }
    assert!(missing.is_empty(), "no run came to {missing:?}");
}

#[test]
fn the_model_holds_whatever_happens() {
    let started = Instant::now();
    match try_all(seeds()) {
        Ok(runs) => {
            let seconds = started.elapsed().as_secs_f64();
            println!("{} seeds, {:.0} a second", runs.len(), runs.len() as f64 / seconds);
            if runs.len() >= SEEDS {
                check_reached(&runs);
            }
        }
        Err((run, Failure { place, message, .. })) => {
            run.print();
            println!("{place}: {message}");
            run.go(&run.actions);
        }
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let ends = [(); 2].map(|()| {
        let run = Run::new(5);
        let mut world = World::new(run.seed, run.clients);
        run.actions.iter().for_each(|&action| world.act(action));
        let seen = |client: &client::Client| client.connection.seen.clone();
        let counters = *world.driver.server.counters();
        (counters, world.driver.held, world.clients.iter().map(seen).collect::<Vec<_>>())
    });
    assert_eq!(ends[0], ends[1]);
}
