//! An open loop: messages at fixed times whatever comes back, and latencies from these times on. A
//! server that stops for a second is charged for every message of that second (Tene, "How NOT to
//! measure latency": coordinated omission).

use hdrhistogram::Histogram;

use crate::client::frame::Prototype;
use crate::client::{Load, Nanos, SECOND, Schedule, Stamp};
use crate::report::{Measurement, Unit, histogram, quantiles};

/// From now until the first message is due.
pub const LEAD: Nanos = 50 * SECOND / 1000;

/// How long after the last message answers may come.
pub const PATIENCE: Nanos = 5 * SECOND;

/// If one in a hundred messages was sent later than this after it was due, the load side is told of.
const LATE_NANOS_MAX: f64 = 1e6;

/// Sends stamped frames over one connection when they are due.
pub struct Sender {
    pub schedule: Schedule,
    connection: usize,
    lane: u16,
    prototype: Prototype,
    next: u32,
    frame: Vec<u8>,
    lateness: Histogram<u64>,
}

impl Sender {
    pub fn new(schedule: Schedule, connection: usize, lane: u16, prototype: Prototype) -> Self {
        let (frame, lateness) = (Vec::new(), histogram());
        Self { schedule, connection, lane, prototype, next: 0, frame, lateness }
    }

    /// Sends whatever is due by now.
    pub fn send_due(&mut self, load: &mut Load) {
        self.send_due_before(self.schedule.total(), load);
    }

    /// The same, but only messages before `sequence`.
    pub fn send_due_before(&mut self, sequence: u32, load: &mut Load) {
        while let Some(due) = self.next_due().filter(|due| *due <= load.now()) {
            if self.next >= sequence {
                return;
            }
            self.frame.clear();
            self.prototype.append(Stamp { lane: self.lane, sequence: self.next }, &mut self.frame);
            self.lateness.saturating_record(load.now() - due);
            load.send(self.connection, &self.frame);
            self.next += 1;
        }
    }

    /// When the next message is due, if there is one left.
    pub fn next_due(&self) -> Option<Nanos> {
        (self.next < self.schedule.total()).then(|| self.schedule.due(self.next))
    }

    /// Messages that were sent.
    pub fn sent(&self) -> u32 {
        self.next
    }

    /// Adds how late the load itself was, which is a part of all latencies.
    pub fn report(&self, measurement: &mut Measurement) {
        let [_, _, (_, p99), _, (_, max)] = quantiles(&self.lateness);
        measurement.add("load late, p99", Unit::Nanos, p99);
        measurement.add("load late, max", Unit::Nanos, max);
        if p99 > LATE_NANOS_MAX {
            measurement.notes.push("the load side sent late: latencies are partly its own".into());
        }
    }
}

/// Takes in the answers to a sender whose frames are answered once each, in order. A server may
/// answer a ping by the pong to a later one (RFC 6455, section 5.5.3); that answers both.
pub struct Answers {
    schedule: Schedule,
    next: u32,
    latencies: Histogram<u64>,
}

impl Answers {
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, next: 0, latencies: histogram() }
    }

    /// The answer to message `sequence` has come.
    pub fn take(&mut self, sequence: u32, now: Nanos) {
        while self.next <= sequence && self.next < self.schedule.total() {
            if self.next >= self.schedule.first_counted() {
                self.latencies.saturating_record(now.saturating_sub(self.schedule.due(self.next)));
            }
            self.next += 1;
        }
    }

    pub fn is_complete(&self) -> bool {
        self.next == self.schedule.total()
    }

    /// Adds the latencies under `name`. What was not answered has none, and is told.
    pub fn report(self, name: &'static str, measurement: &mut Measurement) {
        let missing = self.schedule.total() - self.next;
        if missing > 0 {
            measurement.notes.push(format!("{name}: {missing} were never answered"));
        }
        measurement.add_latencies(name, self.latencies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_answer_answers_the_earlier_ones_from_when_they_were_due() {
        // Due every 10 ms; one second of ten is the warm-up.
        let schedule = Schedule::new(0, 100, 0.02, 0.04);
        let mut answers = Answers::new(schedule);
        answers.take(1, 15_000_000);
        assert_eq!(answers.latencies.len(), 0, "warm-up");
        answers.take(4, 50_000_000);
        let latencies: Vec<u64> = answers
            .latencies
            .iter_recorded()
            .map(|step| step.value_iterated_to() / 1_000_000)
            .collect();
        assert_eq!(latencies, [10, 20, 30]);
        assert!(!answers.is_complete());
        // Again, and beyond the last: nothing.
        answers.take(4, 60_000_000);
        answers.take(9, 60_000_000);
        assert_eq!(answers.latencies.len(), 4);
        assert!(answers.is_complete());
    }
}
