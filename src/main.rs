//! Options in, exit code out.

#![forbid(unsafe_code)]

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::process::ExitCode;

use hallway::chat::{Chat, Server, Setup};
use hallway::conn::Ending;
use hallway::options::{self, Action, Options};
use hallway::process::{
    User, forgo_privileges, is_root, logger, raise_descriptor_limit, resident_bytes,
};
use hallway::reactor::{Ended, Listeners, Reactor};

/// The exit status of a wrong command line, as in sysexits and most shells.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).ok();
    match options::parse(std::env::args_os().skip(1), variable) {
        Ok(Action::Serve(options)) => serve(&options),
        Ok(Action::Check(options)) => check(&options),
        Ok(Action::Help) => print(&options::help()),
        Ok(Action::Version) => print(&options::version()),
        Err(line) => {
            complain(&line);
            ExitCode::from(USAGE)
        }
    }
}

/// Says what serving would be like, or what would keep it from starting whoever starts it.
fn check(options: &Options) -> ExitCode {
    let descriptors = raise_descriptor_limit();
    let user = || options.user.as_ref().map(User::look_up).transpose();
    match options.check_descriptors(descriptors).map_err(io::Error::other).and_then(|()| user()) {
        Ok(_) => print(&options::report(options, descriptors)),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(USAGE)
        }
    }
}

fn print(text: &str) -> ExitCode {
    // A closed pipe, as in `hallway --help | head -1`, is no failure.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// One line on standard error, whatever the log level.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "hallway: {line}");
}

fn serve(options: &Options) -> ExitCode {
    logger::start(options.log);
    match open(options) {
        Ok(mut reactor) => {
            let status = run(&mut reactor);
            logger::flush();
            status
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Everything that can fail before the first connection.
fn open(options: &Options) -> io::Result<Reactor<Chat>> {
    let descriptors = raise_descriptor_limit();
    options.check_descriptors(descriptors).map_err(io::Error::other)?;
    let (limits, beyond) = options.limits_within(descriptors);
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
    drop_privileges(options, &listeners)?;
    let server = Server::with(Setup {
        limits,
        origins: options.origins.clone(),
        epoch: epoch(),
        resident_memory: Some(resident_bytes),
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

/// Ports below 1024 are bound by now, so root is needed no more.
fn drop_privileges(options: &Options, listeners: &Listeners) -> io::Result<()> {
    forgo_privileges();
    if let Some(user) = &options.user {
        let identity = user.look_up()?;
        listeners.give_to(identity)?;
        identity.assume()?;
        log::info!("became user={user} uid={} gid={}", identity.uid, identity.gid);
    } else if is_root() {
        log::warn!("running as root remedy=\"--user NAME, or UID:GID\"");
    }
    Ok(())
}

/// A number that no other run of this program has. The clock will not do: on a board without a
/// battery every run starts in 1970. The standard library seeds its hashes from the system.
fn epoch() -> u64 {
    RandomState::new().hash_one(())
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
            complain(&format!("the poll failed: {error}"));
            ExitCode::FAILURE
        }
    }
}
