// The seeds of a fuzz target, in `fuzz/corpus`, are made by a test of the crate whose door it is, out of what that crate's other
// tests write; that test includes this file. `cargo xtask seeds` writes them, and otherwise the test holds them to be as made:
// a format that changes takes its seeds with it.

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use std::{collections::BTreeMap, path::Path};

/// A seed's name and bytes.
pub(crate) type Seed = (String, Vec<u8>);

/// More than this, and reading the seeds would take the time of the search.
const SEEDS_MAX: usize = 100;
/// The longest of a seed, in bytes: mutations of longer ones find little.
const SEED_LEN_MAX: usize = 16 << 10;

/// Holds the seeds of `target` to be these.
///
/// # Panics
/// If they are not, naming the command that makes them so.
#[expect(
    clippy::disallowed_methods,
    reason = "a test reads and writes files of the repository, in no simulated world"
)]
pub(crate) fn hold(target: &str, seeds: impl IntoIterator<Item = Seed>) {
    let seeds: BTreeMap<String, Vec<u8>> = seeds.into_iter().collect();
    assert!(!seeds.is_empty() && seeds.len() <= SEEDS_MAX, "{target}: {} seeds", seeds.len());
    for (name, bytes) in &seeds {
        assert!(bytes.len() <= SEED_LEN_MAX, "{target}/{name}: {} bytes", bytes.len());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    if std::env::var("MILLRACE_WRITE_SEEDS").is_ok() {
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the old seeds can be removed");
        }
        std::fs::create_dir_all(&folder).expect("a folder for seeds can be made");
        for (name, bytes) in &seeds {
            std::fs::write(folder.join(name), bytes).expect("a seed can be written");
        }
        return;
    }
    let mut committed = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten() {
        let path = entry.expect("a folder of seeds can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a seed's name is text");
        committed.insert(name.to_owned(), std::fs::read(&path).expect("a seed can be read"));
    }
    let differs = |name: &&String| committed.get(*name) != seeds.get(*name);
    let different: Vec<&String> = committed.keys().chain(seeds.keys()).filter(differs).collect();
    assert!(
        different.is_empty(),
        "run `cargo xtask seeds`: fuzz/corpus/{target} is not as made: {different:?}"
    );
}

/// The same `count` values of a strategy every time, named by their number.
pub(crate) fn drawn<S: Strategy>(count: usize, strategy: S) -> impl Iterator<Item = (String, S::Value)> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(move |number| {
        let tree = strategy.new_tree(&mut runner).expect("the strategy refuses nothing");
        (format!("{number:02}"), tree.current())
    })
}
