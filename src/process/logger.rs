//! Log lines on standard error, one an event: `EVENT key=value key="value"`.
//!
//! The `log` crate's own front end with the least of back ends; the usual ones are larger than
//! the rest of the server. Under systemd a line begins with its syslog priority and has no time,
//! which the journal adds.
//!
//! Lines of one kind, which is one place in the code, are held back where they come too fast, so
//! that nobody can fill a small box's flash or keep the loop busy with its console. A line says
//! how many. So does one for lines that standard error did not take at once (`stderr.rs`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::stderr::Stderr;
use crate::limits::LOG_LINE_BYTES_MAX;

/// Where systemd says that standard error is the journal (systemd.exec(5)).
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

/// How many lines of one kind may come at once, and after how many milliseconds another one.
/// Excess: counted, and said so with the next line.
struct Lines {
    burst: i64,
    every_ms: i64,
}

/// From level info up: less than a megabyte a day for each kind where a line has its usual 100
/// bytes, which the flash of a small box bears.
const LINES: Lines = Lines { burst: 50, every_ms: 10_000 };

/// Level debug, which somebody looks at: less than a screen's console takes in.
const DEBUG_LINES: Lines = Lines { burst: 1_000, every_ms: 10 };

struct Logger {
    is_journal: bool,
    out: Stderr,
    /// There is one thread, so this is never waited for; `Log` wants to be shared among threads.
    flood: Mutex<Flood>,
}

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Logs from here on what is at least as important as `level`.
pub fn start(level: LevelFilter) {
    let logger = LOGGER.get_or_init(|| {
        let is_journal = std::env::var_os(JOURNAL_VARIABLE).is_some();
        Logger { is_journal, out: Stderr::open(), flood: Mutex::default() }
    });
    // A second logger is refused; the first one serves as well.
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

/// Says what is held back still; for the end.
pub fn flush() {
    log::logger().flush();
}

/// Lines that are in no log, by why.
pub fn dropped() -> [(&'static str, u64); 2] {
    let flood = LOGGER.get().map(Logger::flood);
    let (held_back, blocked) = flood.map_or((0, 0), |flood| (flood.held_back, flood.blocked));
    [("held_back", held_back), ("blocked", blocked)]
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (now, level, text) = (Utc::now(), record.level(), record.args().to_string());
        let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or_default());
        let now_ms = now.timestamp_millis();
        let mut flood = self.flood();
        let is_admitted = flood.admits(place, level, &text, now_ms);
        while let Some((level, line)) = flood.told(now_ms) {
            self.write(&mut flood, now, level, line);
        }
        if is_admitted {
            self.write(&mut flood, now, level, text);
        }
    }

    fn flush(&self) {
        let mut flood = self.flood();
        while let Some((level, line)) = flood.told(i64::MAX) {
            self.write(&mut flood, Utc::now(), level, line);
        }
    }
}

impl Logger {
    fn flood(&self) -> MutexGuard<'_, Flood> {
        self.flood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line, after one that says how many before it could not be written.
    fn write(&self, flood: &mut Flood, now: DateTime<Utc>, level: Level, text: String) {
        if flood.unsaid > 0 {
            let lines = flood.unsaid;
            let line = format!("dropped lines={lines} reason=\"standard error takes no more\"");
            if self.out.write(&self.line(now, Level::Warn, line)) {
                flood.unsaid = 0;
            }
        }
        if flood.unsaid > 0 || !self.out.write(&self.line(now, level, text)) {
            flood.unsaid += 1;
            flood.blocked += 1;
        }
    }

    fn line(&self, now: DateTime<Utc>, level: Level, text: String) -> String {
        let text = cut(text);
        if self.is_journal {
            // The priority of syslog(3).
            let priority = match level {
                Level::Error => 3,
                Level::Warn => 4,
                Level::Info => 6,
                Level::Debug | Level::Trace => 7,
            };
            return format!("<{priority}>{text}\n");
        }
        let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        format!("{time} {:<5} {text}\n", level.as_str().to_ascii_lowercase())
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LOG_LINE_BYTES_MAX {
        text.truncate(text.floor_char_boundary(LOG_LINE_BYTES_MAX));
        text.push_str("...");
    }
    text
}

/// A file of the code and a line in it.
type Place = (&'static str, u32);

/// Which lines come too fast. Times are in milliseconds of the wall clock, which may jump.
#[derive(Default)]
struct Flood {
    kinds: BTreeMap<Place, Kind>,
    /// Lines that came too fast, and those that standard error did not take.
    held_back: u64,
    blocked: u64,
    /// How many of the latter no line has told yet.
    unsaid: u64,
}

/// The lines of one place in the code: a bucket that holds a burst of them.
struct Kind {
    level: Level,
    lines: &'static Lines,
    /// The words that the lines begin with, before the first `key=`.
    event: String,
    /// When the bucket is full again.
    full_at_ms: i64,
    held_back: u64,
}

impl Flood {
    /// Whether one more line of this place may pass.
    fn admits(&mut self, place: Place, level: Level, text: &str, now_ms: i64) -> bool {
        let kind = self.kinds.entry(place).or_insert_with(|| Kind {
            level,
            lines: if level >= Level::Debug { &DEBUG_LINES } else { &LINES },
            event: event(text).to_owned(),
            full_at_ms: now_ms,
            held_back: 0,
        });
        let &Lines { burst, every_ms } = kind.lines;
        // A clock that was put back must not hold lines back for longer than a full bucket does.
        kind.full_at_ms = kind.full_at_ms.clamp(now_ms, now_ms + burst * every_ms);
        let has_room = kind.has_room(now_ms);
        if has_room {
            kind.full_at_ms += every_ms;
        } else {
            kind.held_back += 1;
            self.held_back += 1;
        }
        has_room
    }

    /// What to say of lines that were held back and whose kind may pass again.
    fn told(&mut self, now_ms: i64) -> Option<(Level, String)> {
        let is_due = |kind: &&mut Kind| kind.held_back > 0 && kind.has_room(now_ms);
        let kind = self.kinds.values_mut().find(is_due)?;
        let line = format!("held back event={:?} lines={}", kind.event, kind.held_back);
        kind.held_back = 0;
        Some((kind.level, line))
    }
}

impl Kind {
    fn has_room(&self, now_ms: i64) -> bool {
        let &Lines { burst, every_ms } = self.lines;
        self.full_at_ms.saturating_sub(now_ms) <= (burst - 1) * every_ms
    }
}

fn event(text: &str) -> &str {
    match text.split_once('=') {
        Some((before, _)) => before.rsplit_once(' ').map_or("", |(event, _)| event),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = ("here.rs", 1);
    const THERE: Place = ("there.rs", 1);
    const BURST: i64 = LINES.burst;

    /// How many of so many lines pass.
    fn passed(flood: &mut Flood, place: Place, now_ms: i64, lines: i64) -> i64 {
        let text = "refused origin=\"a=b\"";
        (0..lines).map(|_| i64::from(flood.admits(place, Level::Warn, text, now_ms))).sum()
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_alone() {
        let mut flood = Flood::default();
        assert_eq!(passed(&mut flood, HERE, 0, BURST + 7), BURST);
        assert_eq!(passed(&mut flood, THERE, 0, 1), 1);
        assert_eq!(flood.told(LINES.every_ms - 1), None);
        let line = "held back event=\"refused\" lines=7".to_owned();
        assert_eq!(flood.told(LINES.every_ms), Some((Level::Warn, line)));
        assert_eq!(flood.told(LINES.every_ms), None, "said once");
        assert_eq!(passed(&mut flood, HERE, LINES.every_ms, 5), 1, "one more each interval");
    }

    #[test]
    fn a_clock_that_is_put_back_silences_nobody_for_long() {
        let mut flood = Flood::default();
        passed(&mut flood, HERE, 1_000_000_000_000, BURST);
        assert_eq!(passed(&mut flood, HERE, 0, 1), 0);
        assert_eq!(passed(&mut flood, HERE, LINES.every_ms, 1), 1);
    }

    #[test]
    fn at_the_end_all_is_told() {
        let mut flood = Flood::default();
        passed(&mut flood, HERE, 0, BURST + 1);
        passed(&mut flood, THERE, 0, BURST + 2);
        let told: Vec<_> = std::iter::from_fn(|| flood.told(i64::MAX)).collect();
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn an_event_is_the_words_before_the_keys() {
        assert_eq!(event("cannot accept error=\"a b=c\""), "cannot accept");
        assert_eq!(event("accepting again"), "accepting again");
    }
}
