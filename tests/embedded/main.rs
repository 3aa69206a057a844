//! Programs with Millrace in them: the example, and one with the whole command line and jobs of its own.
//!
//! This binary is those programs too. A test starts it once more, with [`PROGRAM`] set: so what runs is what was just built.

#![expect(clippy::unwrap_used, reason = "an error ends the test")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "these tests watch a process from outside"
)]

#[expect(dead_code, reason = "other tests kill servers")]
#[path = "../process/mod.rs"]
mod process;

#[path = "../../examples/embed.rs"]
pub mod example;
mod jobs;
mod shout;

use libtest_mimic::{Arguments, Failed, Trial};
use std::{env, path::PathBuf, process::ExitCode};

/// The variable that says which of the programs this process is.
const PROGRAM: &str = "TEST_PROGRAM";

fn main() -> ExitCode {
    match env::var(PROGRAM).as_deref() {
        Ok(shout::EXAMPLE) => match example::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        Ok(jobs::COMMANDS) => millrace::main(jobs::register),
        _ => {
            let test = |name: &str, run: fn()| {
                Trial::test(name, move || {
                    run();
                    Ok::<(), Failed>(())
                })
            };
            let trials = vec![
                test("the_example_shouts_and_ends", shout::the_example_shouts_and_ends),
                test("a_slow_job_shows_where_it_is_slow", jobs::a_slow_job_shows_where_it_is_slow),
                test("a_job_that_fails_says_why", jobs::a_job_that_fails_says_why),
            ];
            libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
        }
    }
}

/// This binary.
fn itself() -> PathBuf {
    env::current_exe().unwrap()
}
