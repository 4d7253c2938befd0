//! `/metrics`: how the server is, in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write as _};
use std::rc::Rc;

use super::Chat;
use crate::clock::Now;
use crate::conn::{Peers, Values};
use crate::http::Response;
use crate::limits::METRICS_MS_MIN;
use crate::outbound::{Depth, Frames};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Tells how much memory the process holds, in bytes; `None` where nobody knows.
pub type ResidentMemory = Option<fn() -> Option<u64>>;

/// What is kept for `/metrics`.
#[derive(Debug)]
pub(super) struct Metrics {
    resident_memory: ResidentMemory,
    /// The latest text, and when it was made: it costs a look at every reader that lags.
    made: Option<(u64, Rc<str>)>,
}

impl Metrics {
    pub(super) fn new(resident_memory: ResidentMemory) -> Self {
        Self { resident_memory, made: None }
    }
}

impl Chat {
    /// The answer to whoever asks for the numbers: those of now, or of at most
    /// [`METRICS_MS_MIN`] ago.
    pub(super) fn metrics_response(&mut self, peers: &Peers, now: Now) -> Response {
        let text = match &self.metrics.made {
            Some((made_ms, text)) if now.mono_ms < made_ms + METRICS_MS_MIN => Rc::clone(text),
            _ => {
                let text: Rc<str> = self.render(peers, now).into();
                self.metrics.made = Some((now.mono_ms, Rc::clone(&text)));
                text
            }
        };
        Response::new(200, CONTENT_TYPE, text.as_bytes().to_vec())
    }

    fn render(&self, peers: &Peers, now: Now) -> String {
        let mut text = Text(String::new());
        let Frames { sent, too_slow, gone } = peers.outbound.frames();
        let dropped = [("too_slow", too_slow), ("gone", gone)];
        let dropped = dropped.map(|(reason, count)| (reason.to_owned(), count)).into();
        let frames = [
            (
                "frames_sent",
                "Frames written whole to members' sockets, but for who is typing.",
                Values::One(sent),
            ),
            (
                "frames_dropped",
                "Frames that members were to be sent and were not.",
                Values::By("reason", dropped),
            ),
        ];
        let families = peers.counters().families().into_iter().chain(self.counters.families());
        for (name, help, values) in families.chain(frames) {
            text.counters(&format!("hallway_{name}_total"), help, values);
        }
        let Depth { max, sum } = peers.outbound.depth();
        for (name, help, value) in [
            ("connections", "Connections that are open.", peers.len() as u64),
            ("members", "Peers that are in a room.", peers.open().into()),
            ("rooms", "Rooms that exist, also without members.", self.rooms.len() as u64),
            ("queue_frames_sum", "Frames that wait for all readers.", sum.frames),
            ("queue_frames_max", "The same for the slowest reader.", max.frames),
            ("queue_bytes_sum", "Bytes that wait for all readers.", sum.bytes),
            ("queue_bytes_max", "The same for the slowest reader.", max.bytes),
            ("uptime_seconds", "Since the start.", now.mono_ms / 1000),
        ] {
            text.family(&format!("hallway_{name}"), "gauge", help, value);
        }
        if let Some(bytes) = self.metrics.resident_memory.and_then(|tell| tell()) {
            let name = "process_resident_memory_bytes";
            text.family(name, "gauge", "Memory that the process holds.", bytes);
        }
        let name = "hallway_iteration_seconds";
        text.head(name, "histogram", "Iterations of the loop, without their sleep.");
        peers.iterations().render(name, &mut text.0);
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
    use std::io::IoSlice;

    use crate::chat::{Server, Setup};
    use crate::clock::Now;
    use crate::conn::Output;
    use crate::limits::METRICS_MS_MIN;

    /// The answer to a request at this time.
    fn ask(server: &mut Server, method: &str, mono_ms: u64) -> String {
        let now = Now { mono_ms, ..Now::default() };
        let id = server.accept(0, None, now).unwrap();
        let head = format!("{method} /metrics HTTP/1.1\r\nHost: box\r\n\r\n");
        server.handle_input(id, &mut head.into_bytes(), now);
        assert_eq!(server.poll_output(now), Some(Output::Transmit(id)));
        let mut slices = [IoSlice::new(&[])];
        assert_eq!(server.transmit(id, &mut slices), 1);
        let answer = String::from_utf8(slices[0].to_vec()).unwrap();
        server.handle_closed(id, now);
        while server.poll_output(now).is_some() {}
        answer
    }

    #[test]
    fn what_nobody_knows_is_not_there() {
        let without = ask(&mut Server::with(Setup::default()), "GET", 0);
        assert!(without.contains("\nhallway_accepted_total 1\n"), "{without}");
        assert!(!without.contains("resident"), "{without}");
        let setup = Setup { resident_memory: Some(|| Some(4096)), ..Setup::default() };
        let with = ask(&mut Server::with(setup), "GET", 0);
        assert!(with.contains("\nprocess_resident_memory_bytes 4096\n"), "{with}");
    }

    #[test]
    fn a_flood_of_questions_gets_one_look_a_second() {
        let mut server = Server::with(Setup::default());
        let first = ask(&mut server, "GET", 0);
        assert_eq!(ask(&mut server, "GET", METRICS_MS_MIN - 1), first);
        assert_ne!(ask(&mut server, "GET", METRICS_MS_MIN), first);
    }

    #[test]
    fn a_head_has_no_body() {
        let head = ask(&mut Server::with(Setup::default()), "HEAD", 0);
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    }
}
