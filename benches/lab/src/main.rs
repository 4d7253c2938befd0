//! The latency laboratory: measures Hallway, or any chat over WebSocket, and others beside it. See
//! README.md for how to run it and how to read what it says.

mod client;
mod machine;
mod options;
mod process;
mod report;
mod scenario;
mod server;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::process::ExitCode;
use std::{env, io};

use hdrhistogram::Histogram;

use client::Waiting;
use machine::{Cores, Description, raise_descriptor_limit, revision, sleep_precisely};
use options::{Options, Scenario};
use report::{Heading, Lines, Measurement, Run, Summary, draw, table, write_hgrm};
use scenario::{Stage, Step};
use server::Contender;

/// The exit status of a wrong command line, as in sysexits and most shells.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let descriptors = raise_descriptor_limit();
    let options = match Options::parse(lexopt::Parser::from_env(), descriptors) {
        Ok(options) => options,
        Err(said) => {
            eprintln!("lab: {said}");
            return ExitCode::from(USAGE);
        }
    };
    match Lab::open(&options, descriptors).and_then(|mut lab| lab.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            eprintln!("lab: {said}");
            ExitCode::FAILURE
        }
    }
}

/// All that is measured in one run of the program.
struct Lab<'o> {
    options: &'o Options,
    cores: Option<Cores>,
    waiting: Waiting,
    lines: Option<Lines>,
    /// What a plot says of where it comes from.
    machine: String,
    summaries: Vec<Summary>,
    /// Runs that went wrong; the others are reported all the same.
    failures: usize,
}

impl<'o> Lab<'o> {
    /// Says what it is and where.
    fn open(options: &'o Options, descriptors: u64) -> Result<Self, String> {
        sleep_precisely();
        let cores = Cores::choose();
        if let Some(cores) = cores {
            Cores::stay_on(cores.load);
        }
        let spin = options.spin.unwrap_or(cores.is_some());
        let waiting = if spin { Waiting::Spinning } else { Waiting::Sleeping };

        let heading = heading(options, descriptors, cores, waiting);
        say(&heading.to_string())?;
        let lines = options.json.as_deref().map(|path| {
            let mut lines = Lines::create(path)?;
            lines.environment(&heading)?;
            Ok(lines)
        });
        let lines = lines.transpose().map_err(|error: io::Error| format!("--json: {error}"))?;
        if let Some(folder) = &options.hgrm {
            fs::create_dir_all(folder).map_err(|error| format!("--hgrm {folder}: {error}"))?;
        }
        let machine = format!("{}, {}.", heading.machine.cpu, heading.machine.kernel);
        Ok(Self { options, cores, waiting, lines, machine, summaries: Vec::new(), failures: 0 })
    }

    fn run(&mut self) -> Result<(), String> {
        for scenario in &self.options.scenarios {
            for step in scenario::steps(*scenario, self.options) {
                self.measure(*scenario, &*step)?;
            }
        }
        if let Some(path) = &self.options.svg {
            let plot = draw(&self.summaries, &self.machine)
                .ok_or("--svg: idle-latency gives the points of the plot")?;
            fs::write(path, plot).map_err(|error| format!("--svg {path}: {error}"))?;
        }
        match self.failures {
            0 => Ok(()),
            failures => Err(format!("{failures} runs went wrong and are not in the figures")),
        }
    }

    /// All rounds of a step, servers taking turns.
    fn measure(&mut self, scenario: Scenario, step: &dyn Step) -> Result<(), String> {
        let mut runs = Vec::new();
        for round in 0..self.options.rounds {
            for contender in &self.options.contenders {
                let server = contender.start(self.cores, step.demands())?;
                let measured =
                    Stage::new(&server, self.waiting).and_then(|mut stage| step.run(&mut stage));
                let measurement = measured.unwrap_or_else(|said| {
                    eprintln!("lab: {}, {}: {said}", scenario.name(), contender.name);
                    self.failures += 1;
                    Measurement {
                        notes: vec![format!("a run went wrong: {said}")],
                        ..Default::default()
                    }
                });
                runs.push(Run { server: contender.name.clone(), round, measurement });
            }
        }
        let title = step.title();
        let servers: Vec<String> =
            self.options.contenders.iter().map(|contender| contender.name.clone()).collect();
        let summary = Summary {
            connections: step.connections(),
            ..Summary::new(scenario.name(), title.clone(), &servers, &runs)
        };
        say(&table(&summary))?;
        self.write_lines(&title, &runs, &summary).map_err(|error| format!("--json: {error}"))?;
        if let Some(folder) = &self.options.hgrm {
            let slug = format!("{}-{}", scenario.name(), step.slug());
            write_histograms(folder, &slug, &runs)
                .map_err(|error| format!("--hgrm {folder}: {error}"))?;
        }
        self.summaries.push(summary);
        Ok(())
    }

    fn write_lines(&mut self, title: &str, runs: &[Run], summary: &Summary) -> io::Result<()> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        for run in runs {
            lines.run(summary.scenario, title, run)?;
        }
        lines.summary(summary)
    }
}

/// To standard output, whose end may be gone.
fn say(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))
}

fn heading(options: &Options, descriptors: u64, cores: Option<Cores>, waiting: Waiting) -> Heading {
    let version = |contender: &Contender| {
        (contender.name.clone(), contender.version().unwrap_or_else(|| "unknown".into()))
    };
    let waiting = match waiting {
        Waiting::Spinning => "which polls all the time",
        Waiting::Sleeping => "which sleeps in between",
    };
    Heading {
        command: env::args().collect::<Vec<_>>().join(" "),
        machine: Description::new(descriptors),
        instrument: format!(
            "hallway-lab {}",
            revision().as_deref().unwrap_or("of no known revision")
        ),
        versions: options.contenders.iter().map(version).collect(),
        cores: match cores {
            Some(Cores { server, load }) => {
                format!("servers that are started here on {server}, the load on {load}, {waiting}")
            }
            None => format!("one for both, in each other's way; the load is one {waiting}"),
        },
    }
}

/// One file for each server and kind of latency, all rounds together.
fn write_histograms(folder: &str, slug: &str, runs: &[Run]) -> io::Result<()> {
    let mut merged: Vec<(String, Histogram<u64>)> = Vec::new();
    for run in runs {
        for (name, histogram) in &run.measurement.histograms {
            let name: String = name.replace([' ', '\''], "-");
            let file = format!("{folder}/{slug}-{}-{name}.hgrm", run.server);
            match merged.iter_mut().find(|(known, _)| *known == file) {
                Some((_, all)) => *all += histogram,
                None => merged.push((file, histogram.clone())),
            }
        }
    }
    for (file, histogram) in merged {
        write_hgrm(&histogram, &mut BufWriter::new(File::create(file)?))?;
    }
    Ok(())
}
