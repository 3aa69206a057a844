//! The client compatibility suite: unmodified Kafka clients against a running broker.
//!
//! `tests/clients/README.md` says what is tested and how to run it against any broker. The clients' own programs are in
//! the folders beside this file; here they are installed and driven, and each of their cases becomes a test.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the harness runs outside every shard, on the real clock and file system"
)]

mod broker;
mod command;
mod create_topic;
mod install;
mod kcat;
mod program;
mod restart;
mod suite;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use crate::suite::{Selection, Suite};

/// How many cases run at the same time where the command line does not say. Most wait for a rebalance or a linger, so
/// that it may be more than the cores of a small machine.
const CASES_AT_ONCE: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(CASES_AT_ONCE);
    let selection = Selection::new(&arguments);
    let suite = Arc::new(Suite::new(&selection));
    let trials = suite
        .cases()
        .into_iter()
        .map(|case| {
            let suite = Arc::clone(&suite);
            Trial::ignorable_test(case.name(), move || suite.run(&case))
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The broker and the clients' programs end here: the exit code is returned, so that destructors run.
    drop(suite);
    conclusion.exit_code()
}
