//! What is measured: each file one way of using a server.

mod fanout;
mod idle_latency;
mod open_loop;
mod saturate;
mod stalled;
mod storm;

use crate::client::{Load, Nanos, SECOND, Waiting};
use crate::options::{Options, Scenario};
use crate::process::{Counts, own_wait_nanos};
use crate::report::{Measurement, Unit};
use crate::server::{Demands, Server};

/// Bytes of a text where nothing else is asked for: two lines of a chat.
const TEXT_BYTES: usize = 128;

/// Above this the load side had hardly a rest, and what it says of latencies and rates is its own.
const BUSY_PERCENT_MAX: f64 = 90.0;

/// A side that waited longer than this for its core shared it with somebody.
const WAITED_PERCENT_MAX: f64 = 2.0;

/// One point of a scenario: what is done to one freshly started server.
pub trait Step {
    /// What distinguishes it, in words.
    fn title(&self) -> String;

    /// The same, as a part of a file's name.
    fn slug(&self) -> String;

    /// How many are idle, where the step is a point of a plot of that.
    fn connections(&self) -> Option<usize> {
        None
    }

    /// What is asked of the server.
    fn demands(&self) -> Demands {
        Demands { keepalive: false }
    }

    /// Measures.
    ///
    /// # Errors
    /// A sentence that says what went wrong, where there is nothing to report of the run.
    fn run(&self, stage: &mut Stage<'_>) -> Result<Measurement, String>;
}

/// What a step has to work with.
pub struct Stage<'s> {
    pub server: &'s Server,
    pub load: Load,
}

impl<'s> Stage<'s> {
    pub fn new(server: &'s Server, waiting: Waiting) -> Result<Self, String> {
        let load = Load::new(waiting).map_err(|error| error.to_string())?;
        Ok(Self { server, load })
    }
}

/// The steps of a scenario with what the options say of them.
pub fn steps(scenario: Scenario, options: &Options) -> Vec<Box<dyn Step>> {
    match scenario {
        Scenario::IdleLatency => idle_latency::steps(options),
        Scenario::Fanout => fanout::steps(options),
        Scenario::Saturate => saturate::steps(options),
        Scenario::Storm => storm::steps(options),
        Scenario::Stalled => stalled::steps(options),
    }
}

/// What was used on both sides from a moment on.
pub struct Usage {
    since: Nanos,
    idle: Nanos,
    load_waited: Nanos,
    /// What the server had computed and waited, where its process is known.
    server: Option<(Counts, Counts)>,
}

impl Usage {
    pub fn from_now(stage: &Stage<'_>) -> Self {
        Self {
            since: stage.load.now(),
            idle: stage.load.idle(),
            load_waited: own_wait_nanos(),
            server: stage
                .server
                .process
                .map(|process| (process.cpu_nanos(), process.waited_nanos())),
        }
    }

    /// Nanoseconds that the server has computed since.
    pub fn server_cpu(&self, stage: &Stage<'_>) -> Option<f64> {
        let (cpu, _) = self.server.as_ref()?;
        Some(stage.server.process?.cpu_nanos().since(cpu) as f64)
    }

    fn server_waited(&self, stage: &Stage<'_>) -> Option<f64> {
        let (_, waited) = self.server.as_ref()?;
        Some(stage.server.process?.waited_nanos().since(waited) as f64)
    }

    pub fn elapsed(&self, stage: &Stage<'_>) -> Nanos {
        stage.load.now() - self.since
    }

    /// Adds how busy both sides were, and a note where it was the load side that set the pace.
    pub fn report(&self, stage: &Stage<'_>, measurement: &mut Measurement) {
        let elapsed = self.elapsed(stage) as f64;
        let server = self.server_cpu(stage).map(|cpu| 100.0 * cpu / elapsed);
        let idle = (stage.load.idle() - self.idle) as f64;
        let load = 100.0 * (1.0 - idle / elapsed);
        measurement.add_known("server busy", Unit::Percent, server);
        measurement.add("load busy", Unit::Percent, load);
        if load > BUSY_PERCENT_MAX {
            measurement.notes.push(
                "the load side was the bottleneck: compare CPU, not latencies or rates".into(),
            );
        }
        let load = Some(own_wait_nanos().saturating_sub(self.load_waited) as f64);
        let waits = [
            ("server waited for its core", self.server_waited(stage)),
            ("load waited for its core", load),
        ];
        for (name, waited) in waits {
            let waited = waited.map(|waited| 100.0 * waited / elapsed);
            measurement.add_known(name, Unit::Percent, waited);
            if waited.is_some_and(|waited| waited > WAITED_PERCENT_MAX) {
                measurement.notes.push(format!("{name}: somebody else used it as well"));
            }
        }
    }
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}
