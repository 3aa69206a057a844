//! `millrace completions`.

use super::output;
use crate::exit::Exit;
use clap_complete::{Shell, generate};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell that will read it.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, command: &mut clap::Command) -> Exit {
    // Not to standard output itself: who generates panics if it is closed, as by `head`.
    let mut script = Vec::new();
    generate(arguments.shell, command, "millrace", &mut script);
    match output::put(String::from_utf8_lossy(&script).trim_end()) {
        Ok(()) => Exit::Success,
        Err(error) => error.tell(),
    }
}
