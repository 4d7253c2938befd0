//! Log lines on standard error, one an event: `EVENT key=value key="value"`.
//!
//! The `log` crate's own front end with the least of back ends; the usual ones are larger than
//! the rest of the server. Under systemd a line begins with its syslog priority and has no time,
//! which the journal adds.

use std::io::Write as _;

use chrono::{SecondsFormat, Utc};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Where systemd says that standard error is the journal (systemd.exec(5)).
const JOURNAL_VARIABLE: &str = "JOURNAL_STREAM";

struct Logger {
    is_journal: bool,
}

/// Logs from here on what is at least as important as `level`.
pub(crate) fn start(level: LevelFilter) {
    let is_journal = std::env::var_os(JOURNAL_VARIABLE).is_some();
    // A second logger is refused; the first one serves as well.
    if log::set_boxed_logger(Box::new(Logger { is_journal })).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = match self.is_journal {
            true => format!("<{}>{}\n", priority(record.level()), record.args()),
            false => {
                let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
                format!("{time} {:<5} {}\n", record.level().as_str().to_lowercase(), record.args())
            }
        };
        // Nobody is left to tell that standard error is closed.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
