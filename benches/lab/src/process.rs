//! What Linux tells of a process and all that it has started: servers have threads and workers.

use std::collections::BTreeMap;
use std::fs;

/// Bytes of a page, as /proc/PID/statm counts.
const PAGE_BYTES: u64 = 4096;

/// A process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Nanoseconds on a processor, in user space and kernel.
    pub fn cpu_nanos(self) -> Counts {
        self.count(|task| numbers(&read(&format!("{task}/schedstat"))?).next())
    }

    /// Nanoseconds that it was ready and did not get a processor: somebody else had it.
    pub fn waited_nanos(self) -> Counts {
        self.count(|task| numbers(&read(&format!("{task}/schedstat"))?).nth(1))
    }

    /// How often it has gone to sleep by itself: each is a time that it had woken up.
    pub fn sleeps(self) -> Counts {
        self.count(|task| field(&read(&format!("{task}/status"))?, "voluntary_ctxt_switches:"))
    }

    /// Bytes of resident memory.
    pub fn resident(self) -> u64 {
        self.tree().iter().filter_map(|pid| resident(*pid)).sum()
    }

    fn count(self, number: impl Fn(&str) -> Option<u64>) -> Counts {
        let tasks = self.tree().into_iter().flat_map(|pid| entries(&format!("/proc/{pid}/task")));
        Counts(tasks.filter_map(|task| number(&task).map(|number| (task, number))).collect())
    }

    /// The process and all below it.
    fn tree(self) -> Vec<u32> {
        let mut tree = vec![self.0];
        let mut next = 0;
        while next < tree.len() {
            for task in entries(&format!("/proc/{}/task", tree[next])) {
                let children = read(&format!("{task}/children")).unwrap_or_default();
                tree.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            next += 1;
        }
        tree
    }
}

/// What each thread of a process has counted so far.
#[derive(Clone, Debug)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// How much more that is than earlier. Threads that have ended since count nothing, those that
    /// have begun all that they have.
    pub fn since(&self, earlier: &Self) -> u64 {
        let before = |task| earlier.0.get(task).copied().unwrap_or(0);
        self.0.iter().map(|(task, count)| count.saturating_sub(before(task))).sum()
    }
}

/// To the byte where the kernel counts so, by whole counters otherwise.
fn resident(pid: u32) -> Option<u64> {
    const KIB: u64 = 1024;
    if let Some(rollup) = read(&format!("/proc/{pid}/smaps_rollup")) {
        return Some(field(&rollup, "Rss:")? * KIB);
    }
    let statm = read(&format!("/proc/{pid}/statm"))?;
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

/// Bytes of the kernel's own objects on the whole machine: sockets, files, and what they hang on.
pub fn slab_bytes() -> u64 {
    read("/proc/meminfo").and_then(|text| field(&text, "Slab:")).unwrap_or(0) * 1024
}

/// Bytes that TCP holds for what is under way on the whole machine.
pub fn tcp_queue_bytes() -> u64 {
    let text = read("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let pages = line.split_whitespace().skip_while(|word| *word != "mem").nth(1);
    pages.and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE_BYTES
}

/// Nanoseconds that this thread was ready and did not get a processor.
pub fn own_wait_nanos() -> u64 {
    read("/proc/thread-self/schedstat").and_then(|text| numbers(&text).nth(1)).unwrap_or(0)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn entries(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string()).collect()
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split_whitespace().map_while(|word| word.parse().ok())
}

/// The number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| numbers(line.strip_prefix(name)?).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_name() {
        let text = "MemTotal:  10 kB\nSlab:            1234 kB\nSReclaimable: 5 kB\n";
        assert_eq!(field(text, "Slab:"), Some(1234));
        assert_eq!(field(text, "Slob:"), None);
    }

    #[test]
    fn a_process_is_seen_at_work() {
        let this = Process(std::process::id());
        let before = this.cpu_nanos();
        let mut sum = 0_u64;
        while this.cpu_nanos().since(&before) < 20_000_000 {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(this.resident() > 100 * PAGE_BYTES);
        assert!(slab_bytes() > 0);
    }

    #[test]
    fn threads_come_and_go() {
        let counts = |counts: &[(&str, u64)]| {
            Counts(counts.iter().map(|(task, count)| ((*task).to_owned(), *count)).collect())
        };
        let before = counts(&[("stays", 10), ("ends", 90)]);
        assert_eq!(counts(&[("stays", 13), ("begins", 4)]).since(&before), 7);
    }

    #[test]
    fn children_count() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(Process(std::process::id()).tree().contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
