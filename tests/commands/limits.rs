//! The limits under which a server is started.

use crate::process::Start;
use std::process::Command;

/// Set where skipping is no option.
const REQUIRE_ALL: &str = "MILLRACE_TESTS_REQUIRE_ALL";

/// The common limit on locked memory, in bytes.
const LOCKED_BYTES: u64 = 8 << 20;

/// The allocator's memory may lie in huge pages, each of which would count as a whole for every ring that knows a part of it.
#[test]
fn with_8_mib_of_locked_memory_all_buffers_are_registered() {
    // The limit counts for a user, and root is exempt but for this.
    let confined = ["--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"];
    let can_confine = Command::new("setpriv").args(confined).args(["prlimit", "--version"]).output();
    if !can_confine.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set, and setpriv needs root");
        println!("skipped: setpriv and prlimit, as root, are needed to start a server under a limit");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let limit = format!("--memlock={LOCKED_BYTES}:{LOCKED_BYTES}");
    let wrapper = ["setpriv", confined[0], confined[1], "prlimit", &limit];
    let server = Start::below(directory.path()).shards(2).within(&wrapper).run();
    let (code, stdout, stderr) = server.command(&["topic", "create", "t", "--partitions", "4"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let log = server.log();
    assert!(log.contains("listening") && !log.contains("unregistered buffers"), "{log}");
}
