//! The servers that are measured: who they are, how they are started and how they end.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Target;
use crate::machine::{Cores, first_line};
use crate::process::Process;

/// How long a server may take until it says that it is listening.
const STARTING_MAX: Duration = Duration::from_secs(30);

/// How long a server may take to end after SIGTERM, before SIGKILL. Hallway promises five seconds.
const ENDING_MAX: Duration = Duration::from_secs(8);

/// How often it is looked whether it has ended.
const ENDING_POLL: Duration = Duration::from_millis(5);

/// The URL and the message of Hallway, which the references speak as well.
pub const URL_PATH: &str = "/chat?username={name}&room={room}";
pub const MESSAGE: &str = r#"{"type":"chatMessage","payload":{"message":"{text}"}}"#;

/// A server to measure.
#[derive(Clone, Debug)]
pub struct Contender {
    /// How it is called in tables.
    pub name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Hallway(PathBuf),
    /// A program that takes an address, like the floor.
    Program(PathBuf),
    /// A name that references/run knows.
    Reference(String),
    /// It runs already, as this process if that is known.
    Running {
        target: Target,
        process: Option<Process>,
    },
}

/// What a scenario asks of the server that it gets.
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// Whether it may send pings of its own.
    pub keepalive: bool,
}

impl Contender {
    /// What `--server` says: `hallway`, `floor` or a name that references/run knows; after `=`,
    /// the path of another build.
    ///
    /// # Errors
    /// A sentence where there is no such program, and what to do.
    pub fn parse(said: &str) -> Result<Self, String> {
        let (name, path) = match said.split_once('=') {
            Some((name, path)) => (name, Some(PathBuf::from(path))),
            None => (said, None),
        };
        let kind = match name.split(['-', '@']).next() {
            Some("hallway") => Kind::Hallway(built(path, hallway_path(), "cargo build --release")?),
            Some("floor") => {
                Kind::Program(built(path, beside("floor"), "cargo build --release in benches/lab")?)
            }
            _ if path.is_some() => {
                return Err(format!("--server {said}: only hallway and floor can have a path"));
            }
            _ => Kind::Reference(name.to_owned()),
        };
        Ok(Self { name: name.to_owned(), kind })
    }

    /// A server that somebody else has started.
    pub fn running(target: Target, process: Option<Process>) -> Self {
        Self { name: target.address.to_string(), kind: Kind::Running { target, process } }
    }

    /// What it says of its version.
    pub fn version(&self) -> Option<String> {
        match &self.kind {
            Kind::Hallway(path) => first_line(Command::new(path).arg("--version")),
            Kind::Program(_) => Some("of this package".into()),
            Kind::Reference(name) => {
                first_line(Command::new(references()).args(["--version", name]))
            }
            Kind::Running { .. } => None,
        }
    }

    /// Starts it, on its own core where it has one, and waits until it listens.
    ///
    /// # Errors
    /// A sentence that says why it does not listen, with what it said itself.
    pub fn start(&self, cores: Option<Cores>, demands: Demands) -> Result<Server, String> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = match &self.kind {
            Kind::Running { target, process } => {
                return Ok(Server { target: target.clone(), process: *process, child: None });
            }
            Kind::Hallway(path) => hallway(path, &address, demands),
            Kind::Program(path) => {
                let mut command = Command::new(path);
                command.arg(&address);
                command
            }
            Kind::Reference(name) => {
                let mut command = Command::new(references());
                command.args([name, &address]);
                command
            }
        };
        let target = Target::new(&format!("ws://{address}{URL_PATH}"), MESSAGE)?;
        // It starts where it is to stay, and so do its threads.
        if let Some(cores) = cores {
            Cores::stay_on(cores.server);
        }
        let started = listening(&mut command);
        if let Some(cores) = cores {
            Cores::stay_on(cores.load);
        }
        let child = started.map_err(|said| format!("{} does not start: {said}", self.name))?;
        let process = Some(Process(child.id()));
        Ok(Server { target, process, child: Some(child) })
    }
}

/// Hallway with nothing in the way: no rate, and no limit of peers but the machine's.
fn hallway(path: &Path, address: &str, demands: Demands) -> Command {
    let mut command = Command::new(path);
    command.args(["--listen", address, "--rate", "0", "--max-peers", "100000"]);
    if !demands.keepalive {
        command.args(["--ping", "0"]);
    }
    command
}

/// The binary that the repository's own release build makes.
fn hallway_path() -> PathBuf {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(repository).join("target")).join("release/hallway")
}

/// Another binary of this package.
fn beside(name: &str) -> PathBuf {
    env::current_exe().unwrap_or_default().with_file_name(name)
}

fn references() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("references/run")
}

fn built(asked: Option<PathBuf>, usual: PathBuf, how: &str) -> Result<PathBuf, String> {
    let path = asked.unwrap_or(usual);
    if path.is_file() { Ok(path) } else { Err(format!("no {}: {how} makes it", path.display())) }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

/// Starts `command` and waits until it has said `listening`.
fn listening(command: &mut Command) -> Result<Child, String> {
    let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
    let other_writer = writer.try_clone().map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(writer).stderr(other_writer);
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    // The command keeps the ends of the pipe that are not the child's; the reader waits for them.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            // Once it listens nobody is interested, but it must not wait for a full pipe either.
            let _ = sender.send(line);
        }
    });
    match wait_for_listening(&lines) {
        Ok(()) => Ok(child),
        Err(said) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(said)
        }
    }
}

fn wait_for_listening(lines: &Receiver<String>) -> Result<(), String> {
    let deadline = Instant::now() + STARTING_MAX;
    let mut said = Vec::new();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains("listening") {
            return Ok(());
        }
        said.push(line);
    }
    if said.is_empty() {
        said.push("it says nothing".into());
    }
    Err(said.join("\n"))
}

/// A server that listens. It ends when this is dropped, if it was started here.
#[derive(Debug)]
pub struct Server {
    pub target: Target,
    /// None where it runs elsewhere.
    pub process: Option<Process>,
    child: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + ENDING_MAX;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            thread::sleep(ENDING_POLL);
        }
    }
}
