//! What the process may hold, and holds: descriptors and memory.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where Linux tells the memory, and in which line, in KiB. The first counts pages when it is asked. The
/// second, which is all that some kernels have, tells what was reported so far: with Linux 6.1 it said
/// 4 KiB of a process as small as this one where 592 were there.
const SOURCES: [(&str, &str); 2] =
    [("/proc/self/smaps_rollup", "Rss:"), ("/proc/self/status", "VmRSS:")];

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

/// Resident memory, in bytes; `None` where /proc does not tell.
pub fn resident_bytes() -> Option<u64> {
    SOURCES.iter().find_map(|(path, key)| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    })
}
