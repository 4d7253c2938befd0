//! One room, a message at fixed times, and everybody gets it.

use hdrhistogram::Histogram;

use super::open_loop::{Answers, LEAD, PATIENCE, Sender};
use super::{Stage, Step, TEXT_BYTES, Usage};
use crate::client::frame::{PONG, Prototype, TEXT};
use crate::client::{Finder, Join, Nanos, Schedule};
use crate::options::Options;
use crate::report::{Measurement, Unit, histogram};

const ROOM: &str = "crowd";

/// How a room is talked to. `stalled` is the same with some who never read.
pub struct Fanout {
    pub receivers: usize,
    pub stalled: usize,
    pub rate: u32,
    pub bytes: usize,
    pub warmup: f64,
    pub seconds: f64,
    /// Pings a second of somebody in another room, if there is one.
    pub probe_rate: Option<u32>,
}

pub fn steps(options: &Options) -> Vec<Box<dyn Step>> {
    let step = |receivers: &usize| -> Box<dyn Step> {
        Box::new(Fanout {
            receivers: *receivers,
            stalled: 0,
            rate: options.rate.unwrap_or(50),
            bytes: options.bytes.unwrap_or(TEXT_BYTES),
            warmup: options.warmup,
            seconds: options.seconds.unwrap_or(options.pick(10.0, 0.5)),
            probe_rate: options.probe.then_some(options.probe_rate),
        })
    };
    let usual = options.pick(vec![1_000], vec![20]);
    options.receivers.as_ref().unwrap_or(&usual).iter().map(step).collect()
}

impl Step for Fanout {
    fn title(&self) -> String {
        let Self { receivers, rate, bytes, seconds, .. } = self;
        let probe = match self.probe_rate {
            Some(rate) => format!(", and a lone probe in another room, {rate} pings a second"),
            None => String::new(),
        };
        let stalled = match self.stalled {
            0 => String::new(),
            stalled => format!(" and {stalled} who never read"),
        };
        format!(
            "{receivers} receivers{stalled}, {rate} messages of {bytes} bytes a second, {seconds} s{probe}"
        )
    }

    fn slug(&self) -> String {
        let probe = if self.probe_rate.is_some() { "-probe" } else { "" };
        format!("{}x{}{probe}", self.receivers, self.rate)
    }

    fn run(&self, stage: &mut Stage<'_>) -> Result<Measurement, String> {
        let target = &stage.server.target;
        let member = |index| (format!("member{index:05}"), ROOM.to_owned());
        let members = stage.load.connect_all(target, self.receivers, Join::Usual, member)?;
        let deaf = |index| (format!("deaf{index:05}"), ROOM.to_owned());
        stage.load.connect_all(target, self.stalled, Join::Deaf, deaf)?;
        let alone = |_| ("probe".to_owned(), "aside".to_owned());
        let probe = stage.load.connect_all(
            target,
            usize::from(self.probe_rate.is_some()),
            Join::Urgent,
            alone,
        )?;
        stage.load.settle()?;

        let start = stage.load.now() + LEAD;
        let schedule = Schedule::new(start, self.rate, self.warmup, self.seconds);
        let prototype = target.message("member00000", ROOM, self.bytes);
        let sender = Sender::new(schedule, members.start, 0, prototype);
        let mut talk = Talk::new(sender, self.receivers as u32);
        let pings = probe.into_iter().zip(self.probe_rate).next();
        let mut pings = pings.map(|(probe, rate)| Probe::new(probe, start, rate, self));
        talk.run(stage, &mut pings)?;

        let mut measurement = Measurement::default();
        talk.report(stage, &mut measurement);
        if let Some(pings) = pings {
            pings.answers.report("lone probe's ping", &mut measurement);
        }
        Ok(measurement)
    }
}

/// The messages that are sent, and what has become of them.
struct Talk {
    sender: Sender,
    finder: Finder,
    deliveries: Deliveries,
    usage: Option<Usage>,
}

impl Talk {
    fn new(sender: Sender, receivers: u32) -> Self {
        let deliveries = Deliveries::new(sender.schedule, receivers);
        Self { sender, finder: Finder::default(), deliveries, usage: None }
    }

    fn run(&mut self, stage: &mut Stage<'_>, probe: &mut Option<Probe>) -> Result<(), String> {
        let deadline = self.sender.schedule.end() + PATIENCE;
        while !self.is_over(probe) && stage.load.now() < deadline {
            self.send_due(stage);
            let mut until = self.sender.next_due().unwrap_or(deadline);
            if let Some(probe) = probe {
                probe.sender.send_due(&mut stage.load);
                until = until.min(probe.sender.next_due().unwrap_or(deadline));
            }
            let turned = stage.load.turn(until, &mut |connection, frame, now| match frame.opcode {
                TEXT => self.take(frame.payload, now),
                PONG => {
                    if let Some(probe) =
                        probe.as_mut().filter(|probe| probe.connection == connection)
                    {
                        probe.take(frame.payload, now);
                    }
                }
                _ => {}
            });
            turned.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// What is used counts from just before the first message that counts.
    fn send_due(&mut self, stage: &mut Stage<'_>) {
        let Self { sender, usage, .. } = self;
        sender.send_due_before(sender.schedule.first_counted(), &mut stage.load);
        let is_warm = sender.sent() >= sender.schedule.first_counted();
        if is_warm && sender.next_due().is_some_and(|due| due <= stage.load.now()) {
            usage.get_or_insert_with(|| Usage::from_now(stage));
            sender.send_due(&mut stage.load);
        }
    }

    fn is_over(&self, probe: &Option<Probe>) -> bool {
        let is_answered = probe.as_ref().is_none_or(|probe| probe.answers.is_complete());
        self.deliveries.are_complete() && is_answered
    }

    fn take(&mut self, payload: &[u8], now: Nanos) {
        if let Some(stamp) = self.finder.find(payload) {
            self.deliveries.take(stamp.sequence, now);
        }
    }

    fn report(self, stage: &Stage<'_>, measurement: &mut Measurement) {
        if let Some(usage) = &self.usage {
            let deliveries = self.deliveries.each.len().max(1) as f64;
            let cpu = usage.server_cpu(stage).map(|cpu| cpu / deliveries);
            measurement.add_known("server CPU a delivery", Unit::Nanos, cpu);
        }
        self.deliveries.report(measurement);
        if let Some((_, end)) = stage.load.ended().first() {
            let count = stage.load.ended().len();
            measurement.notes.push(format!("{count} connections were ended by the server: {end}"));
        }
        self.sender.report(measurement);
        if let Some(usage) = &self.usage {
            usage.report(stage, measurement);
        }
    }
}

/// Who has got which message, and when.
struct Deliveries {
    schedule: Schedule,
    receivers: u32,
    /// How many have got each message.
    received: Vec<u32>,
    /// Messages that everybody has got.
    complete: u32,
    each: Histogram<u64>,
    last: Histogram<u64>,
}

impl Deliveries {
    fn new(schedule: Schedule, receivers: u32) -> Self {
        let received = vec![0; schedule.total() as usize];
        Self { schedule, receivers, received, complete: 0, each: histogram(), last: histogram() }
    }

    /// Somebody has got message `sequence`.
    fn take(&mut self, sequence: u32, now: Nanos) {
        let Some(received) = self.received.get_mut(sequence as usize) else { return };
        *received += 1;
        let is_last = *received == self.receivers;
        self.complete += u32::from(is_last);
        if sequence < self.schedule.first_counted() {
            return;
        }
        let latency = now.saturating_sub(self.schedule.due(sequence));
        self.each.saturating_record(latency);
        if is_last {
            self.last.saturating_record(latency);
        }
    }

    fn are_complete(&self) -> bool {
        self.complete == self.schedule.total()
    }

    fn report(self, measurement: &mut Measurement) {
        let came = self.each.len();
        let expected = u64::from(self.schedule.counted()) * u64::from(self.receivers);
        if came != expected {
            measurement.notes.push(format!("of {expected} deliveries {came} came"));
        }
        measurement.add_latencies("each receiver", self.each);
        measurement.add_latencies("last receiver", self.last);
    }
}

/// Somebody in another room who only pings.
struct Probe {
    connection: usize,
    sender: Sender,
    answers: Answers,
    finder: Finder,
}

impl Probe {
    fn new(connection: usize, start: Nanos, rate: u32, fanout: &Fanout) -> Self {
        let schedule = Schedule::new(start, rate, fanout.warmup, fanout.seconds);
        Self {
            connection,
            sender: Sender::new(schedule, connection, 1, Prototype::ping()),
            answers: Answers::new(schedule),
            finder: Finder::default(),
        }
    }

    fn take(&mut self, payload: &[u8], now: Nanos) {
        if let Some(stamp) = self.finder.find(payload) {
            self.answers.take(stamp.sequence, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_receiver_is_the_one_after_whom_nobody_waits() {
        // One message of warm-up and two that count, 10 ms apart, to three receivers.
        let mut deliveries = Deliveries::new(Schedule::new(0, 100, 0.01, 0.02), 3);
        for (sequence, at_millis) in
            [(0, 1), (0, 2), (0, 3), (1, 11), (1, 12), (2, 21), (1, 19), (2, 22)]
        {
            deliveries.take(sequence, at_millis * 1_000_000);
        }
        let millis = |histogram: &Histogram<u64>| -> Vec<u64> {
            histogram.iter_recorded().map(|step| step.value_iterated_to() / 1_000_000).collect()
        };
        assert_eq!(millis(&deliveries.each), [1, 2, 9]);
        assert_eq!(deliveries.each.len(), 5);
        assert_eq!(millis(&deliveries.last), [9]);
        assert!(!deliveries.are_complete());

        let mut measurement = Measurement::default();
        deliveries.report(&mut measurement);
        assert_eq!(measurement.notes, ["of 6 deliveries 5 came"]);
    }
}
