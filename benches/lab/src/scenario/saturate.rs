//! A closed loop: everybody who sends does so again as soon as its own message has come back. The
//! server has always something to do; what it costs it is what counts.

use std::time::Duration;

use super::{Stage, Step, TEXT_BYTES, Usage, seconds};
use crate::client::frame::TEXT;
use crate::client::{Finder, Join, Nanos, SECOND, Stamp};
use crate::options::Options;
use crate::report::{Measurement, Unit};

const ROOM: &str = "market";

struct Saturate {
    /// Members of the room, of whom the first `senders` send.
    receivers: usize,
    senders: usize,
    outstanding: u32,
    bytes: usize,
    warmup: f64,
    seconds: f64,
}

pub fn steps(options: &Options) -> Vec<Box<dyn Step>> {
    let usual = options.pick(vec![(100, 32, 4), (32, 32, 1)], vec![(10, 4, 2)]);
    let step = |(receivers, senders, outstanding): (usize, usize, u32)| -> Box<dyn Step> {
        let senders = options.senders.unwrap_or(senders);
        Box::new(Saturate {
            receivers: receivers.max(senders),
            senders,
            outstanding: options.outstanding.unwrap_or(outstanding),
            bytes: options.bytes.unwrap_or(TEXT_BYTES),
            warmup: options.warmup,
            seconds: options.seconds.unwrap_or(options.pick(5.0, 0.5)),
        })
    };
    let is_asked = options.senders.is_some() || options.outstanding.is_some();
    let shapes = match &options.receivers {
        Some(receivers) => receivers.iter().map(|receivers| (*receivers, 32, 4)).collect(),
        None if is_asked => vec![usual[0]],
        None => usual,
    };
    shapes.into_iter().map(step).collect()
}

impl Step for Saturate {
    fn title(&self) -> String {
        let Self { receivers, senders, outstanding, bytes, seconds, .. } = self;
        format!(
            "{receivers} receivers, {senders} of them send, {outstanding} outstanding each, \
             {bytes} bytes, {seconds} s"
        )
    }

    fn slug(&self) -> String {
        format!("{}-{}-{}", self.receivers, self.senders, self.outstanding)
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Measurement, String> {
        let target = &stage.server.target;
        let name = |index| (format!("trader{index:03}"), ROOM.to_owned());
        stage.load.connect_all(target, self.receivers, Join::Usual, name)?;
        stage.load.settle()?;

        let mut trade = Trade::new(self, stage);
        let nanos = |seconds: f64| Duration::from_secs_f64(seconds).as_nanos() as Nanos;
        trade.run_until(stage, stage.load.now() + nanos(self.warmup))?;

        let (usage, before) = (Usage::from_now(stage), trade.deliveries);
        trade.run_until(stage, stage.load.now() + nanos(self.seconds))?;
        let deliveries = (trade.deliveries - before) as f64;
        if deliveries == 0.0 {
            return Err("nothing came back: the closed loop stands still".into());
        }

        let mut measurement = Measurement::default();
        let cpu = usage.server_cpu(stage);
        let each = cpu.map(|cpu| cpu / deliveries);
        measurement.add_known("server CPU a delivery", Unit::Nanos, each);
        let a_cpu_second = each.map(|each| SECOND as f64 / each);
        measurement.add_known("deliveries a CPU-second", Unit::PerSecond, a_cpu_second);
        let rate = deliveries / seconds(usage.elapsed(stage));
        measurement.add("deliveries a second", Unit::PerSecond, rate);
        usage.report(stage, &mut measurement);
        Ok(measurement)
    }
}

/// Who may send how much, and what has come so far.
struct Trade {
    prototypes: Vec<crate::client::frame::Prototype>,
    /// Messages that each sender may send now.
    owed: Vec<u32>,
    sequence: u32,
    deliveries: u64,
    finder: Finder,
    frames: Vec<u8>,
}

impl Trade {
    fn new(saturate: &Saturate, stage: &Stage<'_>) -> Self {
        let prototype =
            |index| stage.server.target.message(&format!("trader{index:03}"), ROOM, saturate.bytes);
        Self {
            prototypes: (0..saturate.senders).map(prototype).collect(),
            owed: vec![saturate.outstanding; saturate.senders],
            sequence: 0,
            deliveries: 0,
            finder: Finder::default(),
            frames: Vec::new(),
        }
    }

    fn run_until(&mut self, stage: &mut Stage<'_>, end: Nanos) -> Result<(), String> {
        while stage.load.now() < end {
            self.send(stage);
            let Self { owed, deliveries, finder, .. } = self;
            let turned = stage.load.turn(end, &mut |connection, frame, _| {
                if frame.opcode != TEXT {
                    return;
                }
                let Some(stamp) = finder.find(frame.payload) else { return };
                *deliveries += 1;
                if connection < owed.len() && usize::from(stamp.lane) == connection {
                    owed[connection] += 1;
                }
            });
            turned.map_err(|error| error.to_string())?;
            stage.load.expect_all_alive()?;
        }
        Ok(())
    }

    /// Each sender sends all that it may with one write.
    fn send(&mut self, stage: &mut Stage<'_>) {
        for (sender, owed) in self.owed.iter_mut().enumerate().filter(|(_, owed)| **owed > 0) {
            self.frames.clear();
            for _ in 0..std::mem::take(owed) {
                let stamp = Stamp { lane: sender as u16, sequence: self.sequence };
                self.prototypes[sender].append(stamp, &mut self.frames);
                self.sequence = self.sequence.wrapping_add(1);
            }
            stage.load.send(sender, &self.frames);
        }
    }
}
