//! A data directory's file system and the device below it.

use super::{
    Check,
    device::{self, WriteCache},
};
use crate::BLOCK_SIZE;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, stat, statfs, statvfs, statx};
use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Space below which a directory is not worth starting with, in bytes.
const SPACE_MIN: u64 = 1 << 30;

/// File systems by the number that statfs gives, and whether what is synced there survives the machine's death.
const FILE_SYSTEMS: [(u64, &str, bool); 10] = [
    (0xEF53, "ext4", true),
    (0x5846_5342, "xfs", true),
    (0x9123_683E, "btrfs", true),
    (0x2FC1_2FC1, "zfs", true),
    (0xF2F5_2010, "f2fs", true),
    (0x794C_7630, "overlayfs", true),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58F6, "ramfs", false),
    (0x6969, "nfs", false),
    (0xFF53_4D42, "cifs", false),
];

/// All that is to be said of one directory.
pub(super) fn check(directory: &Path) -> Vec<Check> {
    let name = |what: &str| format!("{what} of {}", directory.display());
    let existing = match existing(directory) {
        Ok(existing) => existing,
        Err(error) => {
            let cure = format!("mkdir -p {0} and let this user write there", directory.display());
            return vec![Check::unfit(name("directory"), error.to_string(), cure)];
        }
    };
    let mut checks = vec![file_system(name("file system"), &existing), space(name("free space"), &existing)];
    match unnamed_file(&existing) {
        Ok(file) => checks.push(direct(name("direct I/O"), &file)),
        // The file system has neither files without names nor, perhaps, direct I/O: what is opened there will tell.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EISDIR)) =>
        {
            let found = format!("not supported ({error}): reads and writes go through the page cache");
            checks.push(Check::fair(name("direct I/O"), found, "use a directory on ext4 or xfs"));
        }
        Err(error) => {
            let cure = format!("let this user write to {}", existing.display());
            checks.push(Check::unfit(name("writing"), error.to_string(), cure));
        }
    }
    checks.extend(queue(&existing).map(|queue| blocks(name("blocks"), &queue)));
    checks.extend(queue(&existing).map(|queue| write_cache(name("write cache"), &queue)));
    checks
}

/// The directory itself, or the nearest one above it that exists.
fn existing(directory: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(directory)?;
    for ancestor in absolute.ancestors() {
        if ancestor.is_dir() {
            return Ok(ancestor.to_owned());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn file_system(name: String, directory: &Path) -> Check {
    let magic = match statfs(directory) {
        Ok(found) => found.f_type as u64,
        Err(error) => return Check::unfit(name, error.to_string(), "use a directory on ext4 or xfs"),
    };
    match FILE_SYSTEMS.iter().find(|(number, ..)| *number == magic) {
        Some((_, found, true)) => Check::good(name, *found),
        Some((_, found, false)) => {
            let found = format!("{found}: what is acknowledged there does not survive the machine's death");
            Check::poor(name, found, "use a directory on a local disk, with ext4 or xfs")
        }
        None => Check::fair(name, format!("unknown ({magic:#x})"), "use a directory on ext4 or xfs"),
    }
}

fn space(name: String, directory: &Path) -> Check {
    let available = match statvfs(directory) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => return Check::unfit(name, error.to_string(), "use a directory on ext4 or xfs"),
    };
    let found = format!("{} MiB", available >> 20);
    if available < SPACE_MIN {
        let cure =
            format!("free {} MiB there, or use another directory", (SPACE_MIN - available).div_ceil(1 << 20));
        Check::poor(name, found, cure)
    } else {
        Check::good(name, found)
    }
}

/// A file without a name, opened for direct I/O.
fn unnamed_file(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
    Ok(open(directory, flags, Mode::RUSR | Mode::WUSR)?)
}

fn direct(name: String, file: &OwnedFd) -> Check {
    let asked = StatxFlags::from_bits_retain(libc::STATX_DIOALIGN);
    let block = match statx(file, "", AtFlags::EMPTY_PATH, asked) {
        Ok(found) if found.stx_mask & libc::STATX_DIOALIGN != 0 => {
            found.stx_dio_offset_align.max(found.stx_dio_mem_align) as usize
        }
        // It could be opened, and more the kernel does not say.
        _ => return Check::good(name, "works"),
    };
    if block == 0 {
        let found = "not supported: reads and writes go through the page cache";
        Check::fair(name, found, "use a directory on ext4 or xfs")
    } else if block > BLOCK_SIZE {
        let found = format!("in blocks of {block} bytes, more than {BLOCK_SIZE}");
        Check::unfit(name, found, format!("use a device with blocks of at most {BLOCK_SIZE} bytes"))
    } else {
        Check::good(name, format!("works, in blocks of {block} bytes"))
    }
}

/// Where the kernel tells of the device that holds `directory`, if it has one.
fn queue(directory: &Path) -> Option<PathBuf> {
    device::queue(stat(directory).ok()?.st_dev)
}

fn blocks(name: String, queue: &Path) -> Check {
    let size = |file: &str| device::read(queue, file).and_then(|text| text.parse::<usize>().ok());
    let (logical, physical) = (size("logical_block_size"), size("physical_block_size"));
    let found = format!("logical {}, physical {}", told(logical), told(physical));
    if logical.max(physical).is_some_and(|block| block > BLOCK_SIZE) {
        // A torn physical block could take acknowledged bytes of its neighbour with it.
        Check::unfit(name, found, format!("use a device with physical blocks of at most {BLOCK_SIZE} bytes"))
    } else {
        Check::good(name, found)
    }
}

fn told(size: Option<usize>) -> String {
    size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())
}

/// How dear a sync is: good to know, nothing to mend.
fn write_cache(name: String, queue: &Path) -> Check {
    let found = match device::write_cache(queue) {
        WriteCache::Through => "write through: a completed write is durable",
        WriteCache::BackWithFua => "write back, with FUA: a durable write covers that write alone",
        WriteCache::Back => "write back, without FUA: a durable write flushes the whole cache",
        WriteCache::Unknown => "unknown",
    };
    Check::good(name, found)
}
