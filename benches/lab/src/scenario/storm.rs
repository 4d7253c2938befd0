//! Everybody comes at once, to a room with a full history, as after a restart of the network.

use super::{Stage, Step, TEXT_BYTES, Usage};
use crate::client::frame::TEXT;
use crate::client::{Finder, Join, Nanos, SECOND, Stamp};
use crate::options::Options;
use crate::report::{Measurement, Unit, histogram};

const ROOM: &str = "harbour";

/// Joins that are started before what has come is looked at.
const JOINS_PER_LOOK: usize = 32;

/// How long it may take.
const PATIENCE: Nanos = 60 * SECOND;

struct Storm {
    joins: usize,
    history: u32,
    bytes: usize,
}

pub fn steps(options: &Options) -> Vec<Box<dyn Step>> {
    let joins = options.joins.unwrap_or(options.pick(2_000, 50));
    vec![Box::new(Storm {
        joins,
        history: options.history,
        bytes: options.bytes.unwrap_or(TEXT_BYTES),
    })]
}

impl Step for Storm {
    fn title(&self) -> String {
        let Self { joins, history, bytes } = self;
        format!("{joins} joins at once onto a history of {history} messages of {bytes} bytes")
    }

    fn slug(&self) -> String {
        self.joins.to_string()
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Measurement, String> {
        self.fill_history(stage)?;
        let usage = Usage::from_now(stage);
        let mut arrivals = Arrivals::new(self, stage);
        let mut started = 0;
        while arrivals.complete < self.joins && stage.load.now() < arrivals.since + PATIENCE {
            let next = self.joins.min(started + JOINS_PER_LOOK);
            (started..next).try_for_each(|index| join(index, stage))?;
            started = next;
            arrivals.look(stage, started < self.joins)?;
        }
        if arrivals.complete < self.joins {
            return Err(format!(
                "only {} of {} had the whole history after a minute",
                arrivals.complete, self.joins
            ));
        }

        let mut measurement = Measurement::default();
        measurement.add("until the last has all", Unit::Nanos, arrivals.latencies.max() as f64);
        measurement.add_latencies("until one has all", arrivals.latencies);
        usage.report(stage, &mut measurement);
        stage.load.settle()?;
        let cpu = usage.server_cpu(stage);
        measurement.add_known("server CPU until all is said", Unit::Nanos, cpu);
        Ok(measurement)
    }
}

impl Storm {
    /// Somebody who stays says as much as is remembered, and hears it.
    fn fill_history(&self, stage: &mut Stage<'_>) -> Result<(), String> {
        let target = &stage.server.target;
        let keeper = |_| ("keeper".to_owned(), ROOM.to_owned());
        let keeper = stage.load.connect_all(target, 1, Join::Usual, keeper)?.start;
        let prototype = target.message("keeper", ROOM, self.bytes);
        let mut frames = Vec::new();
        for sequence in 0..self.history {
            prototype.append(Stamp { lane: 0, sequence }, &mut frames);
        }
        stage.load.send(keeper, &frames);

        let (mut heard, mut finder) = (0, Finder::default());
        let deadline = stage.load.now() + PATIENCE;
        while heard < self.history && stage.load.now() < deadline {
            let turned = stage.load.turn(deadline, &mut |_, frame, _| {
                heard += u32::from(finder.find(frame.payload).is_some());
            });
            turned.map_err(|error| error.to_string())?;
            stage.load.expect_all_alive()?;
        }
        if heard < self.history {
            return Err(format!("of {} messages only {heard} came back", self.history));
        }
        stage.load.settle()
    }
}

fn join(index: usize, stage: &mut Stage<'_>) -> Result<(), String> {
    let (target, name) = (&stage.server.target, format!("sailor{index:05}"));
    let joined = stage.load.connect(target, &name, ROOM, Join::Usual);
    joined.map_err(|error| format!("join {index} could not be started: {error}"))?;
    Ok(())
}

/// Who has how much of the history.
struct Arrivals {
    since: Nanos,
    history: u32,
    /// The number of the first connection of the storm.
    first: usize,
    heard: Vec<u32>,
    finder: Finder,
    complete: usize,
    latencies: hdrhistogram::Histogram<u64>,
}

impl Arrivals {
    fn new(storm: &Storm, stage: &Stage<'_>) -> Self {
        Self {
            since: stage.load.now(),
            history: storm.history,
            first: stage.load.connections(),
            heard: vec![0; storm.joins],
            finder: Finder::default(),
            complete: 0,
            latencies: histogram(),
        }
    }

    /// Takes in what has come; waits for it where nothing else is to be done.
    fn look(&mut self, stage: &mut Stage<'_>, in_haste: bool) -> Result<(), String> {
        let until = stage.load.now() + if in_haste { 0 } else { SECOND / 10 };
        let turned = stage.load.turn(until, &mut |connection, frame, now| {
            if frame.opcode == TEXT {
                self.take(connection, frame.payload, now);
            }
        });
        turned.map_err(|error| error.to_string())?;
        stage.load.expect_all_alive()
    }

    fn take(&mut self, connection: usize, payload: &[u8], now: Nanos) {
        let Some(index) = connection.checked_sub(self.first) else { return };
        if self.finder.find(payload).is_none() {
            return;
        }
        self.heard[index] += 1;
        if self.heard[index] == self.history {
            self.complete += 1;
            self.latencies.saturating_record(now - self.since);
        }
    }
}
