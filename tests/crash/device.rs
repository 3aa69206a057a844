//! A real ext4 on a loop device, whose power can be cut.
//!
//! The loop device's file lies on a second ext4 of the same kind. What is written to the device is in the page cache of that one,
//! as in the cache of a disk, until a sync brings it further; and the cut shuts the lower file system down, so that this
//! cache is lost. Cutting the upper one would not show a missing sync: direct writes are beyond it at once.

use rustix::ioctl::{Setter, ioctl, opcode};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What the lower file system has beside the upper one's image, in MiB.
const MARGIN: u64 = 256;

/// How long the kernel may take to let go of a file system.
const PATIENCE: Duration = Duration::from_secs(20);

/// The variable that turns a test which cannot run here into one that fails.
const REQUIRE_ALL: &str = "MILLRACE_TESTS_REQUIRE_ALL";

/// FS_IOC_SHUTDOWN of Linux: the file system takes nothing more.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);

/// EXT4_GOING_FLAGS_NOLOGFLUSH: and what its own journal has not written yet is gone, as when the power fails.
const WITHOUT_FLUSH: u32 = 2;

/// A file system in a file on a file system in a file. Unmounted when this drops.
pub(crate) struct Device {
    directory: TempDir,
    /// Mounts that stand: none, the lower, or both.
    mounts: usize,
}

impl Device {
    /// A new file system of `mebibytes`; `None`, once the reason is printed, if this machine or user has none.
    pub(crate) fn new(mebibytes: u64) -> Option<Self> {
        match Self::make(mebibytes) {
            Ok(device) => Some(device),
            Err(reason) => {
                assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set, and {reason}");
                println!("skipped: {reason}");
                None
            }
        }
    }

    fn make(mebibytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting takes root".to_owned());
        }
        if !Path::new("/dev/loop-control").exists() {
            return Err("there are no loop devices".to_owned());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut device = Self { directory, mounts: 0 };
        let [(lower_image, lower), (image, path)] = device.layers();
        for (image, path, mebibytes) in [(lower_image, lower, mebibytes + MARGIN), (image, path, mebibytes)] {
            let made = File::create(&image).and_then(|file| file.set_len(mebibytes << 20));
            made.map_err(|error| format!("{}: {error}", image.display()))?;
            command("mkfs.ext4", &["-q", "-F"], &[&image])?;
            fs::create_dir(&path).map_err(|error| error.to_string())?;
            device.mount_next()?;
        }
        Ok(device)
    }

    /// The images and where they are mounted, the lower first.
    fn layers(&self) -> [(PathBuf, PathBuf); 2] {
        let path = |name: &str| self.directory.path().join(name);
        [(path("lower-image"), path("lower")), (path("lower").join("image"), path("mounted"))]
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// A directory beside it, which keeps its power.
    pub(crate) fn beside(&self) -> &Path {
        self.directory.path()
    }

    fn mount_next(&mut self) -> Result<(), String> {
        let (image, path) = &self.layers()[self.mounts];
        command("mount", &["-o", "loop"], &[image, path])?;
        self.mounts += 1;
        Ok(())
    }

    /// From now on nothing reaches the device, and what was not synced is lost.
    pub(crate) fn cut_power(&self) {
        let root = File::open(&self.layers()[0].1).unwrap();
        // SAFETY: the operation reads a number, and touches no memory of ours.
        unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH)) }.unwrap();
    }

    /// The power is back. Nobody may have files open on it.
    pub(crate) fn restore(&mut self) {
        self.unmount().unwrap();
        while self.mounts < self.layers().len() {
            self.mount_next().unwrap();
        }
    }

    /// The kernel closes what a ring had open a while after the process is gone: until then it is busy.
    fn unmount(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while self.mounts > 0 {
            let (_, path) = &self.layers()[self.mounts - 1];
            match command("umount", &[], &[path]) {
                Ok(()) => self.mounts -= 1,
                Err(reason) if Instant::now() > end => return Err(reason),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(reason) = self.unmount() {
            eprintln!("{reason}");
        }
    }
}

fn command(name: &str, options: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(name).args(options).args(paths).output();
    let Output { status, stderr, .. } = output.map_err(|error| format!("{name}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&stderr).trim()))
    }
}
