//! `millrace check`: whether a server would start here, and what mends it if not. `serve` asks the same at its start.

use super::{
    output::{self, OutputError},
    settings::Settings,
};
use crate::{
    config::{Config, Problems, Warning},
    exit::Exit,
};
use millrace_runtime::{
    LaunchOptions, Pinning, launch,
    machine::{self, Check, Grade},
};
use millrace_storage::{DataDirs, DirsError, FormatError};
use std::{path::Path, time::Duration};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let (config, problems) = match arguments.settings.read() {
        Ok(loaded) => (loaded.config, Problems(Vec::new())),
        // The machine is looked at all the same: whoever mends the one can mend the other in one go.
        Err(problems) => (Config::default(), problems),
    };
    let (warnings, checks) = (config.warnings(), check_machine(&config));
    // Without a sound configuration nobody knows where the data is.
    let data = problems.0.is_empty().then(|| check_data(&config)).flatten();
    let report = Report { problems, warnings, checks, data };
    let told =
        if arguments.json { output::put(format_args!("{:#}", report.as_json())) } else { report.print() };
    match told {
        Ok(()) => report.exit(),
        Err(error) => error.tell(),
    }
}

/// All that was found.
struct Report {
    problems: Problems,
    warnings: Vec<Warning>,
    checks: Vec<Check>,
    /// Nothing if it could not be looked at, which others of the checks explain.
    data: Option<Check>,
}

impl Report {
    /// What `serve` would end with: it reads the configuration, looks at the machine, and then opens the data.
    fn exit(&self) -> Exit {
        if !self.problems.0.is_empty() {
            return Exit::Config;
        }
        let is_unfit = self.data.as_ref().is_some_and(|data| data.grade == Grade::Unfit);
        match exit(&self.checks) {
            Exit::Success if is_unfit => Exit::Data,
            exit => exit,
        }
    }

    fn print(&self) -> Result<(), OutputError> {
        if self.problems.0.is_empty() {
            output::put(line(Grade::Good, "configuration", "sound"))?;
        } else {
            eprint!("{}", self.problems.render(output::colour_on_stderr()));
            output::put(line(Grade::Unfit, "configuration", "see above"))?;
        }
        for Warning { setting, found, cure } in &self.warnings {
            output::put(with_cure(line(Grade::Poor, setting, found), Some(cure)))?;
        }
        self.checks.iter().chain(&self.data).try_for_each(|check| output::put(as_text(check)))
    }

    fn as_json(&self) -> serde_json::Value {
        let mut json = as_json(&self.problems, &self.warnings, &self.checks);
        json["data"] = self.data.iter().map(check_as_json).collect();
        json
    }
}

/// What a process ends with that finds this. A limit that is too low is a wrong configuration, unless there is worse.
fn exit(checks: &[Check]) -> Exit {
    let mut unfit = checks.iter().filter(|check| check.grade == Grade::Unfit).peekable();
    if unfit.peek().is_none() {
        Exit::Success
    } else if unfit.all(|check| check.is_limit) {
        Exit::Config
    } else {
        Exit::Machine
    }
}

/// Refuses to serve on a machine that is unfit, and warns of what is poor.
///
/// # Errors
/// [`Exit::Machine`], or [`Exit::Config`] if it is limits alone, once all that is unfit has been told.
pub(super) fn at_start(config: &Config) -> Result<(), Exit> {
    let checks = check_machine(config);
    let exit = exit(&checks);
    for Check { name, grade, found, cure, .. } in checks {
        let cure = cure.unwrap_or_default();
        match grade {
            Grade::Good => tracing::debug!(check = name, found, "machine"),
            Grade::Fair => tracing::info!(check = name, found, cure, "the machine could be better"),
            Grade::Poor => tracing::warn!(check = name, found, cure, "the machine may fail the server"),
            Grade::Unfit => {
                tracing::error!(check = name, found, cure, "the machine is unfit");
            }
        }
    }
    if exit == Exit::Success { Ok(()) } else { Err(exit) }
}

fn check_machine(config: &Config) -> Vec<Check> {
    let directories: Vec<&Path> = config.server.data_dirs.iter().map(AsRef::as_ref).collect();
    machine::check(config.shards(), &directories)
}

/// Whether a server could open the data directories. `serve` needs no such look: it opens them.
fn check_data(config: &Config) -> Option<Check> {
    let options = LaunchOptions {
        pinning: Pinning::Never,
        spin: Duration::ZERO,
        name: "check".to_owned(),
        ..LaunchOptions::default()
    };
    let dirs = config.server.data_dirs.clone();
    let launched = launch(&options, move |_| {
        let dirs = dirs.clone();
        async move { DataDirs::look(&dirs).await }
    });
    let looked = launched.ok()?.join().ok()?.into_iter().next()?;
    let (grade, found, cure) = match looked {
        Ok(()) => (Grade::Good, "new, or of this version, and free".to_owned(), None),
        Err(error) => (Grade::Unfit, error.to_string(), Some(cure_of_data(&error).to_owned())),
    };
    Some(Check { name: "data directories".to_owned(), grade, found, cure, is_limit: false })
}

const fn cure_of_data(error: &DirsError) -> &'static str {
    match error {
        DirsError::InUse(_) => "stop the server that uses it, or give this one a directory of its own",
        DirsError::Format { error: FormatError::Version(_), .. } => {
            "run the release that wrote it, or a later one"
        }
        DirsError::Format { .. } => "restore the format file from a copy, or use another directory",
        _ => "use another directory, which is empty or not there yet",
    }
}

const fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "good",
        Grade::Fair => "fair",
        Grade::Poor => "poor",
        Grade::Unfit => "unfit",
    }
}

fn line(grade: Grade, name: &str, found: &str) -> String {
    let word = word(grade);
    let coloured = match grade {
        Grade::Good => output::green(word),
        Grade::Fair => word.to_owned(),
        Grade::Poor => output::yellow(word),
        Grade::Unfit => output::red(word),
    };
    // The colour's own characters take no room.
    let gap = " ".repeat(6 - word.len());
    format!("{coloured}{gap}{name}: {found}")
}

fn as_text(check: &Check) -> String {
    with_cure(line(check.grade, &check.name, &check.found), check.cure.as_deref())
}

fn with_cure(line: String, cure: Option<&str>) -> String {
    match cure {
        Some(cure) => format!("{line}\n      -> {cure}"),
        None => line,
    }
}

fn as_json(problems: &Problems, warnings: &[Warning], checks: &[Check]) -> serde_json::Value {
    let problems: Vec<_> = problems
        .0
        .iter()
        .map(|problem| {
            serde_json::json!({
                "message": problem.message,
                "origin": problem.origin.as_ref().map(ToString::to_string),
                "cure": problem.help,
            })
        })
        .collect();
    let warnings: Vec<_> = warnings
        .iter()
        .map(|Warning { setting, found, cure }| {
            serde_json::json!({ "setting": setting, "found": found, "cure": cure })
        })
        .collect();
    let checks: Vec<_> = checks.iter().map(check_as_json).collect();
    serde_json::json!({ "configuration": problems, "warnings": warnings, "machine": checks })
}

fn check_as_json(check: &Check) -> serde_json::Value {
    serde_json::json!({
        "name": check.name,
        "grade": word(check.grade),
        "found": check.found,
        "cure": check.cure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_good_is_told_with_its_cure() {
        let check = Check {
            name: "io_uring".to_owned(),
            grade: Grade::Unfit,
            found: "not permitted".to_owned(),
            cure: Some("sysctl -w kernel.io_uring_disabled=0".to_owned()),
            is_limit: false,
        };
        assert_eq!(exit(std::slice::from_ref(&check)), Exit::Machine);
        let limit = Check { is_limit: true, ..check.clone() };
        assert_eq!(exit(&[limit.clone(), check.clone()]), Exit::Machine, "no limit mends that");
        assert_eq!(exit(std::slice::from_ref(&limit)), Exit::Config);
        assert_eq!(exit(&[Check { grade: Grade::Fair, ..limit }]), Exit::Success);
        let text = as_text(&check);
        assert_eq!(text, "unfit io_uring: not permitted\n      -> sysctl -w kernel.io_uring_disabled=0");
        let json = as_json(&Problems(Vec::new()), &[], &[check]);
        assert_eq!(json["machine"][0]["grade"], "unfit");
        assert_eq!(json["machine"][0]["cure"], "sysctl -w kernel.io_uring_disabled=0");
    }
}
