//! What the command line itself says: the help, the version, the report of a check.

use std::fmt::Write as _;

use super::Options;
use super::settings::{FLAGS, SETTINGS};
use crate::chat::Origins;
use crate::limits::{Limits, SOCKET_BUFFERS_BYTES};

/// The text of `--help`.
pub fn help() -> String {
    let mut help = String::from(
        "hallway: a WebSocket chat server; the web page is at /, the WebSocket at /chat\n\
         Usage: hallway [OPTION VALUE]...\n",
    );
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = write!(help, "\n{group}\n");
        }
        let option = format!("--{} {}", setting.name, setting.value);
        push_option(&mut help, &option, setting.help);
    }
    for flag in FLAGS {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let option = format!("{short}--{}", flag.name);
        push_option(&mut help, &option, flag.help);
    }
    help.push_str(
        "\nSizes may end in K or M (64K); times end in ms, s or m (30s). Each option has\n\
         an environment variable: HALLWAY_QUEUE_BYTES is --queue-bytes. The variable\n\
         PORT is the default port. SIGTERM closes every connection and exits.\n",
    );
    help
}

/// An option and what it does, in lines that fit a terminal of 80 columns.
fn push_option(help: &mut String, option: &str, text: &str) {
    let mut line = format!("  {option:<23}");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 80 {
            let _ = writeln!(help, "{line}");
            line = " ".repeat(25);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(help, "{line}");
}

/// The text of `--version`: the version, and the features that were built in.
pub fn version() -> String {
    format!("hallway {}\nfeatures: {FEATURES}\n", env!("CARGO_PKG_VERSION"))
}

/// The features that were built in.
const FEATURES: &str = if cfg!(feature = "confine") { "confine" } else { "none" };

/// The text of `--check`: what these options mean on a machine that lets the process have so
/// many descriptors, `None` for any number, and so many bytes of memory.
///
/// # Errors
/// Those of [`Options::limits_within`].
pub fn report(options: &Options, descriptors: Option<u64>, memory: u64) -> Result<String, String> {
    let (limits, beyond) = options.limits_within(descriptors, memory)?;
    let Limits { history_frames_max: history, rooms_max: rooms, peers_max: peers, .. } = limits;
    let Limits { queue_frames_max: frames, queue_bytes_max: bytes, burst, .. } = limits;
    let Limits { message_bytes_max: message, text_bytes_max: text, .. } = limits;
    let listen: Vec<_> = options.listen.iter().map(ToString::to_string).collect();
    let pages = match &options.origins {
        Origins::Own => "from its own origin".to_owned(),
        Origins::Any => "from any origin".to_owned(),
        Origins::Listed(listed) => format!("from its own origin, {}", listed.join(", ")),
    };
    let hosts = match options.hosts.names() {
        [] => "any".to_owned(),
        names => names.join(", "),
    };
    let title = options.title.as_deref().unwrap_or("Hallway");
    let welcome = options.welcome.as_ref().map(|file| format!(", and shows {}", file.display()));
    let page = format!("calls itself {title:?}{}", welcome.unwrap_or_default());
    let why = match (beyond, options.max_peers) {
        (Some(asked), _) => format!(", not {asked}: ulimit -n is too low"),
        (None, Some(_)) => String::new(),
        (None, None) => ", from ulimit -n and --memory".to_owned(),
    };
    let per_ip = match limits.peers_per_ip_max {
        0 => String::new(),
        most => format!("; at most {most} from the same IP address"),
    };
    let joins = match limits.joins_per_minute {
        0 => "as many as the client likes".to_owned(),
        most => format!("at most {most} per minute from the same IP address"),
    };
    let budget = limits.memory_bytes_max >> 20;
    let buffers = (u64::from(peers) * SOCKET_BUFFERS_BYTES) >> 20;
    let memory = format!(
        "{budget} MB for clients and rooms; socket buffers in the kernel: up to {buffers} MB"
    );
    let idle = match limits.ping_ms {
        0 => "stay connected".to_owned(),
        _ => format!("disconnected after {} s", limits.silence_ms_max() / 1000),
    };
    let rate = match limits.rate_per_second {
        0 => "as many as the client likes".to_owned(),
        rate => format!("{burst} at once, then {rate} per second"),
    };
    let lines = [
        ("listen on", listen.join(" and ")),
        ("host names", hosts),
        ("web pages", pages),
        ("the page", page),
        ("clients", format!("at most {peers}{why}{per_ip}")),
        ("joins", joins),
        ("memory", memory),
        ("history", format!("{history} messages in each of {rooms} rooms, in memory")),
        ("slow clients", format!("disconnected when {frames} frames or {bytes} bytes behind")),
        ("idle clients", idle),
        ("messages", format!("of up to {message} bytes, text up to {text}; {rate}")),
        ("user", options.user.as_ref().map_or("not changed".to_owned(), ToString::to_string)),
        ("log level", options.log.as_str().to_ascii_lowercase()),
        ("features", FEATURES.to_owned()),
    ];
    let mut report =
        format!("The options are valid. hallway {} would run with\n", env!("CARGO_PKG_VERSION"));
    for (what, how) in lines {
        let _ = writeln!(report, "  {what:<17}{how}");
    }
    Ok(report)
}
