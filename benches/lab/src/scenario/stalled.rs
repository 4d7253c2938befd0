//! A fan-out to a room in which some never read: what do the others notice?

use super::fanout::Fanout;
use super::{Stage, Step};
use crate::client::{End, Nanos, SECOND};
use crate::options::Options;
use crate::report::{Measurement, Unit};

/// Once those who never read do: silence that says that they have heard what was kept for them.
const HEARING_PAUSE: Nanos = 2 * SECOND;

/// "Try Again Later" (IANA's registry of WebSocket close codes): read too slowly.
const TOO_SLOW: u16 = 1013;

struct Stalled(Fanout);

pub fn steps(options: &Options) -> Vec<Box<dyn Step>> {
    let step = |receivers: &usize| -> Box<dyn Step> {
        Box::new(Stalled(Fanout {
            receivers: *receivers,
            stalled: options.stalled.unwrap_or(options.pick(100, 5)),
            rate: options.rate.unwrap_or(200),
            bytes: options.bytes.unwrap_or(1_000),
            warmup: options.warmup,
            seconds: options.seconds.unwrap_or(options.pick(10.0, 1.0)),
            probe_rate: options.probe.then_some(options.probe_rate),
        }))
    };
    let usual = options.pick(vec![100], vec![10]);
    options.receivers.as_ref().unwrap_or(&usual).iter().map(step).collect()
}

impl Step for Stalled {
    fn title(&self) -> String {
        self.0.title()
    }

    fn slug(&self) -> String {
        format!("{}-{}", self.0.slug(), self.0.stalled)
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Measurement, String> {
        let mut measurement = self.0.run(stage)?;
        let resident = stage.server.process.map(|process| process.resident() as f64);
        measurement.add_known("server resident at the end", Unit::Bytes, resident);

        // Only now they read, to find out how the server has dealt with them.
        let heard = stage.load.ended().len();
        stage.load.listen_to_the_deaf().map_err(|error| error.to_string())?;
        let mut last_at = stage.load.now();
        while stage.load.ended().len() < heard + self.0.stalled
            && stage.load.now() < last_at + HEARING_PAUSE
        {
            let turned = stage.load.turn(last_at + HEARING_PAUSE, &mut |_, _, now| last_at = now);
            turned.map_err(|error| error.to_string())?;
        }
        let ended = &stage.load.ended()[heard..];
        let dropped = ended.iter().filter(|(_, end)| *end == End::Close(TOO_SLOW)).count();
        measurement.add("stalled: dropped with 1013", Unit::Count, dropped as f64);
        measurement.add("stalled: dropped without", Unit::Count, (ended.len() - dropped) as f64);
        let kept = self.0.stalled - ended.len();
        measurement.add("stalled: still members", Unit::Count, kept as f64);
        Ok(measurement)
    }
}
