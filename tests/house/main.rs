//! The house holds: who may use whom, who may name the executor, and what the workspace looks like to cargo.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};
use std::collections::{BTreeMap, BTreeSet};

/// Package -> the packages of ours that it may depend on. Arrows point one way; storage, engine and net know nothing of
/// each other.
const MAY_USE: &[(&str, &[&str])] = &[
    ("millrace-runtime", &[]),
    ("millrace-record", &[]),
    ("millrace-engine-derive", &[]),
    ("millrace-storage", &["millrace-record", "millrace-runtime"]),
    ("millrace-engine", &["millrace-engine-derive", "millrace-record", "millrace-runtime"]),
    ("millrace-net", &["millrace-record", "millrace-runtime"]),
    ("millrace-loadgen", &["millrace-net", "millrace-record", "millrace-runtime"]),
    (
        "millrace-server",
        &[
            "millrace-engine",
            "millrace-loadgen",
            "millrace-net",
            "millrace-record",
            "millrace-runtime",
            "millrace-storage",
        ],
    ),
    (
        "millrace-bench",
        &[
            "millrace-engine",
            "millrace-loadgen",
            "millrace-net",
            "millrace-record",
            "millrace-runtime",
            "millrace-server",
            "millrace-storage",
        ],
    ),
    ("xtask", &[]),
];

/// Packages that only the runtime may depend on, in any way.
const ONLY_RUNTIME: &[&str] = &["glommio-ng", "glommio", "io-uring", "core_affinity"];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata of this workspace")
}

fn packages(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    metadata.workspace_packages().into_iter().map(|package| (package.name.as_str(), package)).collect()
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let listed: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<&str> = packages.keys().copied().collect();
    assert_eq!(there, listed, "every package of the workspace is in the table");
    for (name, allowed) in MAY_USE {
        for dependency in &packages[name].dependencies {
            // Tests may borrow a neighbour; what ships may not.
            if dependency.kind == DependencyKind::Development || !listed.contains(dependency.name.as_str()) {
                continue;
            }
            assert!(allowed.contains(&dependency.name.as_str()), "{name} may not use {}", dependency.name);
        }
    }
}

#[test]
fn only_the_runtime_names_the_executor() {
    let metadata = metadata();
    for (name, package) in packages(&metadata) {
        for dependency in &package.dependencies {
            let forbidden = ONLY_RUNTIME.contains(&dependency.name.as_str());
            assert!(!forbidden || name == "millrace-runtime", "{name} depends on {}", dependency.name);
        }
    }
}

#[test]
fn there_is_one_binary_and_plain_commands_reach_everything() {
    let metadata = metadata();
    let packages = packages(&metadata);
    let binaries: Vec<&str> = packages
        .values()
        .filter(|package| package.name.as_str() != "xtask")
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.as_str())
        .collect();
    assert_eq!(binaries, ["millrace"], "a second one would break `cargo run`");
    let default: BTreeSet<&str> =
        metadata.workspace_default_packages().into_iter().map(|package| package.name.as_str()).collect();
    let expected: BTreeSet<&str> = packages.keys().copied().filter(|name| *name != "xtask").collect();
    assert_eq!(default, expected, "a plain `cargo test` tests all");
}

#[test]
fn the_simulator_is_never_on_by_default() {
    let metadata = metadata();
    for (name, package) in packages(&metadata) {
        for dependency in &package.dependencies {
            let shipped = dependency.kind != DependencyKind::Development;
            let simulated = dependency.features.iter().any(|feature| feature == "sim");
            assert!(!(shipped && simulated), "{name} ships the simulator");
        }
        let default = package.features.get("default").cloned().unwrap_or_default();
        assert!(!default.iter().any(|feature| feature == "sim"), "{name} has it on by default");
    }
}
