//! The command line: every setting is an option and an environment variable, the option wins.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use lexopt::{Arg, Parser, ValueExt};
use log::LevelFilter;

use crate::limits::{self, DESCRIPTORS_RESERVED, Limits, REFUSALS_MAX};
use crate::server::Origins;

/// The port where none is named.
const DEFAULT_PORT: u16 = 8080;

/// An unknown option within this distance of a known one was probably meant to be it; 1.0 would
/// be equal (Jaro-Winkler, whose authors found 0.7 to separate typing errors from other words).
const SIMILARITY_MIN: f64 = 0.7;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// To serve.
    Serve(Options),
    /// To print the help.
    Help,
    /// To print the version.
    Version,
}

/// The settings of a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// What a peer can make the server do. `peers_max` counts only where `max_peers` is set.
    pub limits: Limits,
    /// Peers at once, where they are not as many as descriptors allow.
    pub max_peers: Option<u32>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// The least important lines that are logged.
    pub log: LevelFilter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            limits: Limits::default(),
            max_peers: None,
            origins: Origins::default(),
            log: LevelFilter::Info,
        }
    }
}

impl Options {
    /// The limits on a machine that lets the process have so many descriptors, `None` for any
    /// number; and what was asked for beyond that, if anything was.
    pub fn limits_within(&self, descriptors: Option<u64>) -> (Limits, Option<u32>) {
        let reserved = DESCRIPTORS_RESERVED + u64::from(REFUSALS_MAX) + self.listen.len() as u64;
        let possible = descriptors.map_or(*limits::PEERS.end(), |all| all.saturating_sub(reserved));
        let possible = u32::try_from(possible.clamp(1, *limits::PEERS.end())).unwrap_or(u32::MAX);
        let peers_max = self.max_peers.map_or(possible, |asked| asked.min(possible));
        let beyond = self.max_peers.filter(|&asked| asked > possible);
        (Limits { peers_max, ..self.limits.clone() }, beyond)
    }
}

/// One option: how it is called, what it takes, and what it does.
struct Setting {
    group: &'static str,
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Options, &str) -> Result<(), String>,
}

impl Setting {
    /// `--queue-bytes` is `HALLWAY_QUEUE_BYTES`.
    fn variable(&self) -> String {
        format!("HALLWAY_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }
}

const SETTINGS: &[Setting] = &[
    Setting {
        group: "Where",
        name: "listen",
        value: "ADDR:PORT",
        help: "listen there, repeatable [0.0.0.0:8080, or PORT of the environment]",
        set: |options, value| {
            for address in value.split([',', ' ']).filter(|part| !part.is_empty()) {
                options.listen.push(
                    address.parse().map_err(|_| {
                        "expected IP:PORT, like 0.0.0.0:8080 or [::]:8080".to_owned()
                    })?,
                );
            }
            Ok(())
        },
    },
    Setting {
        group: "Where",
        name: "origin",
        value: "ORIGIN",
        help: "let pages of this origin connect too, repeatable; any for all [its own]",
        set: |options, value| {
            for origin in value.split([',', ' ']).filter(|part| !part.is_empty()) {
                add_origin(&mut options.origins, origin)?;
            }
            Ok(())
        },
    },
    Setting {
        group: "Chat",
        name: "history",
        value: "N",
        help: "messages replayed on joining [100]",
        set: |options, value| {
            number(value, limits::HISTORY_FRAMES, &mut options.limits.history_frames_max)
        },
    },
    Setting {
        group: "Chat",
        name: "text-bytes",
        value: "SIZE",
        help: "text of one chat message [4096]",
        set: |options, value| size(value, limits::TEXT_BYTES, &mut options.limits.text_bytes_max),
    },
    Setting {
        group: "Chat",
        name: "announce-up-to",
        value: "N",
        help: "announce joins and leaves in rooms of at most N [1000]",
        set: |options, value| {
            number(value, limits::ANNOUNCE_UP_TO, &mut options.limits.announce_up_to)
        },
    },
    Setting {
        group: "Limits",
        name: "rooms-max",
        value: "N",
        help: "rooms at once [1000]",
        set: |options, value| number(value, limits::ROOMS, &mut options.limits.rooms_max),
    },
    Setting {
        group: "Limits",
        name: "max-peers",
        value: "N",
        help: "peers at once, others get 503 [what descriptors allow]",
        set: |options, value| {
            let mut peers = 0;
            number(value, limits::PEERS, &mut peers)?;
            options.max_peers = Some(peers);
            Ok(())
        },
    },
    Setting {
        group: "Limits",
        name: "max-peers-per-ip",
        value: "N",
        help: "the same for one address, 0 for any number [0]",
        set: |options, value| {
            number(value, limits::PEERS_PER_IP, &mut options.limits.peers_per_ip_max)
        },
    },
    Setting {
        group: "Limits",
        name: "queue-frames",
        value: "N",
        help: "frames a reader may lag before it is dropped [256]",
        set: |options, value| {
            number(value, limits::QUEUE_FRAMES, &mut options.limits.queue_frames_max)
        },
    },
    Setting {
        group: "Limits",
        name: "queue-bytes",
        value: "SIZE",
        help: "the same in bytes [1M]",
        set: |options, value| size(value, limits::QUEUE_BYTES, &mut options.limits.queue_bytes_max),
    },
    Setting {
        group: "Limits",
        name: "message-bytes",
        value: "SIZE",
        help: "a whole WebSocket message, longer ones end the connection [16K]",
        set: |options, value| {
            size(value, limits::MESSAGE_BYTES, &mut options.limits.message_bytes_max)
        },
    },
    Setting {
        group: "Limits",
        name: "rate",
        value: "N",
        help: "messages a second and peer, 0 for no limit [50]",
        set: |options, value| number(value, limits::RATE, &mut options.limits.rate_per_second),
    },
    Setting {
        group: "Limits",
        name: "burst",
        value: "N",
        help: "messages that may come at once before the rate counts [1000]",
        set: |options, value| number(value, limits::BURST, &mut options.limits.burst),
    },
    Setting {
        group: "Limits",
        name: "ping",
        value: "TIME",
        help: "ping peers silent for so long, drop them at 2.5 times; 0 for never [30s]",
        set: |options, value| time(value, limits::PING_MS, &mut options.limits.ping_ms),
    },
    Setting {
        group: "Running",
        name: "log",
        value: "LEVEL",
        help: "error, warn, info or debug [info]",
        set: |options, value| {
            options.log = match value {
                "error" => LevelFilter::Error,
                "warn" => LevelFilter::Warn,
                "info" => LevelFilter::Info,
                "debug" => LevelFilter::Debug,
                _ => return Err("expected error, warn, info or debug".to_owned()),
            };
            Ok(())
        },
    },
];

/// Reads the arguments after the program's name, and the environment through `variable`.
///
/// # Errors
/// One line: what, why, what to do.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Action, String> {
    let mut given = Vec::new();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        let setting = match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Action::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Action::Version),
            Arg::Long(name) => find(name)?,
            Arg::Short(char) => return Err(format!("unknown option -{char}; see hallway --help")),
            Arg::Value(value) => {
                let value = value.to_string_lossy();
                return Err(format!("unexpected argument {value:?}; see hallway --help"));
            }
        };
        let missing = || format!("--{} needs a value: --{0} {}", setting.name, setting.value);
        let value = parser.value().map_err(|_| missing())?;
        given.push((setting, value.string().map_err(|error| error.to_string())?));
    }

    let mut options = Options::default();
    for setting in SETTINGS {
        let name = setting.variable();
        if !given.iter().any(|(one, _)| one.name == setting.name)
            && let Some(value) = variable(&name).filter(|value| !value.is_empty())
        {
            set(setting, &name, &value, &mut options)?;
        }
    }
    for (setting, value) in given {
        set(setting, &format!("--{}", setting.name), &value, &mut options)?;
    }
    if options.listen.is_empty() {
        let port = default_port(&variable)?;
        options.listen.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    options.limits.check()?;
    Ok(Action::Serve(options))
}

/// The text of `--help`.
pub fn help() -> String {
    let mut help = String::from(
        "hallway: a chat server over WebSocket; the page is at / and the WebSocket at /chat\n\n\
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
    help.push_str(
        "  -h, --help              print this\n  -V, --version           print the version\n\n\
         Sizes take K and M, times ms, s and m. Every option is an environment variable too:\n\
         --queue-bytes is HALLWAY_QUEUE_BYTES. SIGTERM says goodbye to everybody and exits.\n",
    );
    help
}

/// The text of `--version`: the version, and the features that were built in.
pub fn version() -> String {
    format!("hallway {}\nfeatures: none\n", env!("CARGO_PKG_VERSION"))
}

fn find(name: &str) -> Result<&'static Setting, String> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
        return Ok(setting);
    }
    let similarity = |setting: &&Setting| strsim::jaro_winkler(setting.name, name);
    let nearest = SETTINGS.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    Err(match nearest.filter(|setting| similarity(setting) >= SIMILARITY_MIN) {
        Some(setting) => format!("unknown option --{name}; did you mean --{}?", setting.name),
        None => format!("unknown option --{name}; see hallway --help"),
    })
}

fn set(setting: &Setting, name: &str, value: &str, options: &mut Options) -> Result<(), String> {
    (setting.set)(options, value).map_err(|why| format!("{name} {value}: {why}"))
}

fn default_port(variable: &impl Fn(&str) -> Option<String>) -> Result<u16, String> {
    match variable("PORT").filter(|value| !value.is_empty()) {
        None => Ok(DEFAULT_PORT),
        Some(port) => port
            .parse()
            .map_err(|_| format!("PORT {port}: out of range; expected 0 to {}", u16::MAX)),
    }
}

fn add_origin(origins: &mut Origins, origin: &str) -> Result<(), String> {
    if origin == "any" {
        *origins = Origins::Any;
        return Ok(());
    }
    let is_origin = match origin.split_once("://") {
        Some((scheme, authority)) => {
            !scheme.is_empty() && !authority.is_empty() && !authority.contains('/')
        }
        None => origin == "null",
    };
    if !is_origin {
        return Err(
            "expected SCHEME://HOST[:PORT] without a path, like https://example.org, or any"
                .to_owned(),
        );
    }
    match origins {
        Origins::Any => {}
        Origins::Listed(listed) => listed.push(origin.to_owned()),
        Origins::Own => *origins = Origins::Listed(vec![origin.to_owned()]),
    }
    Ok(())
}

fn number(value: &str, range: RangeInclusive<u64>, out: &mut u32) -> Result<(), String> {
    let out_of_range = || format!("out of range; expected {} to {}", range.start(), range.end());
    let number =
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(out_of_range)?;
    *out = u32::try_from(number).map_err(|_| out_of_range())?;
    Ok(())
}

fn size(value: &str, range: RangeInclusive<u64>, out: &mut u32) -> Result<(), String> {
    let out_of_range =
        || format!("out of range; expected {} to {}, K and M allowed", range.start(), range.end());
    let bytes = scaled(value, &[("K", 1024), ("M", 1024 * 1024), ("", 1)]);
    let bytes = bytes.filter(|bytes| range.contains(bytes)).ok_or_else(out_of_range)?;
    *out = u32::try_from(bytes).map_err(|_| out_of_range())?;
    Ok(())
}

fn time(value: &str, range: RangeInclusive<u64>, out: &mut u64) -> Result<(), String> {
    let ms = match value {
        "0" => Some(0),
        _ => scaled(value, &[("ms", 1), ("s", 1000), ("m", 60_000)])
            .filter(|ms| *ms == 0 || range.contains(ms)),
    };
    *out = ms.ok_or_else(|| {
        format!(
            "out of range; expected 0, or {}ms to {}ms, with ms, s or m",
            range.start(),
            range.end()
        )
    })?;
    Ok(())
}

/// A number with the first of the units that it ends in.
fn scaled(value: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = units.iter().find_map(|&(name, unit)| {
        let digits = value.strip_suffix(name)?;
        Some((digits, unit))
    })?;
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_with(args: &str, variables: &[(&str, &str)]) -> Result<Options, String> {
        let args = args.split_whitespace().map(OsString::from);
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match parse(args, variable)? {
            Action::Serve(options) => Ok(options),
            action => panic!("{action:?}"),
        }
    }

    fn error(args: &str) -> String {
        parse_with(args, &[]).unwrap_err()
    }

    #[test]
    fn the_defaults_are_those_of_the_limits() {
        let options = parse_with("", &[]).unwrap();
        assert_eq!(options.listen, ["0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(options.limits, Limits::default());
    }

    #[test]
    fn the_option_wins_over_the_variable_and_that_over_the_default() {
        let variables = [("HALLWAY_HISTORY", "7"), ("HALLWAY_QUEUE_BYTES", "2M"), ("PORT", "9000")];
        let options = parse_with("--history 8 --ping=1500ms", &variables).unwrap();
        assert_eq!(options.limits.history_frames_max, 8);
        assert_eq!(options.limits.queue_bytes_max, 2 * 1024 * 1024);
        assert_eq!(options.limits.ping_ms, 1500);
        assert_eq!(options.listen, ["0.0.0.0:9000".parse().unwrap()]);
    }

    #[test]
    fn listening_is_repeatable_and_replaces_the_variable() {
        let variables = [("HALLWAY_LISTEN", "127.0.0.1:1, 127.0.0.1:2"), ("PORT", "9")];
        assert_eq!(parse_with("", &variables).unwrap().listen.len(), 2);
        let options = parse_with("--listen 127.0.0.1:3 --listen [::1]:4", &variables).unwrap();
        assert_eq!(options.listen, ["127.0.0.1:3".parse().unwrap(), "[::1]:4".parse().unwrap()]);
    }

    #[test]
    fn origins_add_up_and_replace_the_variable() {
        let variables = [("HALLWAY_ORIGIN", "https://c")];
        let variable = parse_with("--origin https://a", &variables).unwrap().origins;
        assert_eq!(variable, Origins::Listed(vec!["https://a".to_owned()]));
        let origins = |args: &str| parse_with(args, &[]).unwrap().origins;
        let listed =
            |all: &[&str]| Origins::Listed(all.iter().map(|&one| one.to_owned()).collect());
        assert_eq!(origins(""), Origins::Own);
        assert_eq!(
            origins("--origin https://a --origin http://b:1"),
            listed(&["https://a", "http://b:1"])
        );
        assert_eq!(origins("--origin https://a --origin any"), Origins::Any);
        let page = "--origin https://a/page";
        assert!(error(page).starts_with("--origin https://a/page: expected SCHEME://HOST"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_range() {
        for (args, line) in [
            ("--history 10001", "--history 10001: out of range; expected 0 to 10000"),
            ("--history -1", "--history -1: out of range; expected 0 to 10000"),
            ("--queue-frames 7", "--queue-frames 7: out of range; expected 8 to 65536"),
            (
                "--queue-bytes 1G",
                "--queue-bytes 1G: out of range; expected 4096 to 268435456, K and M allowed",
            ),
            (
                "--ping 5",
                "--ping 5: out of range; expected 0, or 1000ms to 86400000ms, with ms, s or m",
            ),
            (
                "--ping 99999999999999999999m",
                "--ping 99999999999999999999m: out of range; expected 0, or 1000ms to 86400000ms, with ms, s or m",
            ),
            ("--listen 8080", "--listen 8080: expected IP:PORT, like 0.0.0.0:8080 or [::]:8080"),
            ("--log loud", "--log loud: expected error, warn, info or debug"),
            ("--history", "--history needs a value: --history N"),
            ("--quue-frames 9", "unknown option --quue-frames; did you mean --queue-frames?"),
            ("--frobnicate", "unknown option --frobnicate; see hallway --help"),
            ("-x", "unknown option -x; see hallway --help"),
            ("serve", "unexpected argument \"serve\"; see hallway --help"),
        ] {
            assert_eq!(error(args), line);
        }
        assert!(error("--text-bytes 1M").contains("--message-bytes"));
        let port = parse_with("", &[("PORT", "70000")]).unwrap_err();
        assert_eq!(port, "PORT 70000: out of range; expected 0 to 65535");
        let history = parse_with("", &[("HALLWAY_HISTORY", "x")]).unwrap_err();
        assert_eq!(history, "HALLWAY_HISTORY x: out of range; expected 0 to 10000");
    }

    #[test]
    fn peers_are_what_descriptors_allow() {
        let options = parse_with("", &[]).unwrap();
        assert_eq!(options.limits_within(Some(1024)).0.peers_max, 1024 - 16 - 8 - 1);
        assert_eq!(options.limits_within(Some(3)).0.peers_max, 1, "never nobody");
        assert_eq!(options.limits_within(None).0.peers_max, 1_000_000);
        let options = parse_with("--max-peers 5000", &[]).unwrap();
        let (limits, beyond) = options.limits_within(Some(1024));
        assert_eq!((limits.peers_max, beyond), (999, Some(5000)));
        assert_eq!(options.limits_within(Some(20_000)).0.peers_max, 5000);
    }

    #[test]
    fn the_help_fits_on_a_screen_and_names_every_option() {
        let help = help();
        assert!(help.lines().count() <= 32, "{} lines", help.lines().count());
        assert!(help.lines().all(|line| line.len() <= 100));
        assert!(SETTINGS.iter().all(|setting| help.contains(&format!("--{} ", setting.name))));
    }
}
