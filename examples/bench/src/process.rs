//! What the node's process uses, where the system tells it (Linux).

use std::fs;

/// How often the system counts processor time, per second.
const TICKS: f64 = 100.0;

/// Returns the processor time of a process, in seconds.
///
/// The scheduler counts each thread in nanoseconds, but forgets those that have ended; the process counts them, in ticks.
pub fn processor_seconds(pid: u32) -> Option<f64> {
    let ticks = ticked_seconds(pid)?;
    Some(scheduled_seconds(pid).map_or(ticks, |exact| exact.max(ticks)))
}

fn scheduled_seconds(pid: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let schedstat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        schedstat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(nanoseconds.sum::<u64>() as f64 / 1e9)
}

fn ticked_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS)
}

/// Returns the memory of a process that is resident, in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    kib(pid, "VmRSS:")
}

/// Returns the most that was resident, in KiB.
pub fn peak_kib(pid: u32) -> Option<u64> {
    kib(pid, "VmHWM:")
}

fn kib(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
