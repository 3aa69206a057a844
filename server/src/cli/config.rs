//! `millrace config`: what the server would run with, and why.

use super::{output::put, settings::Settings};
use crate::{config::SETTINGS, exit::Exit};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print every setting with its value, as a configuration file.
    Print(Print),
}

#[derive(clap::Args)]
struct Print {
    #[command(flatten)]
    settings: Settings,
    /// Say of each value whether it came from a default, the file, the environment or a flag.
    #[arg(long)]
    origin: bool,
    /// Print JSON, origins included.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Command::Print(print) = &arguments.command;
    match print.run() {
        Ok(text) => match put(text.trim_end()) {
            Ok(()) => Exit::Success,
            Err(error) => error.tell(),
        },
        Err(exit) => exit,
    }
}

impl Print {
    fn run(&self) -> Result<String, Exit> {
        let loaded = self.settings.load()?;
        let rows = SETTINGS.iter().zip(&loaded.origins);
        if self.json {
            let all: Vec<serde_json::Value> = rows
                .map(|(setting, origin)| {
                    serde_json::json!({
                        "name": setting.name(),
                        "value": (setting.show)(&loaded.config),
                        "origin": origin.to_string(),
                    })
                })
                .collect();
            return Ok(format!("{:#}\n", serde_json::Value::Array(all)));
        }
        let mut text = String::new();
        let mut section = "";
        for (setting, origin) in rows {
            if setting.section != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = setting.section;
                text.push_str(&format!("{gap}[{section}]\n"));
            }
            let line = format!("{} = {}", setting.key, (setting.show)(&loaded.config));
            if self.origin {
                text.push_str(&format!("{line:<56} # {origin}\n"));
            } else {
                text.push_str(&format!("{line}\n"));
            }
        }
        Ok(text)
    }
}
