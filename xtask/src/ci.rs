//! What CI runs.

use crate::{
    fuzz, sanitize,
    shell::{Failure, cargo, execute, steps},
    targets,
};

/// Executions of each fuzz target in CI: a regression check over the corpus and a short search, not a soak.
const FUZZ_RUNS: u64 = 20_000;

/// Everything, in the order in which it fails soonest.
pub(crate) fn run() -> Result<(), Failure> {
    steps(&[
        ("format", &|| execute(cargo().args(["fmt", "--all", "--check"]))),
        ("lints", &|| {
            let options =
                ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
            execute(cargo().args(options))
        }),
        ("documentation", &|| {
            let options = ["doc", "--workspace", "--no-deps", "--all-features", "--document-private-items"];
            execute(cargo().args(options).env("RUSTDOCFLAGS", "-D warnings"))
        }),
        ("tests", &targets::test),
        ("sanitizers", &sanitize::short),
        ("fuzz targets", &|| fuzz::run(&fuzz::Options::all(FUZZ_RUNS))),
    ])
}
