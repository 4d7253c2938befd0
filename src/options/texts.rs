//! What the command line itself says: the help, the version, the report of a check.

use std::fmt::Write as _;

use super::settings::{FLAGS, SETTINGS};
use super::{LevelFilter, Options};
use crate::limits::Limits;
use crate::server::Origins;

/// The text of `--help`.
pub fn help() -> String {
    let mut help = String::from(
        "hallway: a chat server over WebSocket; a page at /, the WebSocket at /chat\n\
         Usage: hallway [OPTION VALUE]...\n",
    );
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(help, "\n{group}\n");
        }
        let option = format!("--{} {}", setting.name, setting.value);
        let _ = writeln!(help, "  {option:<24}{}", setting.help);
    }
    for flag in FLAGS {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let option = format!("{short}--{}", flag.name);
        let _ = writeln!(help, "  {option:<24}{}", flag.help);
    }
    help.push_str(
        "\nSizes take K and M, times ms, s and m. Every option is a variable too:\n\
         --queue-bytes is HALLWAY_QUEUE_BYTES, and PORT is the default port.\n\
         SIGTERM says goodbye to everybody and exits.\n",
    );
    help
}

/// The text of `--version`: the version, and the features that were built in.
pub fn version() -> String {
    format!("hallway {}\nfeatures: {FEATURES}\n", env!("CARGO_PKG_VERSION"))
}

/// The features that were built in.
const FEATURES: &str = if cfg!(feature = "confine") { "confine" } else { "none" };

/// The text of `--check`: what these options lead to on a machine that lets the process have so
/// many descriptors, `None` for any number.
pub fn report(options: &Options, descriptors: Option<u64>) -> String {
    let (limits, beyond) = options.limits_within(descriptors);
    let listen: Vec<_> = options.listen.iter().map(ToString::to_string).collect();
    let lines = [
        ("listen on", listen.join(" and ")),
        ("admit pages", pages(&options.origins)),
        ("admit peers", peers(options, &limits, beyond)),
        ("keep messages", kept(&limits)),
        ("drop readers", dropped(&limits)),
        ("take messages", taken(&limits)),
        ("run as", options.user.as_ref().map_or("who starts it".to_owned(), ToString::to_string)),
        ("log lines", format!("of level {} and above", level(options.log))),
        ("features", FEATURES.to_owned()),
    ];
    let mut report =
        format!("These options are good. hallway {} would\n", env!("CARGO_PKG_VERSION"));
    for (what, how) in lines {
        let _ = writeln!(report, "  {what:<17}{how}");
    }
    report
}

fn pages(origins: &Origins) -> String {
    match origins {
        Origins::Own => "of its own origin".to_owned(),
        Origins::Any => "of any origin".to_owned(),
        Origins::Listed(listed) => format!("of its own origin, {}", listed.join(", ")),
    }
}

fn peers(options: &Options, limits: &Limits, beyond: Option<u32>) -> String {
    let why = match (beyond, options.max_peers) {
        (Some(asked), _) => format!(", not the {asked} asked for: descriptors allow no more"),
        (None, Some(_)) => String::new(),
        (None, None) => ", as descriptors allow".to_owned(),
    };
    let per_ip = match limits.peers_per_ip_max {
        0 => String::new(),
        most => format!(", {most} from one address"),
    };
    format!("{} at once{why}{per_ip}", limits.peers_max)
}

fn kept(limits: &Limits) -> String {
    format!("{} in each of {} rooms, in memory", limits.history_frames_max, limits.rooms_max)
}

fn dropped(limits: &Limits) -> String {
    let lag =
        format!("{} frames or {} bytes behind", limits.queue_frames_max, limits.queue_bytes_max);
    match limits.ping_ms {
        0 => lag,
        _ => format!("{lag}, and peers silent for {} s", limits.silence_ms_max() / 1000),
    }
}

fn taken(limits: &Limits) -> String {
    let rate = match limits.rate_per_second {
        0 => "as many as come".to_owned(),
        rate => format!("{rate} a second after {} at once", limits.burst),
    };
    format!("of {} bytes, texts of {}, {rate}", limits.message_bytes_max, limits.text_bytes_max)
}

fn level(level: LevelFilter) -> String {
    level.as_str().to_ascii_lowercase()
}
