//! Thousands who are connected and say nothing, and what those who do wait for an answer.

use std::time::Duration;

use super::open_loop::{Answers, LEAD, PATIENCE, Sender};
use super::{Stage, Step, TEXT_BYTES, Usage, seconds};
use crate::client::frame::{PONG, Prototype, TEXT};
use crate::client::{Finder, Join, SECOND, Schedule, Stamp};
use crate::options::Options;
use crate::process::{Process, slab_bytes, tcp_queue_bytes};
use crate::report::{Measurement, Unit};
use crate::server::Demands;

/// The two who talk, and their room.
const ROOM: &str = "two";

struct IdleLatency {
    idle: usize,
    idle_per_room: usize,
    rate: u32,
    bytes: usize,
    warmup: f64,
    seconds: f64,
    idle_seconds: f64,
    keepalive: bool,
}

pub fn steps(options: &Options) -> Vec<Box<dyn Step>> {
    let step = |idle: &usize| -> Box<dyn Step> {
        Box::new(IdleLatency {
            idle: *idle,
            idle_per_room: options.idle_per_room,
            rate: options.rate.unwrap_or(1_000),
            bytes: options.bytes.unwrap_or(TEXT_BYTES),
            warmup: options.warmup,
            seconds: options.seconds.unwrap_or(options.pick(5.0, 0.5)),
            idle_seconds: options.pick(10.0, 0.5),
            keepalive: options.keepalive,
        })
    };
    let usual = options.pick(vec![0, 1_000, 10_000, options.connections_max], vec![0, 20]);
    options.idle.as_ref().unwrap_or(&usual).iter().map(step).collect()
}

impl Step for IdleLatency {
    fn title(&self) -> String {
        format!(
            "{} idle connections, {} of {} bytes a second, {} s",
            self.idle, self.rate, self.bytes, self.seconds
        )
    }

    fn slug(&self) -> String {
        self.idle.to_string()
    }

    fn connections(&self) -> Option<usize> {
        Some(self.idle)
    }

    fn demands(&self) -> Demands {
        Demands { keepalive: self.keepalive }
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Measurement, String> {
        let target = &stage.server.target;
        let two = |index| (format!("talker{index}"), ROOM.to_owned());
        let two = stage.load.connect_all(target, 2, Join::Urgent, two)?;
        stage.load.settle()?;

        let mut measurement = Measurement::default();
        let before = Memory::now(stage.server.process);
        let idler =
            |index| (format!("idle{index:05}"), format!("idle{}", index / self.idle_per_room));
        stage.load.connect_all(target, self.idle, Join::Usual, idler)?;
        stage.load.settle()?;
        if self.idle > 0 {
            before.report(self.idle, stage.server.process, &mut measurement);
        }

        self.pings(stage, two.start, &mut measurement)?;
        self.chats(stage, two.start, two.end - 1, &mut measurement)?;
        self.silence(stage, &mut measurement)?;
        stage.load.expect_all_alive()?;
        Ok(measurement)
    }
}

impl IdleLatency {
    fn schedule(&self, stage: &Stage<'_>) -> Schedule {
        Schedule::new(stage.load.now() + LEAD, self.rate, self.warmup, self.seconds)
    }

    fn pings(
        &self,
        stage: &mut Stage<'_>,
        from: usize,
        measurement: &mut Measurement,
    ) -> Result<(), String> {
        let sender = Sender::new(self.schedule(stage), from, 0, Prototype::ping());
        self.exchange(stage, sender, (from, PONG), "ping round trip", measurement)
    }

    /// From one to the other.
    fn chats(
        &self,
        stage: &mut Stage<'_>,
        from: usize,
        to: usize,
        measurement: &mut Measurement,
    ) -> Result<(), String> {
        let prototype = stage.server.target.message("talker0", ROOM, self.bytes);
        let sender = Sender::new(self.schedule(stage), from, 1, prototype);
        self.exchange(stage, sender, (to, TEXT), "chat to one other", measurement)
    }

    /// Sends on schedule and waits for what comes of it: frames of one kind at one connection.
    fn exchange(
        &self,
        stage: &mut Stage<'_>,
        mut sender: Sender,
        (at, opcode): (usize, u8),
        name: &'static str,
        measurement: &mut Measurement,
    ) -> Result<(), String> {
        let mut answers = Answers::new(sender.schedule);
        let mut finder = Finder::default();
        let deadline = sender.schedule.end() + PATIENCE;
        let usage = Usage::from_now(stage);
        while !answers.is_complete() && stage.load.now() < deadline {
            sender.send_due(&mut stage.load);
            let until = sender.next_due().unwrap_or(deadline);
            let turned = stage.load.turn(until, &mut |connection, frame, now| {
                if connection == at
                    && frame.opcode == opcode
                    && let Some(Stamp { sequence, .. }) = finder.find(frame.payload)
                {
                    answers.take(sequence, now);
                }
            });
            turned.map_err(|error| error.to_string())?;
        }
        answers.report(name, measurement);
        if opcode == TEXT {
            sender.report(measurement);
            usage.report(stage, measurement);
        }
        Ok(())
    }

    /// What the server does while nobody says anything.
    fn silence(&self, stage: &mut Stage<'_>, measurement: &mut Measurement) -> Result<(), String> {
        let Some(process) = stage.server.process else { return Ok(()) };
        let (cpu, sleeps, since) = (process.cpu_nanos(), process.sleeps(), stage.load.now());
        let nap = Duration::from_secs_f64(self.idle_seconds).as_nanos() as u64;
        stage.load.rest_until(since + nap)?;
        let elapsed = seconds(stage.load.now() - since);
        let used = process.cpu_nanos().since(&cpu) as f64;
        measurement.add("idle: server CPU", Unit::Percent, 100.0 * used / SECOND as f64 / elapsed);
        measurement.add(
            "idle: server wake-ups",
            Unit::Count,
            process.sleeps().since(&sleeps) as f64,
        );
        Ok(())
    }
}

/// What is held at a moment.
struct Memory {
    resident: Option<u64>,
    slab: u64,
    queues: u64,
}

impl Memory {
    fn now(process: Option<Process>) -> Self {
        let resident = process.map(Process::resident);
        Self { resident, slab: slab_bytes(), queues: tcp_queue_bytes() }
    }

    /// Adds what `connections` more than then have brought.
    fn report(&self, connections: usize, process: Option<Process>, measurement: &mut Measurement) {
        let now = Self::now(process);
        let each = |now: u64, then: u64| (now as f64 - then as f64) / connections as f64;
        let resident = now.resident.zip(self.resident).map(|(now, then)| each(now, then));
        measurement.add_known("resident a connection", Unit::Bytes, resident);
        measurement.add("kernel objects, both ends", Unit::Bytes, each(now.slab, self.slab));
        measurement.add("TCP queues, both ends", Unit::Bytes, each(now.queues, self.queues));
    }
}
