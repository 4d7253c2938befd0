//! The simulator: the whole server but its sockets and its clock, with dozens or hundreds of
//! virtual clients of different temper, a network that cuts, delays and loses, and time that
//! jumps. A shadow model (sim/model.rs) says what must hold, and is asked after every step.
//!
//! 256 seeds are a test. As many as one likes, or one, with all that it does:
//!
//!     HALLWAY_SIM_SEEDS=10000 cargo test --release --test sim -- --nocapture
//!     HALLWAY_SIM_SEED=17 cargo test --test sim -- --nocapture
//!
//! A seed that fails prints the shortest list of actions that was found to fail like it.
//! `fuzz/planted/run` shows that the seeds find bugs which are there.

#[path = "sim/action.rs"]
mod action;
#[path = "sim/client.rs"]
mod client;
#[path = "common/heap.rs"]
mod heap;
#[path = "sim/model.rs"]
mod model;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/world.rs"]
mod world;

use std::env;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::time::Instant;

use action::Action;
use random::Random;
use world::World;

/// Seeds that are tried where nothing else is asked for.
const SEEDS: u64 = 256;

/// Actions for each client of a run.
const ACTIONS_PER_CLIENT: usize = 25;

/// One seed in so many has a crowd instead of two dozen clients.
const CROWD_EVERY: u64 = 32;

/// What a seed stands for.
struct Run {
    seed: u64,
    clients: usize,
    actions: Vec<Action>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let clients = if seed % CROWD_EVERY == CROWD_EVERY - 1 { 300 } else { 24 };
        let mut random = Random::new(!seed);
        let count = clients * ACTIONS_PER_CLIENT;
        let actions = (0..count).map(|_| Action::random(&mut random, clients)).collect();
        Self { seed, clients, actions }
    }

    fn go(&self) {
        let mut world = World::new(self.seed, self.clients);
        self.actions.iter().for_each(|&action| world.act(action));
        world.settle();
        if self.seed.is_multiple_of(2) {
            world.drain();
        }
        world.leave_all();
    }

    fn fails(&self) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.go())).is_err()
    }

    /// Leaves out what is not needed to fail: large pieces first, single actions last.
    fn shorten(&mut self) {
        let mut piece = self.actions.len() / 2;
        while piece > 0 {
            let mut at = 0;
            while at < self.actions.len() {
                let end = (at + piece).min(self.actions.len());
                let left_out: Vec<Action> = self.actions.drain(at..end).collect();
                if !self.fails() {
                    self.actions.splice(at..at, left_out);
                    at += piece;
                }
            }
            piece /= 2;
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is not a number")))
}

fn seeds() -> Range<u64> {
    match number("HALLWAY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HALLWAY_SIM_SEEDS").unwrap_or(SEEDS),
    }
}

/// The first seed that fails; the panics on the way are not worth a line.
fn first_failure(seeds: Range<u64>) -> Option<Run> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let mut failed = seeds.map(Run::new).find(Run::fails);
    if let Some(run) = &mut failed {
        run.shorten();
    }
    set_hook(hook);
    failed
}

#[test]
fn the_model_holds_whatever_happens() {
    let started = Instant::now();
    let seeds = seeds();
    let count = seeds.end - seeds.start;
    let Some(run) = first_failure(seeds) else {
        let seconds = started.elapsed().as_secs_f64();
        return println!("{count} seeds, {:.0} a second", count as f64 / seconds);
    };
    for Action { kind, who, how } in &run.actions {
        println!("{kind:?} of {who}, {how:#018x}");
    }
    println!("{} actions of seed {}: HALLWAY_SIM_SEED={}", run.actions.len(), run.seed, run.seed);
    run.go();
}
