//! Cores, and the CPU time that processes take on them.

#![expect(clippy::unwrap_used, reason = "an error ends the bench")]

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::time::Duration;

/// The cores that this thread may run on.
#[must_use]
pub fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

/// Keeps this thread, and what it starts from here on, to some cores.
pub fn pin(cores: &[usize]) {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).unwrap();
}

/// The CPU time that a process has taken so far, user and system, of all its threads: exact to a tick of the kernel's, 10 ms.
#[expect(clippy::disallowed_methods, reason = "no simulated world is measured")]
#[must_use]
pub fn taken(process: u32) -> Duration {
    let stat = String::from_utf8(std::fs::read(format!("/proc/{process}/stat")).unwrap()).unwrap();
    // The name is the second field, in parentheses, and may hold anything; utime and stime are the 14th and 15th.
    let fields = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The CPU time that this thread has taken so far, user and system. A system call.
#[must_use]
pub fn taken_by_thread() -> Duration {
    let taken = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(taken.tv_sec.cast_unsigned(), taken.tv_nsec.cast_unsigned() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_runtime::Instant;

    #[test]
    fn work_takes_time() {
        let before = taken(std::process::id());
        let start = Instant::now();
        // The machine may be busy with others.
        while taken(std::process::id()) < before + Duration::from_millis(30) {
            assert!(start.elapsed() < Duration::from_secs(60), "spinning takes CPU time");
        }
    }
}
