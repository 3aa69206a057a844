//! What the kernel tells of the device below a file system.

use rustix::fs::{major, minor};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What becomes of a completed write if the power fails, and what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteCache {
    /// There is no volatile cache: it is durable.
    Through,
    /// It may be lost, unless it was forced past the cache, which the device can do for single writes (FUA).
    BackWithFua,
    /// It may be lost until the whole cache is flushed.
    Back,
    /// Nobody says.
    Unknown,
}

/// Where the kernel tells of a device, by the number that files on it have; if it is a block device at all.
pub(super) fn queue(device: u64) -> Option<PathBuf> {
    let base = PathBuf::from(format!("/sys/dev/block/{}:{}", major(device), minor(device)));
    // A partition has its queue in the disk above it.
    let candidates = [base.join("queue"), base.join("../queue")];
    candidates.into_iter().find(|queue| queue.is_dir())
}

/// One of the figures in a device's queue.
pub(super) fn read(queue: &Path, figure: &str) -> Option<String> {
    fs::read_to_string(queue.join(figure)).ok().map(|text| text.trim().to_owned())
}

pub(super) fn write_cache(queue: &Path) -> WriteCache {
    match (read(queue, "write_cache").as_deref(), read(queue, "fua").as_deref()) {
        (Some("write through"), _) => WriteCache::Through,
        (Some("write back"), Some("1")) => WriteCache::BackWithFua,
        (Some("write back"), _) => WriteCache::Back,
        _ => WriteCache::Unknown,
    }
}

/// The cache of the device that files with this device number are on.
pub(crate) fn write_cache_of(device: u64) -> WriteCache {
    queue(device).map_or(WriteCache::Unknown, |queue| write_cache(&queue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_tells_of_its_cache() {
        let folder = tempfile::tempdir().unwrap();
        let told = |cache: &str, fua: &str| {
            fs::write(folder.path().join("write_cache"), cache).unwrap();
            fs::write(folder.path().join("fua"), fua).unwrap();
            write_cache(folder.path())
        };
        assert_eq!(told("write through\n", "0\n"), WriteCache::Through);
        assert_eq!(told("write back\n", "1\n"), WriteCache::BackWithFua);
        assert_eq!(told("write back\n", "0\n"), WriteCache::Back);
        assert_eq!(told("something new\n", "0\n"), WriteCache::Unknown);
        assert_eq!(write_cache(Path::new("/nowhere")), WriteCache::Unknown);
    }

    #[test]
    fn what_is_no_block_device_has_no_cache_to_tell_of() {
        assert_eq!(write_cache_of(0), WriteCache::Unknown);
    }
}
