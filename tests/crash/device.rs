//! A real ext4 on a loop device, whose power can be cut.

use rustix::ioctl::{Setter, ioctl, opcode};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long the kernel may take to let go of a file system.
const PATIENCE: Duration = Duration::from_secs(20);

/// The variable that turns a test which cannot run here into one that fails.
const REQUIRE_ALL: &str = "MILLRACE_TESTS_REQUIRE_ALL";

/// FS_IOC_SHUTDOWN of Linux: the file system takes nothing more.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);

/// EXT4_GOING_FLAGS_NOLOGFLUSH: and what its own journal has not written yet is gone, as when the power fails.
const WITHOUT_FLUSH: u32 = 2;

/// A file system in a file. Unmounted when this drops.
pub(crate) struct Device {
    directory: TempDir,
    mounted: bool,
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
        let mut device = Self { directory, mounted: false };
        let image = device.image();
        let made = File::create(&image).and_then(|file| file.set_len(mebibytes << 20));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        command("mkfs.ext4", &["-q", "-F"], &[&image])?;
        fs::create_dir(device.path()).map_err(|error| error.to_string())?;
        device.mount()?;
        Ok(device)
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// A directory beside it, which keeps its power.
    pub(crate) fn beside(&self) -> &Path {
        self.directory.path()
    }

    fn mount(&mut self) -> Result<(), String> {
        command("mount", &["-o", "loop"], &[&self.image(), &self.path()])?;
        self.mounted = true;
        Ok(())
    }

    /// From now on nothing reaches the device, and what the file system had not written is lost.
    pub(crate) fn cut_power(&self) {
        let root = File::open(self.path()).unwrap();
        // SAFETY: the operation reads a number, and touches no memory of ours.
        unsafe { ioctl(&root, Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH)) }.unwrap();
    }

    /// The power is back. Nobody may have files open on it.
    pub(crate) fn restore(&mut self) {
        self.unmount().unwrap();
        self.mount().unwrap();
    }

    /// The kernel closes what a ring had open a while after the process is gone: until then it is busy.
    fn unmount(&mut self) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            match command("umount", &[], &[&self.path()]) {
                Ok(()) => break,
                Err(reason) if Instant::now() > end => return Err(reason),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.mounted
            && let Err(reason) = self.unmount()
        {
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
