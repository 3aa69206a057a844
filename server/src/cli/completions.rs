//! `millrace completions`.

use crate::exit::Exit;
use clap_complete::{Shell, generate};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The shell that will read it.
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, command: &mut clap::Command) -> Exit {
    generate(arguments.shell, command, "millrace", &mut std::io::stdout());
    Exit::Success
}
