//! The command line.

use std::io::{self, Write as _};
use std::process::exit;

use lexopt::prelude::*;

use crate::client::{STAMP_BYTES, Target};
use crate::process::Process;
use crate::server::{Contender, MESSAGE};

/// Descriptors that are not connections: the two epoll instances, files, pipes, the server's own.
const DESCRIPTORS_RESERVED: u64 = 1_000;

pub const USAGE: &str = "\
lab SCENARIO --server NAME... [options]
lab SCENARIO --url URL [--message TEMPLATE] [--pid PID] [options]

Scenarios
  idle-latency   N idle connections; ping round trips and chats of two, at a fixed rate
  fanout         one room of N receivers, messages at a fixed rate
  saturate       a closed loop: who sends sends again when its message has come back
  storm          N joins at once onto a full history
  stalled        a fan-out to a room in which some never read
  all            each of them

Whom
  --server NAME[=PATH]  hallway, floor, or what references/run knows (nchan, ws, bun); repeatable:
                        then side by side, and as ratios to the floor or the last one. hallway=PATH
                        is another build; hallway-old=PATH has a name of its own
  --url URL             a server that runs: ws://HOST:PORT/PATH with {name} and {room}
  --message TEMPLATE    what is said to it, with {text}; otherwise Hallway's envelope
  --pid PID             its process, for CPU and memory

How much (each scenario has its own defaults; N,N is one step after the other)
  --rounds N            rounds, servers taking turns in each (3)
  --seconds S           what is measured, after --warmup S (1)
  --rate N              messages a second
  --bytes N             bytes of a text (128; stalled: 1000)
  --idle N,N            idle-latency: idle connections (0,1000,10000,max)
  --idle-per-room N     idle-latency: how many of them share a room (100)
  --keepalive           idle-latency: the server may send pings of its own
  --receivers N,N       fanout, saturate, stalled: members of the room (1000, 100, 100)
  --probe               fanout, stalled: somebody in another room pings meanwhile
  --probe-rate N        that many times a second (100)
  --senders N           saturate: how many of them send (32)
  --outstanding N       saturate: messages of each under way (4)
  --joins N             storm: joins at once (2000)
  --history N           storm: messages that are replayed (100)
  --stalled N           stalled: who never read (100)
  --small               sizes and times that only show that everything works

How
  --wait spin|sleep     whether the load polls all the time (spin, where it has a core to itself)

Results
  --json FILE           JSON lines
  --hgrm DIR            histograms
  --svg FILE            idle-latency: a plot of latency against idle connections
";

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    IdleLatency,
    Fanout,
    Saturate,
    Storm,
    Stalled,
}

impl Scenario {
    const ALL: [Self; 5] =
        [Self::IdleLatency, Self::Fanout, Self::Saturate, Self::Storm, Self::Stalled];

    pub fn name(self) -> &'static str {
        match self {
            Self::IdleLatency => "idle-latency",
            Self::Fanout => "fanout",
            Self::Saturate => "saturate",
            Self::Storm => "storm",
            Self::Stalled => "stalled",
        }
    }
}

#[derive(Debug)]
pub struct Options {
    pub scenarios: Vec<Scenario>,
    pub contenders: Vec<Contender>,
    pub rounds: usize,
    pub seconds: Option<f64>,
    pub warmup: f64,
    pub rate: Option<u32>,
    pub bytes: Option<usize>,
    pub idle: Option<Vec<usize>>,
    pub idle_per_room: usize,
    pub keepalive: bool,
    pub receivers: Option<Vec<usize>>,
    pub probe: bool,
    pub probe_rate: u32,
    pub senders: Option<usize>,
    pub outstanding: Option<u32>,
    pub joins: Option<usize>,
    pub history: u32,
    pub stalled: Option<usize>,
    small: bool,
    pub spin: Option<bool>,
    pub json: Option<String>,
    pub hgrm: Option<String>,
    pub svg: Option<String>,
    /// As many connections as the descriptors are enough for.
    pub connections_max: usize,
}

impl Options {
    /// What the command line says; `--help` ends the process.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(arguments: lexopt::Parser, descriptors: u64) -> Result<Self, String> {
        parse(arguments, descriptors).map_err(|error| error.to_string())
    }

    /// The usual value, or the one of `--small`.
    pub fn pick<T>(&self, usual: T, small: T) -> T {
        if self.small { small } else { usual }
    }
}

fn parse(mut parser: lexopt::Parser, descriptors: u64) -> Result<Options, lexopt::Error> {
    let connections_max = descriptors.saturating_sub(DESCRIPTORS_RESERVED) as usize;
    let mut options = Options {
        scenarios: Vec::new(),
        contenders: Vec::new(),
        rounds: 3,
        seconds: None,
        warmup: 1.0,
        rate: None,
        bytes: None,
        idle: None,
        idle_per_room: 100,
        keepalive: false,
        receivers: None,
        probe: false,
        probe_rate: 100,
        senders: None,
        outstanding: None,
        joins: None,
        history: 100,
        stalled: None,
        small: false,
        spin: None,
        json: None,
        hgrm: None,
        svg: None,
        connections_max,
    };
    let (mut url, mut message, mut pid) = (None, MESSAGE.to_owned(), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("server") => {
                options.contenders.push(Contender::parse(&parser.value()?.string()?)?);
            }
            Long("url") => url = Some(parser.value()?.string()?),
            Long("message") => message = parser.value()?.string()?,
            Long("pid") => pid = Some(Process(parser.value()?.parse()?)),
            Long("rounds") => options.rounds = at_least(1, parser.value()?.parse()?, "--rounds")?,
            Long("seconds") => options.seconds = Some(parser.value()?.parse_with(duration)?),
            Long("warmup") => options.warmup = parser.value()?.parse_with(duration)?,
            Long("rate") => {
                options.rate = Some(at_least(1, parser.value()?.parse()?, "--rate")? as u32);
            }
            Long("bytes") => {
                let bytes = at_least(STAMP_BYTES, parser.value()?.parse()?, "--bytes")?;
                options.bytes = Some(bytes);
            }
            Long("idle") => options.idle = Some(list(&parser.value()?.string()?, connections_max)?),
            Long("idle-per-room") => {
                options.idle_per_room = at_least(1, parser.value()?.parse()?, "--idle-per-room")?;
            }
            Long("keepalive") => options.keepalive = true,
            Long("receivers") => {
                options.receivers = Some(list(&parser.value()?.string()?, connections_max)?);
            }
            Long("probe") => options.probe = true,
            Long("probe-rate") => {
                options.probe_rate = at_least(1, parser.value()?.parse()?, "--probe-rate")? as u32;
            }
            Long("senders") => {
                options.senders = Some(at_least(1, parser.value()?.parse()?, "--senders")?);
            }
            Long("outstanding") => {
                let outstanding = at_least(1, parser.value()?.parse()?, "--outstanding")?;
                options.outstanding = Some(outstanding as u32);
            }
            Long("joins") => {
                options.joins = Some(at_least(1, parser.value()?.parse()?, "--joins")?)
            }
            Long("history") => options.history = parser.value()?.parse()?,
            Long("stalled") => options.stalled = Some(parser.value()?.parse()?),
            Long("small") => options.small = true,
            Long("wait") => options.spin = Some(parser.value()?.parse_with(is_spin)?),
            Long("json") => options.json = Some(parser.value()?.string()?),
            Long("hgrm") => options.hgrm = Some(parser.value()?.string()?),
            Long("svg") => options.svg = Some(parser.value()?.string()?),
            Long("help") | Short('h') => {
                // A closed pipe, as in `lab --help | head -1`, is no failure.
                let _ = io::stdout().write_all(USAGE.as_bytes());
                exit(0);
            }
            Value(name) if options.scenarios.is_empty() => {
                options.scenarios = scenarios(&name.string()?)?;
            }
            unknown => return Err(unknown.unexpected()),
        }
    }
    if let Some(url) = url {
        options.contenders.push(Contender::running(Target::new(&url, &message)?, pid));
    }
    if options.scenarios.is_empty() || options.contenders.is_empty() {
        return Err("say what to measure and of whom; --help shows how".into());
    }
    Ok(options)
}

fn scenarios(name: &str) -> Result<Vec<Scenario>, String> {
    let named: Vec<Scenario> = Scenario::ALL
        .into_iter()
        .filter(|scenario| name == "all" || name == scenario.name())
        .collect();
    if named.is_empty() {
        let known = Scenario::ALL.map(Scenario::name).join(", ");
        return Err(format!("no scenario {name}; there are {known} and all"));
    }
    Ok(named)
}

fn at_least(least: usize, value: usize, option: &str) -> Result<usize, String> {
    if value < least {
        return Err(format!("{option} {value}: it must be at least {least}"));
    }
    Ok(value)
}

fn duration(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds, at most 3600".into()),
    }
}

fn is_spin(text: &str) -> Result<bool, String> {
    match text {
        "spin" => Ok(true),
        "sleep" => Ok(false),
        _ => Err("it is spin or sleep".into()),
    }
}

/// `0,1000,max`
fn list(text: &str, most: usize) -> Result<Vec<usize>, String> {
    let number = |part: &str| match part {
        "max" => Ok(most),
        number => match number.parse() {
            Ok(number) if number <= most => Ok(number),
            Ok(number) => Err(format!(
                "{number} connections are more than the descriptor limit allows, {most}; raise it with ulimit -n"
            )),
            Err(_) => Err(format!("{part:?} is no number of connections")),
        },
    };
    text.split(',').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        Options::parse(lexopt::Parser::from_args(line.split(' ')), 20_000)
    }

    const URL: &str = "--url ws://127.0.0.1:80/{name}";

    #[test]
    fn a_line_is_understood() {
        let options =
            parsed(&format!("fanout {URL} --receivers 10,max --rate 7 --wait sleep")).unwrap();
        assert_eq!(options.scenarios, [Scenario::Fanout]);
        assert_eq!(options.receivers, Some(vec![10, 19_000]));
        assert_eq!((options.rate, options.spin, options.rounds), (Some(7), Some(false), 3));
        assert_eq!(parsed(&format!("all {URL}")).unwrap().scenarios, Scenario::ALL);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, says) in [
            ("fanout", "of whom"),
            ("fanoot --url ws://127.0.0.1/", "no scenario fanoot"),
            ("fanout --url ws://127.0.0.1/ --rounds 0", "--rounds 0"),
            ("fanout --url ws://127.0.0.1/ --bytes 3", "--bytes 3"),
            ("fanout --url ws://127.0.0.1/ --receivers 30000", "19000"),
            ("fanout --url ws://127.0.0.1/ --wait long", "spin or sleep"),
            ("fanout --url http://127.0.0.1/", "ws://"),
            ("fanout --server hallway=/nowhere/hallway", "/nowhere/hallway"),
            ("fanout --server ws=/nowhere/ws", "only hallway and floor"),
        ] {
            let said = parsed(line).unwrap_err();
            assert!(said.contains(says), "{line}: {said}");
        }
    }
}
