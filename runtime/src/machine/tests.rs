use super::*;
use crate::{LaunchOptions, Pinning, launch};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn named<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name.starts_with(name)).expect("every check reports")
}

#[test]
fn this_machine_runs_shards_and_so_says_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("not/yet/there");
    let checks = check(1, &[&below]);
    for name in ["kernel", "io_uring", "locked memory", "cores", "free space", "direct I/O"] {
        let check = named(&checks, name);
        assert!(check.grade < Grade::Poor, "{check:?}");
        assert!(!check.found.is_empty());
    }
    assert!(
        !below.exists() && directory.path().read_dir().unwrap().next().is_none(),
        "nothing was left behind"
    );
}

#[test]
fn what_fails_names_its_cure() {
    let checks = check(u16::MAX, &[Path::new("/proc/self"), Path::new("/dev/shm/x")]);
    assert!(named(&checks, "cores").cure.is_some());
    for check in checks.iter().filter(|check| check.grade != Grade::Good) {
        assert!(check.cure.as_ref().is_some_and(|cure| !cure.is_empty()), "{check:?}");
    }
    let memory = checks.iter().find(|check| check.name == "file system of /dev/shm/x");
    if let Some(memory) = memory.filter(|check| check.found.starts_with("tmpfs")) {
        assert_eq!(memory.grade, Grade::Poor, "{memory:?}");
    }
    assert_eq!(named(&checks, "writing of /proc/self").grade, Grade::Unfit);
}

#[test]
fn errors_of_the_ring_name_their_cures() {
    for (code, part) in [
        (libc::EPERM, "seccomp"),
        (libc::ENOSYS, "CONFIG_IO_URING"),
        (libc::EINVAL, "6.1"),
        (libc::ENOMEM, "ulimit -l"),
        (libc::EMFILE, "ulimit -n"),
    ] {
        let cure = ring_cure(&std::io::Error::from_raw_os_error(code)).unwrap();
        // A machine on which io_uring is disabled has another cure for the first.
        assert!(cure.contains(part) || cure.contains("sysctl"), "{code}: {cure}");
    }
    assert_eq!(ring_cure(&std::io::Error::from_raw_os_error(libc::EIO)), None);
}

/// The variable that tells a test's own second process what it is.
const CHILD: &str = "MILLRACE_TEST_CHILD";

/// Runs the named test again in a process of its own, since limits and users are of a process. Gives what it printed.
fn in_a_child(test: &str, role: &str) -> String {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, role)
        // Under a sanitizer, leaks are told by who they are of, and another user may not read the names.
        .env("LSAN_OPTIONS", "detect_leaks=0")
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "the child ran the test: {text}");
    text
}

fn limit_locked_memory(bytes: u64) {
    let maximum = getrlimit(Resource::Memlock).maximum;
    let maximum = Some(maximum.map_or(bytes, |maximum| maximum.min(bytes)));
    setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), maximum }).unwrap();
}

/// Gives up root, which is not bound by the limit on locked memory, for good.
fn become_nobody() {
    const NOBODY: u32 = 65534;
    if rustix::process::getuid().is_root() {
        // SAFETY: plain system calls; the child is about to run one test and end.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(NOBODY, NOBODY, NOBODY), 0);
            assert_eq!(libc::setresuid(NOBODY, NOBODY, NOBODY), 0);
        }
    }
}

fn options(shards: u16) -> LaunchOptions {
    LaunchOptions { shards, pinning: Pinning::Never, ..LaunchOptions::default() }
}

#[test]
fn sixteen_shards_start_unprivileged_with_8_mib_of_locked_memory() {
    const NAME: &str = "machine::tests::sixteen_shards_start_unprivileged_with_8_mib_of_locked_memory";
    if std::env::var_os(CHILD).is_none() {
        in_a_child(NAME, "8 MiB");
        return;
    }
    limit_locked_memory(8 << 20);
    become_nobody();
    let mesh: crate::Mesh<u16> = crate::Mesh::new(16, 16);
    let all_started = launch(&options(16), move |shard| {
        let port = mesh.join(&shard);
        async move {
            // All have their registered buffers, or do without, before the first ends.
            let buffers: Vec<_> = (0..4).map(|_| crate::AlignedBuf::registered(256 << 10)).collect();
            for to in 0..shard.count {
                port.send(crate::ShardId(to), shard.id.0);
            }
            for _ in 0..shard.count {
                port.recv().await;
            }
            buffers.len()
        }
    });
    assert_eq!(all_started.unwrap().join().unwrap(), [4; 16]);
    let misses = crate::AlignedBuf::registered_misses();
    assert!(misses > 0 && misses < 64, "{misses} of 64 buffers found no locked memory");
}

#[test]
fn too_little_locked_memory_is_a_clear_error() {
    const NAME: &str = "machine::tests::too_little_locked_memory_is_a_clear_error";
    if std::env::var_os(CHILD).is_none() {
        in_a_child(NAME, "64 KiB");
        return;
    }
    limit_locked_memory(64 << 10);
    become_nobody();
    let error = launch(&options(2), async |_| ()).expect_err("64 KiB are too little");
    assert!(matches!(error, crate::LaunchError::LockedMemory { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("64 KiB") && text.contains("ulimit -l") && text.contains("LimitMEMLOCK"), "{text}");
    let checks = check(2, &[]);
    assert_eq!(named(&checks, "locked memory").grade, Grade::Unfit);
}
