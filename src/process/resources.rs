//! What the process may hold, and holds: descriptors and memory.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::sysinfo;

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

/// Memory that the process may have, in bytes: what its machine, its control groups and its limit
/// of address space leave, whichever is least.
pub fn memory_limit() -> u64 {
    let machine = sysinfo();
    let total = u64::from(machine.mem_unit) * machine.totalram as u64;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let grouped = groups.lines().filter_map(group_limit);
    grouped.chain(getrlimit(Resource::As).current).fold(total, u64::min)
}

/// The least limit of a control group and of those above it, by a line of /proc/self/cgroup
/// (cgroups(7)).
fn group_limit(line: &str) -> Option<u64> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let limit = |group: &Path| {
        let path = Path::new(root).join(group.strip_prefix("/").ok()?).join(file);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    Path::new(path).ancestors().filter_map(limit).min()
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
