//! The kernel, and what it allows this process.

use super::Check;
use crate::native::ring::probe;
use rustix::process::{Resource, getrlimit};
use std::{io, thread};

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

fn disabled() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().map(|text| text.trim().to_owned())
}

fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
