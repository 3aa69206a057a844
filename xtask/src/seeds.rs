//! The seeds of the fuzz targets.

use crate::shell::{Failure, cargo, execute, root};

/// The packages whose doors are fuzzed.
const PACKAGES: [&str; 5] =
    ["millrace-record", "millrace-net", "millrace-storage", "millrace-engine", "millrace-server"];

/// Has the tests that hold the seeds in `fuzz/corpus` write them instead, all anew.
pub(crate) fn write() -> Result<(), Failure> {
    let corpus = root().join("fuzz/corpus");
    if corpus.exists() {
        let removed = std::fs::remove_dir_all(&corpus);
        removed.map_err(|error| Failure(format!("{}: {error}", corpus.display())))?;
    }
    let mut test = cargo();
    test.args(["test", "--lib"]).args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    test.args(["seeds_are_as_made"]).env("MILLRACE_WRITE_SEEDS", "1");
    execute(&mut test)
}
