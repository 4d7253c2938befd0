//! Options in, exit code out.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fmt::Display;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::process::ExitCode;

use hallway::chat::{Chat, Server, Setup};
use hallway::conn::Ending;
use hallway::options::{self, Action, Options};
use hallway::process::{
    drop_privileges, logger, memory_limit, raise_descriptor_limit, resident_bytes,
};
use hallway::reactor::{Ended, Listeners, Reactor};

/// The exit status of a wrong command line, as in sysexits and most shells.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables: Vec<_> = std::env::vars_os().filter_map(text).collect();
    match options::parse(std::env::args_os().skip(1), &variables) {
        Ok(Action::Serve(options)) => serve(&options),
        Ok(Action::Check(options)) => match check(&options) {
            Ok(report) => print(&report),
            Err(error) => fail(USAGE.into(), error),
        },
        Ok(Action::Help) => print(&options::help()),
        Ok(Action::Version) => print(&options::version()),
        Err(line) => fail(USAGE.into(), line),
    }
}

/// Says what serving would be like, or what would keep it from starting: it tries what serving
/// does before the first connection, in the same order, and keeps nothing of it.
fn check(options: &Options) -> io::Result<String> {
    let report = options::report(options, raise_descriptor_limit(), memory_limit());
    let mut report = report.map_err(io::Error::other)?;
    if Listeners::passed()?.is_none() {
        for address in Listeners::try_out(&options.listen)? {
            let note = "is in use, perhaps by a running Hallway; it was not tried";
            report.push_str(&format!("Note: {address} {note}\n"));
        }
    }
    drop_privileges(options.user.as_ref(), |_| Ok(()))?;
    options.read_welcome().map_err(io::Error::other)?;
    Ok(report)
}

fn print(text: &str) -> ExitCode {
    // A closed pipe, as in `hallway --help | head -1`, is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Ends with one line on standard error, whatever the log level.
fn fail(status: ExitCode, why: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "hallway: {why}");
    status
}

fn serve(options: &Options) -> ExitCode {
    logger::start(options.log);
    let status = match open(options) {
        Ok(mut reactor) => run(&mut reactor),
        Err(error) => fail(ExitCode::FAILURE, error),
    };
    logger::flush();
    status
}

/// Everything that can fail before the first connection.
fn open(options: &Options) -> io::Result<Reactor<Chat>> {
    let descriptors = raise_descriptor_limit();
    let within = options.limits_within(descriptors, memory_limit());
    let (limits, beyond) = within.map_err(io::Error::other)?;
    let peers_max = limits.peers_max;
    if let Some(asked) = beyond {
        log::warn!(
            "capped max_peers={peers_max} asked={asked} reason=\"the descriptor limit\" \
             remedy=\"raise it with ulimit -n or LimitNOFILE=\""
        );
    }
    let listeners = match Listeners::passed()? {
        Some(passed) => passed,
        None => Listeners::bind(&options.listen)?,
    };
    // Ports below 1024 are bound by now, so root is needed no more.
    drop_privileges(options.user.as_ref(), |user| listeners.give_to(user))?;
    let server = Server::with(Setup {
        limits,
        origins: options.origins.clone(),
        hosts: options.hosts.clone(),
        title: options.title.clone(),
        welcome: options.read_welcome().map_err(io::Error::other)?,
        // A number that no other run of this program has. The clock will not do: on a board without
        // a battery every run starts in 1970. The standard library seeds its hashes from the system.
        epoch: RandomState::new().hash_one(()),
        resident_memory: Some(resident_bytes),
        log_lines_dropped: Some(logger::dropped),
        ..Setup::default()
    });
    let mut reactor = Reactor::new(listeners, server)?;
    reactor.take_signals()?;
    #[cfg(feature = "confine")]
    hallway::process::confine(reactor.listeners().have_files())?;
    for (address, name) in reactor.listeners().addresses() {
        let passed = name.map(|name| format!(" passed_as={name:?}")).unwrap_or_default();
        log::info!("listening addr={address} max_peers={peers_max}{passed}");
    }
    Ok(reactor)
}

fn run(reactor: &mut Reactor<Chat>) -> ExitCode {
    let ended = reactor.run();
    let server = reactor.connections();
    let counters = server.counters();
    log::info!(
        "stopped peers={} joined={} messages={} refused={} too_slow={}",
        server.peers().len(),
        counters.joined,
        server.chat_counters().messages,
        counters.refused.sum(),
        counters.exited.of(Ending::TooSlow)
    );
    match ended {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::Forced) => ExitCode::FAILURE,
        Err(error) => {
            log::error!("poll failed error={:?}", error.to_string());
            ExitCode::FAILURE
        }
    }
}
