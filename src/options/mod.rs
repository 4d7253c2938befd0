//! The command line: every setting is an option and an environment variable, the option wins.

mod settings;
mod texts;
mod values;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use log::LevelFilter;

use crate::chat::{Hosts, Origins};
use crate::limits::{
    self, CONNECTION_BYTES, DESCRIPTORS_RESERVED, Limits, MEMORY_DEFAULT_MAX, MEMORY_PART,
    REFUSALS_MAX, UNTOUCHED_BYTES, WELCOME_BYTES_MAX,
};
use crate::process::{User, read_text};
use crate::reactor::Address;

use settings::VARIABLE_PREFIX;
pub use settings::{FLAGS, Flag, SETTINGS, Setting};
pub use texts::{help, report, version};

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
    /// To say how it would serve.
    Check(Options),
    /// To print the help.
    Help,
    /// To print the version.
    Version,
}

/// The settings of a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Addresses to listen on.
    pub listen: Vec<Address>,
    /// What a peer can make the server do. Of `peers_max` and `memory_bytes_max` see below.
    pub limits: Limits,
    /// Peers at once, where they are not as many as descriptors and memory allow.
    pub max_peers: Option<u32>,
    /// Memory that is held for peers and rooms, where it is not a part of the machine's.
    pub memory: Option<u32>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// By which names the server may be called.
    pub hosts: Hosts,
    /// What the page calls itself, where that is not its own name.
    pub title: Option<String>,
    /// The file with what the page says on entering.
    pub welcome: Option<PathBuf>,
    /// Whom to become once it listens.
    pub user: Option<User>,
    /// The least important lines that are logged.
    pub log: LevelFilter,
}

impl Options {
    /// The limits on a machine that lets the process have so many descriptors, `None` for any
    /// number, and so many bytes of memory; and how many peers were asked for, if they are more
    /// than descriptors allow.
    ///
    /// # Errors
    /// Too few to serve a single peer, or too little memory, in one line: what, why, what to do.
    pub fn limits_within(
        &self,
        descriptors: Option<u64>,
        memory: u64,
    ) -> Result<(Limits, Option<u32>), String> {
        let default = (memory / MEMORY_PART).clamp(*limits::MEMORY.start(), MEMORY_DEFAULT_MAX);
        let memory_bytes_max = self.memory.unwrap_or(u32::try_from(default).unwrap_or(u32::MAX));
        // The other half is for what they say.
        let affordable = memory_bytes_max / 2 / (CONNECTION_BYTES + UNTOUCHED_BYTES);
        if let Some(asked) = self.max_peers.filter(|&asked| asked > affordable) {
            return Err(format!(
                "--max-peers {asked} would take more than half of --memory {memory_bytes_max}; \
                 lower --max-peers to {affordable}, or raise --memory"
            ));
        }
        let reserved = DESCRIPTORS_RESERVED + u64::from(REFUSALS_MAX) + self.listen.len() as u64;
        let all = descriptors.unwrap_or(u64::MAX);
        let possible = all.saturating_sub(reserved).min(*limits::PEERS.end());
        let possible = u32::try_from(possible).unwrap_or(u32::MAX);
        if possible == 0 {
            return Err(format!(
                "this process may open {all} file descriptors and needs at least {}; \
                 raise the limit with ulimit -n or LimitNOFILE=",
                reserved + 1
            ));
        }
        let peers_max = self.max_peers.unwrap_or(affordable).min(possible);
        let beyond = self.max_peers.filter(|&asked| asked > possible);
        Ok((Limits { peers_max, memory_bytes_max, ..self.limits.clone() }, beyond))
    }

    /// What the page says on entering: the text of the file, as the process may read it now.
    ///
    /// # Errors
    /// Why it cannot be shown; a sentence with what to do.
    pub fn read_welcome(&self) -> Result<Option<String>, String> {
        let read = |path: &PathBuf| read_text(path, WELCOME_BYTES_MAX);
        let text = self.welcome.as_ref().map(read).transpose();
        text.map_err(|why| format!("--welcome {why}"))
    }
}

/// Reads the arguments after the program's name, and the variables of the environment. An empty
/// one is as one that is not there.
///
/// # Errors
/// One line: what, why, what to do.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    variables: &[(String, String)],
) -> Result<Action, String> {
    let set = || variables.iter().filter(|(_, value)| !value.is_empty());
    let variable = |name: &str| set().find(|(known, _)| known == name).map(|(_, value)| value);
    let mut given = Vec::new();
    let mut is_check = false;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        let setting = match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Action::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Action::Version),
            Arg::Long("check") => {
                is_check = true;
                continue;
            }
            Arg::Long(name) => find(name)?,
            Arg::Short(char) => return Err(format!("unknown option -{char}; see hallway --help")),
            Arg::Value(value) => {
                let value = value.to_string_lossy();
                return Err(format!("unexpected argument {value:?}; see hallway --help"));
            }
        };
        let missing = || format!("--{} needs a value: --{0} {}", setting.name, setting.value);
        let value = parser.value().map_err(|_| missing())?;
        let value = value.string().map_err(|error| error.to_string())?;
        given.push((setting, format!("--{}", setting.name), value));
    }
    for setting in SETTINGS {
        let name = setting.variable();
        if !given.iter().any(|(one, ..)| one.name == setting.name)
            && let Some(value) = variable(&name)
        {
            given.push((setting, name, value.clone()));
        }
    }
    set().try_for_each(|(name, value)| check_variable(name, value))?;

    let mut options = Options {
        listen: Vec::new(),
        limits: Limits::default(),
        max_peers: None,
        memory: None,
        origins: Origins::default(),
        hosts: Hosts::default(),
        title: None,
        welcome: None,
        user: None,
        log: LevelFilter::Info,
    };
    for (setting, name, value) in given {
        (setting.set)(&mut options, &value).map_err(|why| format!("{name} {value}: {why}"))?;
    }
    if options.listen.is_empty() {
        let mut port = DEFAULT_PORT;
        if let Some(value) = variable("PORT") {
            values::number(value, 0..=u16::MAX.into(), &mut port)
                .map_err(|why| format!("PORT {value}: {why}"))?;
        }
        options.listen.push(Address::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))));
    }
    options.limits.check()?;
    Ok(if is_check { Action::Check(options) } else { Action::Serve(options) })
}

fn find(name: &str) -> Result<&'static Setting, String> {
    let found = SETTINGS.iter().find(|setting| setting.name == name);
    let flags = FLAGS.iter().map(|flag| flag.name);
    found.ok_or_else(|| unknown("option", name, flags, |name| format!("--{name}")))
}

/// Fails for a variable that looks like one of ours and is none. Kubernetes and Docker set some
/// for a service that is called like this program, and they are not meant for it:
/// `HALLWAY_SERVICE_HOST`, `HALLWAY_PORT=tcp://10.0.0.1:80`, `HALLWAY_PORT_80_TCP_ADDR`.
fn check_variable(name: &str, value: &str) -> Result<(), String> {
    let Some(bare) = name.strip_prefix(VARIABLE_PREFIX) else { return Ok(()) };
    let is_known = SETTINGS.iter().any(|setting| setting.variable() == name);
    let is_injected = ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme))
        || ["_SERVICE_", "_PORT_"].iter().any(|part| name.contains(part));
    if is_known || is_injected {
        return Ok(());
    }
    let option = bare.to_ascii_lowercase().replace('_', "-");
    Err(unknown("variable", &option, [], settings::variable))
}

/// What is said of a name that no setting and none of `others` has; `show` writes it as people do.
fn unknown(
    kind: &str,
    name: &str,
    others: impl IntoIterator<Item = &'static str>,
    show: impl Fn(&str) -> String,
) -> String {
    let known = SETTINGS.iter().map(|setting| setting.name).chain(others);
    let similar = known.map(|known| (strsim::jaro_winkler(known, name), known));
    let nearest = similar.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let advice = match nearest.filter(|(similarity, _)| *similarity >= SIMILARITY_MIN) {
        Some((_, known)) => format!("did you mean {}?", show(known)),
        None => "see hallway --help".to_owned(),
    };
    format!("unknown {kind} {}; {advice}", show(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_with(args: &str, variables: &[(&str, &str)]) -> Result<Options, String> {
        let args = args.split_whitespace().map(OsString::from);
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        match parse(args, &variables.iter().map(owned).collect::<Vec<_>>())? {
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
        let options = parse_with("--history 8 --ping=1500ms --user 7:8", &variables).unwrap();
        assert_eq!(options.user, Some("7:8".parse().unwrap()));
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
    fn a_title_is_a_line() {
        let title = |text: &str| parse_with("", &[("HALLWAY_TITLE", text)]).map(|all| all.title);
        assert_eq!(title(" Flat 3 <b> "), Ok(Some("Flat 3 <b>".to_owned())));
        for bad in [" ", "a\nb", &"x".repeat(65)] {
            assert!(title(bad).unwrap_err().ends_with(": expected one line of 1 to 64 characters"));
        }
    }

    #[test]
    fn hosts_add_up_and_replace_the_variable() {
        let variables = [("HALLWAY_HOST", "a.example, b.example")];
        let names = |args| parse_with(args, &variables).unwrap().hosts.names().to_vec();
        assert_eq!(names(""), ["a.example", "b.example"]);
        assert_eq!(names("--host c --host d"), ["c", "d"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_range() {
        for (args, line) in [
            ("--history 10001", "--history 10001: out of range; expected 0 to 10000"),
            ("--history -1", "--history -1: out of range; expected 0 to 10000"),
            ("--queue-frames 7", "--queue-frames 7: out of range; expected 8 to 65536"),
            ("--history ten", "--history ten: 'ten' is not a number; expected 0 to 10000"),
            ("--queue-bytes 1G", "--queue-bytes 1G: '1G' is not a size; expected 4K to 256M"),
            ("--queue-bytes K", "--queue-bytes K: 'K' is not a size; expected 4K to 256M"),
            ("--queue-bytes 1024M", "--queue-bytes 1024M: out of range; expected 4K to 256M"),
            ("--text-bytes 0", "--text-bytes 0: out of range; expected 1 to 1M"),
            ("--ping 30", "--ping 30: '30' has no unit; try 30s"),
            ("--ping 5h", "--ping 5h: '5h' is not a time; expected 0, or 1s to 1440m"),
            ("--ping 5ms", "--ping 5ms: out of range; expected 0, or 1s to 1440m"),
            (
                "--ping 99999999999999999999m",
                "--ping 99999999999999999999m: out of range; expected 0, or 1s to 1440m",
            ),
            (
                "--listen 8080",
                "--listen 8080: expected ADDR:PORT with an IP address, like 0.0.0.0:8080 or \
                 [::]:8080, or unix:PATH",
            ),
            (
                "--host a:80",
                "--host a:80: expected the name of a host without scheme, port or path, like \
                 chat.example.org; xn--... if it is not ASCII",
            ),
            ("--user 0:0", "--user 0:0: this is root; choose another user"),
            ("--log loud", "--log loud: expected error, warn, info or debug"),
            ("--history", "--history needs a value: --history N"),
            ("--quue-frames 9", "unknown option --quue-frames; did you mean --queue-frames?"),
            ("--chek", "unknown option --chek; did you mean --check?"),
            ("--frobnicate", "unknown option --frobnicate; see hallway --help"),
            ("-x", "unknown option -x; see hallway --help"),
            ("serve", "unexpected argument \"serve\"; see hallway --help"),
        ] {
            assert_eq!(error(args), line);
        }
        assert!(error("--text-bytes 1M").contains("--message-bytes"));
        let port = parse_with("", &[("PORT", "70000")]).unwrap_err();
        assert_eq!(port, "PORT 70000: out of range; expected 0 to 65535");
        let port = parse_with("", &[("PORT", "http")]).unwrap_err();
        assert_eq!(port, "PORT http: 'http' is not a number; expected 0 to 65535");
        assert_eq!(parse_with("--ping 0", &[]).unwrap().limits.ping_ms, 0);
        let history = parse_with("", &[("HALLWAY_HISTORY", "x")]).unwrap_err();
        assert_eq!(history, "HALLWAY_HISTORY x: 'x' is not a number; expected 0 to 10000");
    }

    #[test]
    fn a_variable_that_looks_like_ours_is_known_or_not_meant_for_us() {
        let said = |name, value| parse_with("", &[(name, value)]).unwrap_err();
        let nearest = "unknown variable HALLWAY_MAX_PEER; did you mean HALLWAY_MAX_PEERS?";
        assert_eq!(said("HALLWAY_MAX_PEER", "9"), nearest);
        let none = "unknown variable HALLWAY_FROBNICATE; see hallway --help";
        assert_eq!(said("HALLWAY_FROBNICATE", "1"), none);
        // It is a flag, and has no variable.
        assert!(said("HALLWAY_CHECK", "1").starts_with("unknown variable HALLWAY_CHECK; "));
        for (name, value) in [
            ("HALLWAY_SERVICE_HOST", "10.0.0.1"),
            ("HALLWAY_WEB_SERVICE_PORT_HTTP", "8080"),
            ("HALLWAY_PORT", "tcp://10.0.0.1:8080"),
            ("HALLWAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("HALLWAYS", "2"),
            ("HALLWAY_FROBNICATE", ""),
        ] {
            assert!(parse_with("", &[(name, value)]).is_ok(), "{name}={value}");
        }
    }

    #[test]
    fn peers_are_what_descriptors_allow() {
        let within = |options: &Options, descriptors| {
            let (limits, beyond) = options.limits_within(descriptors, u64::MAX)?;
            Ok::<_, String>((limits.peers_max, beyond))
        };
        let options = parse_with("", &[]).unwrap();
        assert_eq!(within(&options, Some(1024)), Ok((1024 - 16 - 8 - 1, None)));
        assert_eq!(within(&options, None), Ok((131_072, None)), "what memory allows");
        let options = parse_with("--max-peers 5000", &[]).unwrap();
        assert_eq!(within(&options, Some(1024)), Ok((999, Some(5000))));
        assert_eq!(within(&options, Some(20_000)), Ok((5000, None)));
        let needed = 16 + 8 + 1 + 1;
        assert_eq!(within(&options, Some(needed)), Ok((1, Some(5000))));
        let refused = within(&options, Some(needed - 1)).unwrap_err();
        assert!(
            refused.contains("may open 25 file") && refused.contains("at least 26"),
            "{refused}"
        );
        assert!(within(&options, Some(3)).is_err());
    }

    #[test]
    fn memory_is_a_part_of_the_machines() {
        let within = |args: &str, memory| {
            let options = parse_with(args, &[]).unwrap();
            options.limits_within(Some(1024), memory).map(|(limits, _)| limits.memory_bytes_max)
        };
        let mib = |number: u32| Ok(number * 1024 * 1024);
        assert_eq!(within("", 64 << 20), mib(16));
        assert_eq!((within("", u64::MAX), within("", 0)), (mib(256), mib(1)));
        assert_eq!(within("--memory 32M", 64 << 20), mib(32));
        let refused = within("--memory 1M --max-peers 5000", 64 << 20).unwrap_err();
        assert!(refused.contains("--max-peers 5000") && refused.contains("to 512"), "{refused}");
    }

    fn checked(args: &str, descriptors: u64) -> String {
        let args = args.split_whitespace().map(OsString::from);
        match parse(args, &[]).unwrap() {
            Action::Check(options) => report(&options, Some(descriptors), 1 << 26).unwrap(),
            action => panic!("{action:?}"),
        }
    }

    #[test]
    fn a_check_says_what_would_be() {
        let said = checked(
            "--check --listen 127.0.0.1:1 --host a --host b --title Den --history 7 --rate 0",
            4096,
        );
        for words in [
            "listen on        127.0.0.1:1\n",
            "host names       a, b\n",
            "the page         calls itself \"Den\"\n",
            "clients          at most 4071, from ulimit -n and --memory\n",
            "memory           16 MB for clients and rooms; socket buffers in the kernel: up to 1017 MB\n",
            "history          7 messages in each of 1000 rooms",
            "messages         of up to 16384 bytes, text up to 4096; as many as the client likes\n",
            "features         ",
        ] {
            assert!(said.contains(words), "{words:?} is not in\n{said}");
        }
        let few = checked("--max-peers 5000 --check", 1024);
        assert!(few.contains("at most 999, not 5000: ulimit -n is too low"), "{few}");
        assert!(error("--check --history x").starts_with("--history x: 'x' is not"));
    }

    #[test]
    fn the_help_fits_on_a_screen_and_names_every_option() {
        let help = help();
        assert!(help.lines().count() <= 40, "{} lines", help.lines().count());
        let wide: Vec<_> = help.lines().filter(|line| line.len() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(SETTINGS.iter().all(|setting| help.contains(&format!("--{} ", setting.name))));
        assert!(FLAGS.iter().all(|flag| help.contains(&format!("--{} ", flag.name))));
    }
}
