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
use std::io::BufWriter;
use std::process::ExitCode;
use std::{env, io};

use hdrhistogram::Histogram;

use client::Waiting;
use machine::{Cores, Description, raise_descriptor_limit, revision, sleep_precisely};
use options::{Options, Scenario};
use report::{Lines, Run, Summary, draw, print_heading, print_summary, write_hgrm};
use scenario::{Stage, Step};

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
}

impl<'o> Lab<'o> {
    /// Says what it is and where.
    fn open(options: &'o Options, descriptors: u64) -> Result<Self, String> {
        sleep_precisely();
        let cores = Cores::choose();
        let spin = options.spin.unwrap_or(cores.is_some());
        let waiting = if spin { Waiting::Spinning } else { Waiting::Sleeping };

        let command = env::args().collect::<Vec<_>>().join(" ");
        let instrument = match revision() {
            Some(revision) => format!("hallway-lab, {revision}"),
            None => "hallway-lab".to_owned(),
        };
        let machine = Description::new(descriptors);
        let version = |contender: &server::Contender| {
            (contender.name.clone(), contender.version().unwrap_or_else(|| "unknown".into()))
        };
        let versions: Vec<(String, String)> = options.contenders.iter().map(version).collect();
        print_heading(&command, &instrument, &machine, &versions);
        match cores {
            Some(Cores { server, load }) => {
                println!("cores       server on {server}, load on {load} ({waiting:?})");
            }
            None => println!("cores       one for both: server and load are in each other's way"),
        }

        let lines = options.json.as_deref().map(Lines::create).transpose();
        let mut lines = lines.map_err(|error| format!("--json: {error}"))?;
        if let Some(lines) = &mut lines {
            let written = lines.environment(&command, &instrument, &machine, &versions);
            written.map_err(|error| format!("--json: {error}"))?;
        }
        if let Some(folder) = &options.hgrm {
            fs::create_dir_all(folder).map_err(|error| format!("--hgrm {folder}: {error}"))?;
        }
        let machine = format!("{}, {}.", machine.cpu, machine.kernel);
        Ok(Self { options, cores, waiting, lines, machine, summaries: Vec::new() })
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
        Ok(())
    }

    /// All rounds of a step, servers taking turns.
    fn measure(&mut self, scenario: Scenario, step: &dyn Step) -> Result<(), String> {
        let mut runs = Vec::new();
        for round in 0..self.options.rounds {
            for contender in &self.options.contenders {
                let server = contender.start(self.cores, step.demands())?;
                let measurement = Stage::new(&server, self.waiting)
                    .and_then(|mut stage| step.run(&mut stage))
                    .map_err(|said| format!("{}, {}: {said}", scenario.name(), contender.name))?;
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
        print_summary(&summary);
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
