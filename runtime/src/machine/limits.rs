//! The kernel, and what it allows this process.

use super::Check;
use crate::native::ring::probe;
use rustix::process::{Resource, getrlimit};
use std::{
    io,
    path::{Path, PathBuf},
    thread,
};

/// The oldest kernel with all that the shard's ring is set up with (DEFER_TASKRUN).
const KERNEL_MIN: (u32, u32) = (6, 1);

/// The least limit on locked memory with which a shard starts, in bytes.
pub(crate) const LOCKED_MEMORY_MIN: u64 = 512 << 10;

/// What a shard locks when it writes from a registered buffer, in bytes: its ring, glommio's three with 64 KiB of buffers
/// each, and one buffer for the journal's largest frame.
const LOCKED_MEMORY_PER_SHARD: u64 = (128 + 3 * (64 + 16) + 256) << 10;

/// Descriptors of a shard beside files and connections: rings and eventfds.
const DESCRIPTORS_PER_SHARD: u64 = 16;

/// Descriptors that are left for segments and connections, at least.
const DESCRIPTORS_MIN: u64 = 4096;

/// What each ordered pair of shards takes before any client connects, in bytes: the queues between them. Measured at 0.8 MB.
const MEMORY_PER_PAIR: u64 = 1 << 20;

const SECCOMP_CURE: &str = "run the container with a seccomp profile that allows io_uring_setup, io_uring_enter and \
                            io_uring_register, such as --security-opt seccomp=unconfined";

/// As many shards as this process may use cores: its affinity mask and its control group's quota, at least one.
#[must_use]
pub fn default_shards() -> u16 {
    thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX))
}

pub(super) fn kernel() -> Check {
    let release = release();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let (major, minor) = KERNEL_MIN;
    if version >= KERNEL_MIN {
        Check::good("kernel", format!("Linux {release}"))
    } else {
        Check::unfit("kernel", format!("Linux {release}"), format!("boot Linux {major}.{minor} or newer"))
    }
}

pub(super) fn io_uring() -> Check {
    match probe() {
        Ok(()) => Check::good("io_uring", "a ring could be made"),
        Err(error) => {
            let cure = ring_cure(&error).unwrap_or_else(|| "see the error".to_owned());
            let is_limit = matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EMFILE));
            Check { is_limit, ..Check::unfit("io_uring", error.to_string(), cure) }
        }
    }
}

/// What mends that no ring could be made, if that is what the error says.
pub(crate) fn ring_cure(error: &io::Error) -> Option<String> {
    Some(match error.raw_os_error()? {
        libc::EPERM | libc::EACCES => match disabled().as_deref() {
            Some("2") => "sysctl -w kernel.io_uring_disabled=0".to_owned(),
            Some("1") => "sysctl -w kernel.io_uring_disabled=0, or add the user to the group that \
                          kernel.io_uring_group names"
                .to_owned(),
            _ => SECCOMP_CURE.to_owned(),
        },
        libc::ENOSYS => {
            format!("boot a kernel with CONFIG_IO_URING, Linux 6.1 or newer; in a container, {SECCOMP_CURE}")
        }
        libc::EINVAL => format!("boot Linux 6.1 or newer; this is {}", release()),
        libc::ENOMEM => locked_memory_cure(),
        libc::EMFILE => open_files_cure(),
        _ => return None,
    })
}

pub(super) fn locked_memory(shards: u16) -> Check {
    const NAME: &str = "locked memory";
    let Some(limit) = getrlimit(Resource::Memlock).current else { return Check::good(NAME, "no limit") };
    let found = format!("the limit is {} KiB", limit >> 10);
    let wanted = u64::from(shards) * LOCKED_MEMORY_PER_SHARD;
    if limit < LOCKED_MEMORY_MIN {
        Check::unfit(
            NAME,
            format!("{found}, a shard needs {} KiB", LOCKED_MEMORY_MIN >> 10),
            locked_memory_cure(),
        )
    } else if limit < wanted {
        let found =
            format!("{found}; with less than {} KiB, some shards write a little slower", wanted >> 10);
        Check::fair(NAME, found, locked_memory_cure())
    } else {
        Check::good(NAME, found)
    }
}

pub(crate) fn locked_memory_cure() -> String {
    "ulimit -l 8192 in the shell that starts it, LimitMEMLOCK=8M in a systemd unit, --ulimit memlock=8388608 for a \
     container"
        .to_owned()
}

pub(super) fn open_files(shards: u16) -> Check {
    const NAME: &str = "open files";
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Check::good(NAME, "no limit") };
    let wanted = DESCRIPTORS_MIN + u64::from(shards) * DESCRIPTORS_PER_SHARD;
    if limit < wanted {
        Check::poor(NAME, format!("the limit is {limit}, at least {wanted} are needed"), open_files_cure())
    } else {
        Check::good(NAME, format!("the limit is {limit}"))
    }
}

fn open_files_cure() -> String {
    "ulimit -n 65536 in the shell that starts it, LimitNOFILE=65536 in a systemd unit, --ulimit nofile=65536 for a \
     container"
        .to_owned()
}

pub(super) fn cores(shards: u16) -> Check {
    let cores = default_shards();
    if shards <= cores {
        Check::good("cores", format!("{cores} for {shards} shards"))
    } else {
        let found = format!("{cores} for {shards} shards, which therefore share cores and are not pinned");
        Check::fair("cores", found, format!("run {cores} shards"))
    }
}

/// Whether what `shards` take before any client comes fits into the memory there is.
pub(super) fn memory(shards: u16) -> Check {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok();
    let available = meminfo.as_deref().and_then(available_bytes);
    match available.into_iter().chain(group_limit()).min() {
        Some(available) => grade_memory(shards, available),
        None => Check::good("memory", "unknown"),
    }
}

fn grade_memory(shards: u16, available: u64) -> Check {
    const NAME: &str = "memory";
    let wanted = u64::from(shards) * u64::from(shards) * MEMORY_PER_PAIR;
    let found = format!("{} MiB available, {shards} shards start with {} MiB", available >> 20, wanted >> 20);
    let fitting = (available / 2 / MEMORY_PER_PAIR).isqrt().max(1);
    let cure = format!("run fewer shards: at most {fitting}");
    if wanted > available {
        Check::unfit(NAME, found, cure)
    } else if wanted > available / 2 && shards > 1 {
        Check::poor(NAME, found, cure)
    } else {
        Check::good(NAME, found)
    }
}

/// What /proc/meminfo says may be taken without swapping, in bytes.
fn available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// The least limit of the control groups that this process is in, if one has a limit, in bytes.
fn group_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let files = group_files(&groups);
    let limits =
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    limits.min()
}

/// Where limits on memory may stand, given the text of /proc/self/cgroup: those of both versions, of a group and all above
/// it. Inside a container the path is not always one that can be seen there, but the root always is the container's own.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|group| Path::new(root).join(group).join(file)));
    }
    files
}

fn disabled() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().map(|text| text.trim().to_owned())
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn shards_must_fit_into_memory() {
        let grade = |shards, mib: u64| grade_memory(shards, mib << 20).grade;
        assert_eq!(grade(2, 1_000), Grade::Good);
        assert_eq!(grade(64, 16_000), Grade::Good);
        assert_eq!(grade(64, 6_000), Grade::Poor);
        assert_eq!(grade(64, 4_000), Grade::Unfit);
        let check = grade_memory(1_024, 16_000 << 20);
        assert_eq!(check.cure.as_deref(), Some("run fewer shards: at most 89"));
        assert_eq!(grade(89, 16_000), Grade::Good, "the cure cures");
    }

    #[test]
    fn available_memory_and_limits_are_found() {
        let meminfo = "MemTotal:       32768 kB\nMemFree: 1 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available_bytes(meminfo), Some(2 << 20));
        assert_eq!(available_bytes("MemTotal: 1 kB\n"), None);
        let files = group_files("5:cpu:/x\n4:memory:/a/b\n0::/u\nodd\n");
        let files: Vec<_> = files.iter().filter_map(|file| file.to_str()).collect();
        let expected = [
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/u/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files, expected);
    }
}
