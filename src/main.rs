//! Options in, exit code out.

#![forbid(unsafe_code)]

mod logger;

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::process::ExitCode;

use hallway::options::{self, Action, Options};
use hallway::reactor::{Ended, Reactor, raise_descriptor_limit};
use hallway::server::Server;

/// The exit status of a wrong command line, as in sysexits and most shells.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    match options::parse(std::env::args_os().skip(1), variable) {
        Ok(Action::Serve(options)) => serve(&options),
        Ok(Action::Check(options)) => print(&options::report(&options, raise_descriptor_limit())),
        Ok(Action::Help) => print(&options::help()),
        Ok(Action::Version) => print(&options::version()),
        Err(line) => {
            complain(&line);
            ExitCode::from(USAGE)
        }
    }
}

fn print(text: &str) -> ExitCode {
    // A closed pipe, as in `hallway --help | head -1`, is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// One line on standard error, whatever the log level.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "hallway: {line}");
}

fn serve(options: &Options) -> ExitCode {
    logger::start(options.log);
    let (limits, beyond) = options.limits_within(raise_descriptor_limit());
    if let Some(asked) = beyond {
        log::warn!(
            "fewer peers than asked for, the descriptor limit allows no more asked={asked} max={}; \
             raise it with ulimit -n or LimitNOFILE=",
            limits.peers_max
        );
    }
    let peers_max = limits.peers_max;
    let server = Server::with(limits, options.origins.clone(), epoch());
    match Reactor::bind(&options.listen, server) {
        Ok(mut reactor) => {
            for address in reactor.addresses() {
                log::info!("listening addr={address} max_peers={peers_max}");
            }
            run(&mut reactor)
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// A number that no other run of this program has. The clock will not do: on a board without a
/// battery every run starts in 1970. The standard library seeds its hashes from the system.
fn epoch() -> u64 {
    RandomState::new().hash_one(())
}

fn run(reactor: &mut Reactor) -> ExitCode {
    let ended = reactor.run();
    let counters = reactor.server().counters();
    log::info!(
        "stopped peers={} joined={} messages={} refused={} too_slow={}",
        reactor.server().peers(),
        counters.joined,
        counters.messages,
        counters.refused,
        counters.too_slow
    );
    match ended {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Forced) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("the poll failed: {error}"));
            ExitCode::FAILURE
        }
    }
}
