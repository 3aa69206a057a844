//! Sanitizers over the crates that have unsafe code.
//!
//! The compiler is stable; the flag for sanitizers is not, hence RUSTC_BOOTSTRAP for these builds alone.

use crate::{
    fuzz::{host, target_dir},
    shell::{Failure, cargo, execute},
};

/// What looks for which kind of fault.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Sanitizer {
    /// Uses of memory that is not ours.
    Address,
    /// Data races.
    Thread,
}

/// Which sanitizer.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The sanitizer.
    pub(crate) sanitizer: Sanitizer,
}

/// A package, and which of its tests.
type Tests = (&'static str, &'static [&'static str]);

/// The packages with unsafe code, and those whose threads meet. The engine's other tests compile programs.
const ADDRESS: &[Tests] = &[
    ("millrace-runtime", &["--lib", "--tests"]),
    ("millrace-record", &["--lib", "--tests"]),
    ("millrace-storage", &["--lib"]),
    ("millrace-engine", &["--lib", "--test", "allocations"]),
];
const THREAD: &[Tests] = &[("millrace-runtime", &["--lib", "--tests"])];

/// Runs the unit and integration tests of the packages that matter under `sanitizer`.
pub(crate) fn run(sanitizer: Sanitizer) -> Result<(), Failure> {
    let (name, packages, flags) = match sanitizer {
        Sanitizer::Address => ("address", ADDRESS, "-Zsanitizer=address"),
        Sanitizer::Thread => ("thread", THREAD, "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"),
    };
    let triple = host()?;
    for (package, tests) in packages {
        let mut test = cargo();
        test.args(["test", "--all-features", "--target", &triple, "--package", package]).args(*tests);
        test.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags).env("PROPTEST_CASES", "32");
        // Leaks at exit are glommio's thread-locals and libtest's own; what matters are faults.
        test.env("ASAN_OPTIONS", "detect_leaks=0");
        test.env("CARGO_TARGET_DIR", target_dir().with_file_name(name));
        execute(&mut test)?;
    }
    Ok(())
}
