//! Running commands aloud.

use std::{
    env, fmt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Why a command of ours did not succeed.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or_else(|| here.clone(), PathBuf::from)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Runs `command` with its output on ours.
pub(crate) fn execute(command: &mut Command) -> Result<(), Failure> {
    say(command);
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|error| Failure(format!("{}: {error}", line(command))))?;
    if status.success() { Ok(()) } else { Err(Failure(format!("{}: {status}", line(command)))) }
}

/// Prints the command as it would be typed.
pub(crate) fn say(command: &Command) {
    println!("$ {}", line(command));
}

fn line(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}='{}'", name.to_str()?, value?.to_str()?)));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    variables.chain(words.map(|word| word.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

/// A name, and what is done under it.
pub(crate) type Step<'a> = (&'a str, &'a dyn Fn() -> Result<(), Failure>);

/// Runs named steps one after the other and sums up; the first failure ends it.
pub(crate) fn steps(steps: &[Step<'_>]) -> Result<(), Failure> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, step) in steps {
        println!("\n== {name}");
        let begun = Instant::now();
        let done = step();
        times.push((name, begun.elapsed()));
        if let Err(failure) = done {
            summary(&times);
            return Err(Failure(format!("{name}: {failure}")));
        }
    }
    summary(&times);
    Ok(())
}

fn summary(times: &[(&str, Duration)]) {
    println!();
    for (name, time) in times {
        println!("{:>6.1} s  {name}", time.as_secs_f64());
    }
}

/// The folder of a build with flags of its own, beside the ordinary one.
pub(crate) fn target_dir(name: &str) -> PathBuf {
    let base = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    base.join(name)
}

/// This machine's target triple: naming it keeps RUSTFLAGS from build scripts and procedural macros.
pub(crate) fn host() -> Result<String, Failure> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| Failure(format!("rustc -vV: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(str::to_owned).ok_or_else(|| Failure("rustc -vV names no host".to_owned()))
}
