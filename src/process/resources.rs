//! What the process may hold, and holds: descriptors and memory.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::COUNTED_BYTES_MAX;

/// Where Linux tells how much memory the process holds, in which line, in KiB. The first costs the
/// same whatever is held, but adds up what was reported so far: before Linux 6.16 each CPU may have
/// 32 pages to report still (before 6.2 each thread 64 page faults), so with Linux 6.1 it said 4 KiB
/// of a process as small as this one where 592 were there. The second counts pages when it is asked.
const REPORTED: (&str, &str) = ("/proc/self/status", "VmRSS:");
const COUNTED: (&str, &str) = ("/proc/self/smaps_rollup", "Rss:");

/// Raises the limit of descriptors to its hard value and returns it, `None` for unlimited.
///
/// Where the system does not let it be raised, the value is the one that holds.
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// Resident memory, in bytes; `None` where /proc does not tell. The cost has a bound, whatever is
/// held.
pub fn resident_bytes() -> Option<u64> {
    let reported = tell(REPORTED)?;
    let counted = || (reported <= COUNTED_BYTES_MAX).then(|| tell(COUNTED))?;
    Some(counted().unwrap_or(reported))
}

fn tell((path, key): (&str, &str)) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
