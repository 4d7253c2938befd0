//! How much memory the process holds.

/// Resident memory, in bytes; `None` where /proc does not tell.
///
/// /proc/self/status has it in KiB; statm would need the size of a page as well.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
