//! The machine: which cores there are for whom, how many descriptors, and what it is.

use std::fs;
use std::num::NonZeroU64;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_current_timer_slack};

/// One core for the server and another for the load, where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    pub server: usize,
    pub load: usize,
}

impl Cores {
    /// The last core that this process may use for the server, the first one for the load.
    pub fn choose() -> Option<Self> {
        let allowed = sched_getaffinity(None).ok()?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (load, server) = (cores.next()?, cores.next_back()?);
        Some(Self { server, load })
    }

    /// Moves this thread, and whatever it starts from now on, to one core.
    pub fn stay_on(core: usize) {
        let mut only = CpuSet::new();
        only.set(core);
        // It was allowed when it was chosen.
        let _ = sched_setaffinity(None, &only);
    }
}

/// Sleeps end when they should, not up to 50 microseconds later.
pub fn sleep_precisely() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// Raises the descriptor limit, for what is started as well, and returns it.
pub fn raise_descriptor_limit() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What a reader of figures wants to know of the machine they come from.
#[derive(Clone, Debug)]
pub struct Description {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub memory_mib: u64,
    pub descriptors: u64,
}

impl Description {
    pub fn new(descriptors: u64) -> Self {
        let name = uname();
        let parts = [name.sysname(), name.release(), name.machine()];
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        Self {
            cpu: cpu_model(&cpuinfo).unwrap_or("unknown processor").to_owned(),
            // All of them; this process may be on one already.
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: parts.map(|part| part.to_string_lossy().into_owned()).join(" "),
            memory_mib: kib.unwrap_or(0) / 1024,
            descriptors,
        }
    }
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// What git calls the state of the tree that this instrument was built from, where it still is.
pub fn revision() -> Option<String> {
    let arguments = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--tags"];
    first_line(Command::new("git").args(arguments))
}

/// The first line that a command says, if it succeeds.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}
