//! `/metrics`: how the server is, in the text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write as _};

use super::routes::Answered;
use super::{Chat, Counters};
use crate::clock::Now;
use crate::conn::{self, Answer, Caller, ITERATION_US_BUCKETS, Peers};
use crate::http::{Request, Response};
use crate::limits::METRICS_MS_MIN;
use crate::outbound::{Depth, Frames};

/// Tells how much memory the process holds, in bytes; `None` where nobody knows.
pub type ResidentMemory = Option<fn() -> Option<u64>>;

/// Tells how many log lines are in no log, by why; `None` where nobody knows.
pub type LogLinesDropped = Option<fn() -> [(&'static str, u64); 2]>;

impl Chat {
    /// The answer to whoever asks for the numbers: those of now, or of at most
    /// [`METRICS_MS_MIN`] ago.
    pub(super) fn answer_metrics(&mut self, caller: &mut Caller<'_>, _: &Request<'_>) -> Answered {
        let now = caller.now;
        let latest = self.metrics.take().filter(|(ms, _)| now.mono_ms < ms + METRICS_MS_MIN);
        let latest = latest.unwrap_or_else(|| (now.mono_ms, self.render(caller.peers, now)));
        Ok(Answer::Response(self.metrics.insert(latest).1.clone()))
    }

    fn render(&self, peers: &Peers, now: Now) -> Response {
        let mut text = Text::default();
        text.connections(&peers.counters);
        text.chat(&self.counters, peers.outbound.frames());
        let Depth { max, sum } = peers.outbound.depth();
        for (name, help, value) in [
            ("connections", "Connections that are open.", peers.len() as u64),
            ("members", "Peers that are in a room.", peers.open.into()),
            ("rooms", "Rooms that exist, also without members.", self.rooms.count() as u64),
            ("queue_frames_sum", "Frames that wait for all readers.", sum.frames),
            ("queue_frames_max", "The same for the slowest reader.", max.frames),
            ("queue_bytes_sum", "Bytes that wait for all readers.", sum.bytes),
            ("queue_bytes_max", "The same for the slowest reader.", max.bytes),
            ("uptime_seconds", "Since the start.", now.mono_ms / 1000),
        ] {
            text.family(&format!("hallway_{name}"), "gauge", help, value);
        }
        let help = "Memory that is counted against the budget, in bytes, by what it is for.";
        text.head("hallway_held_bytes", "gauge", help);
        for (kind, bytes) in peers.held().into_iter().chain([("rooms", self.rooms.held())]) {
            let _ = writeln!(text.0, "hallway_held_bytes{{kind=\"{kind}\"}} {bytes}");
        }
        let help = "The most that may be held: seven eighths of --memory.";
        let budget = peers.limits.held_bytes_max() as u64;
        text.family("hallway_held_bytes_max", "gauge", help, budget);
        if let Some(bytes) = self.resident_memory.and_then(|tell| tell()) {
            let name = "process_resident_memory_bytes";
            text.family(
                name,
                "gauge",
                "Memory that the process holds; above 8 MiB to a few percent.",
                bytes,
            );
        }
        if let Some(dropped) = self.log_lines_dropped {
            let help = "Log lines that came too fast, or while nobody read the log.";
            text.counters("log_lines_dropped", help, "reason", dropped());
        }
        text.iterations(&peers.counters.iterations);
        Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text.0.into_bytes())
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn connections(&mut self, counters: &conn::Counters) {
        self.counter("accepted", "Connections taken in.", counters.accepted);
        let help = "Connections turned away before their request, by what was wanting.";
        let wants = [("slot", counters.turned_away), ("descriptor", counters.over_fd_limit)];
        self.counters("turned_away", help, "want", wants);
        let closed = counters.closed.iter();
        self.counters("closed", "Connections that are gone, by why.", "reason", closed);
        self.counter("joined", "Connections that became WebSockets.", counters.joined);
        let exited = counters.exited.iter();
        self.counters("exited", "WebSockets that have ended, by why.", "reason", exited);
        let help = "HTTP requests answered with what they asked for, WebSocket handshakes aside.";
        self.counter("served", help, counters.served);
        let refused = counters.refused.iter();
        self.counters("refused", "HTTP requests and handshakes refused.", "status", refused);
        self.counter("received_bytes", "Bytes that came in.", counters.received_bytes);
        let kinds = [("text", counters.texts), ("ping", counters.pings), ("pong", counters.pongs)];
        self.counters("received", "Messages and control frames that came in whole.", "kind", kinds);
        self.counter("pinged", "Pings sent to silent WebSockets.", counters.pinged);
        self.counter("sent_bytes", "Bytes that went out.", counters.sent_bytes);
        let help = "Times that memory was short, and something went for it.";
        self.counter("memory_short", help, counters.memory_short);
    }

    fn chat(&mut self, counters: &Counters, frames: Frames) {
        let help = "Handshakes refused, by what there was too much of.";
        let unavailable = [("members", counters.full), ("rooms", counters.no_room)];
        self.counters("unavailable", help, "of", unavailable);
        self.counter("messages", "Chat messages said to a room.", counters.messages);
        self.counter("typing", "News that somebody writes.", counters.typing);
        let help = "Messages answered with an error to their sender.";
        self.counters("rejected", help, "code", counters.rejected.iter());
        let help = "Frames written whole to members' sockets, but for who is typing.";
        self.counter("frames_sent", help, frames.sent);
        let help = "Frames that members were to be sent and were not.";
        let dropped = [("too_slow", frames.too_slow), ("gone", frames.gone)];
        self.counters("frames_dropped", help, "reason", dropped);
    }

    /// As Prometheus has histograms: in seconds.
    fn iterations(&mut self, iterations: &conn::Iterations) {
        // Whole numbers, so that the code of floating point stays out.
        let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        let name = "hallway_iteration_seconds";
        self.head(name, "histogram", "Iterations of the loop, without their sleep.");
        for (bound_us, within) in ITERATION_US_BUCKETS.into_iter().zip(iterations.within) {
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {within}", seconds(bound_us));
        }
        let (count, sum) = (iterations.count, seconds(iterations.sum_us));
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.0, "{name}_sum {sum}\n{name}_count {count}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(&format!("hallway_{name}_total"), "counter", help, value);
    }

    /// Counters of one name, one for each value of a label.
    fn counters<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (V, u64)>,
    ) {
        let name = format!("hallway_{name}_total");
        self.head(&name, "counter", help);
        for (of, value) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    /// A metric of one value.
    fn family(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// What is known of a metric before its values.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use super::*;
    use crate::chat::{Server, Setup};
    use crate::conn::{Ending, Output};

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

    #[test]
    fn every_counter_is_told() {
        let (mut connections, mut chat) = (conn::Counters::default(), Counters::default());
        // Whoever adds a counter is told here by the compiler.
        let conn::Counters {
            accepted,
            turned_away,
            over_fd_limit,
            closed,
            joined,
            exited,
            served,
            refused,
            received_bytes,
            texts,
            pings,
            pongs,
            pinged,
            sent_bytes,
            memory_short,
            iterations: _,
        } = &mut connections;
        let Counters { full, no_room, messages, typing, rejected } = &mut chat;
        let numbers = [accepted, turned_away, over_fd_limit, joined, served, received_bytes];
        let more = [texts, pings, pongs, pinged, sent_bytes, memory_short];
        let of_chat = [full, no_room, messages, typing];
        let mut last = 100;
        for number in numbers.into_iter().chain(more).chain(of_chat) {
            last += 1;
            *number = last;
        }
        closed.count(Ending::Lost);
        exited.count(Ending::TooBig);
        refused.count(404);
        rejected.count("empty");
        let mut text = Text::default();
        text.connections(&connections);
        text.chat(&chat, Frames { sent: last + 1, too_slow: last + 2, gone: last + 3 });
        for number in 101..=last + 3 {
            assert_eq!(text.0.matches(&format!(" {number}\n")).count(), 1, "{}", text.0);
        }
        for one in [
            "hallway_closed_total{reason=\"lost\"} 1\n",
            "hallway_exited_total{reason=\"too_big\"} 1\n",
            "hallway_refused_total{status=\"404\"} 1\n",
            "hallway_rejected_total{code=\"empty\"} 1\n",
        ] {
            assert!(text.0.contains(one), "{}", text.0);
        }
    }

    #[test]
    fn a_bucket_counts_what_is_within_it_and_below() {
        let mut server = Server::with(Setup::default());
        for took_us in [0, 50, 51, 99_999_999] {
            server.handle_iteration_took(took_us);
        }
        let text = ask(&mut server, "GET", 0);
        let name = "\nhallway_iteration_seconds";
        let low = format!("{name}_bucket{{le=\"0.000050\"}} 2{name}_bucket{{le=\"0.000100\"}} 3\n");
        assert!(text.contains(&low), "{text}");
        let high = format!("{name}_bucket{{le=\"1.000000\"}} 3{name}_bucket{{le=\"+Inf\"}} 4");
        let end = format!("{high}{name}_sum 100.000100{name}_count 4\n");
        assert!(text.ends_with(&end), "{text}");
    }
}
