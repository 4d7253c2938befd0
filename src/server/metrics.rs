//! `/metrics`: how the server is, in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write as _};
use std::mem;
use std::rc::Rc;

use super::Server;
use super::counters::Values;
use super::histogram::Histogram;
use crate::clock::Now;
use crate::hub::PeerId;
use crate::limits::METRICS_MS_MIN;
use crate::wire::response;

/// Where Prometheus looks.
pub(super) const METRICS_PATH: &str = "/metrics";

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is kept for `/metrics`, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    turns: Histogram,
    resident_bytes: Option<u64>,
    /// Who waits for an answer, and whether for its head only.
    waiting: Vec<(PeerId, bool)>,
    /// The latest text, and when it was made: it costs a look at every queue.
    made: Option<(u64, Rc<str>)>,
}

impl Server {
    /// Whether somebody waits for `/metrics`, so that it is time for
    /// [`Server::handle_resident_memory`].
    pub fn is_scraped(&self) -> bool {
        !self.metrics.waiting.is_empty()
    }

    /// The process's resident memory, in bytes; `None` where nobody knows. It need not be handed
    /// in: then `/metrics` does not have it.
    pub fn handle_resident_memory(&mut self, bytes: Option<u64>) {
        self.metrics.resident_bytes = bytes;
    }

    /// A turn of the loop has taken so long, in microseconds, without the sleep before it.
    pub fn handle_turn_took(&mut self, us: u64) {
        self.metrics.turns.observe(us);
    }

    /// Lets a peer wait for the numbers until the outputs of this turn.
    pub(super) fn await_metrics(&mut self, id: PeerId, head_only: bool, now: Now) {
        self.metrics.waiting.push((id, head_only));
        self.begin_serving(id, now);
    }

    /// Answers all who wait. Work: a look at every queue, at most once in [`METRICS_MS_MIN`].
    pub(super) fn answer_scrapes(&mut self, now: Now) {
        for (id, head_only) in mem::take(&mut self.metrics.waiting) {
            let text = self.metrics_text(now);
            self.say(id, response::ok(CONTENT_TYPE, "", text.as_bytes(), head_only).into());
        }
    }

    fn metrics_text(&mut self, now: Now) -> Rc<str> {
        match &self.metrics.made {
            Some((made_ms, text)) if now.mono_ms < made_ms + METRICS_MS_MIN => Rc::clone(text),
            _ => {
                let text: Rc<str> = self.render(now).into();
                self.metrics.made = Some((now.mono_ms, Rc::clone(&text)));
                text
            }
        }
    }

    fn render(&self, now: Now) -> String {
        let mut text = Text(String::new());
        for (name, help, values) in self.counters().families() {
            text.counters(&format!("hallway_{name}_total"), help, values);
        }
        let depth = self.hub.outboxes.depth();
        for (name, help, value) in [
            ("connections", "Connections that are open.", self.peers.len() as u64),
            ("members", "Peers that are in a room.", self.members.into()),
            ("rooms", "Rooms that exist, also without members.", self.hub.rooms() as u64),
            ("queue_frames_sum", "Frames that wait for all readers.", depth.frames_sum),
            ("queue_frames_max", "The same for the slowest reader.", depth.frames_max.into()),
            ("queue_bytes_sum", "Bytes that wait for all readers.", depth.bytes_sum),
            ("queue_bytes_max", "The same for the slowest reader.", depth.bytes_max.into()),
            ("uptime_seconds", "Since the start.", now.mono_ms / 1000),
        ] {
            text.family(&format!("hallway_{name}"), "gauge", help, value);
        }
        if let Some(bytes) = self.metrics.resident_bytes {
            let name = "process_resident_memory_bytes";
            text.family(name, "gauge", "Memory that the process holds.", bytes);
        }
        text.head("hallway_turn_seconds", "histogram", "Turns of the loop, without their sleep.");
        self.metrics.turns.render("hallway_turn_seconds", &mut text.0);
        text.0
    }
}

struct Text(String);

impl Text {
    /// What is known of a metric before its values.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A counter, or one for each value of a label.
    fn counters(&mut self, name: &str, help: &str, values: Values) {
        match values {
            Values::One(value) => self.family(name, "counter", help, value),
            Values::By(label, values) => {
                self.head(name, "counter", help);
                for (of, value) in values {
                    let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
                }
            }
        }
    }

    /// A metric of one value.
    fn family(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Now;
    use crate::hub::PeerId;
    use crate::limits::{Limits, METRICS_MS_MIN};
    use crate::server::{Output, Server};
    use std::io::IoSlice;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, ..Now::default() }
    }

    fn ask(server: &mut Server, slot: u32, request: &str, now: Now) -> PeerId {
        let id = server.accept(slot, None, now).unwrap();
        let head = format!("{request} /metrics HTTP/1.1\r\nHost: box\r\n\r\n");
        assert_eq!(server.handle_input(id, &mut head.clone().into_bytes(), now), head.len());
        id
    }

    fn answer(server: &mut Server, id: PeerId, now: Now) -> String {
        assert_eq!(server.poll_timeout(), Some(0), "an answer is due");
        assert_eq!(server.poll_output(now), Some(Output::Transmit(id)));
        let mut slices = [IoSlice::new(&[])];
        assert_eq!(server.transmit(id, &mut slices), 1);
        String::from_utf8(slices[0].to_vec()).unwrap()
    }

    #[test]
    fn what_nobody_knows_is_not_there() {
        let mut server = Server::new(Limits::default());
        let id = ask(&mut server, 0, "GET", at(0));
        assert!(server.is_scraped());
        let without = answer(&mut server, id, at(0));
        assert!(without.contains("\nhallway_accepted_total 1\n"), "{without}");
        assert!(!without.contains("resident"), "{without}");
        assert!(!server.is_scraped());

        let later = at(METRICS_MS_MIN);
        let id = ask(&mut server, 1, "GET", later);
        server.handle_resident_memory(Some(4096));
        let with = answer(&mut server, id, later);
        assert!(with.contains("\nprocess_resident_memory_bytes 4096\n"), "{with}");
        assert!(with.contains("\nhallway_accepted_total 2\n"), "{with}");
    }

    #[test]
    fn a_flood_of_questions_gets_one_look_a_second() {
        let mut server = Server::new(Limits::default());
        let first = ask(&mut server, 0, "GET", at(0));
        let first = answer(&mut server, first, at(0));
        let again = ask(&mut server, 1, "GET", at(METRICS_MS_MIN - 1));
        assert_eq!(answer(&mut server, again, at(METRICS_MS_MIN - 1)), first);
    }

    #[test]
    fn who_is_gone_before_the_answer_gets_none() {
        let mut server = Server::new(Limits::default());
        let id = ask(&mut server, 0, "HEAD", at(0));
        server.handle_closed(id, at(0));
        assert_eq!(server.poll_output(at(0)), Some(Output::Close(id)));
        assert_eq!(server.poll_output(at(0)), None);
        server.check_invariants();
    }

    #[test]
    fn who_has_sent_its_last_still_gets_an_answer() {
        let mut server = Server::new(Limits::default());
        let id = ask(&mut server, 0, "HEAD", at(0));
        server.handle_eof(id, at(0));
        let head = answer(&mut server, id, at(0));
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }
}
