//! The flags that many commands share: which configuration, and what overrides it.

use super::output::colour_on_stderr;
use crate::{
    config::{self, Layers, Loaded, Problem, Problems, SourceText},
    exit::Exit,
};
use std::path::PathBuf;

/// Where the configuration comes from.
#[derive(clap::Args, Clone, Debug, Default)]
pub(super) struct Settings {
    /// The configuration file (TOML). Without one, defaults hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A directory for the log; give it again for several.
    #[arg(long, value_name = "DIR")]
    data_dir: Vec<PathBuf>,
    /// The address that Kafka clients connect to.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The address that clients are told to come back to.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// The address of the admin interface.
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen: Option<String>,
    /// Number of shards: each a thread with its own partitions, connections and tasks.
    #[arg(long, value_name = "N")]
    shards: Option<String>,
}

impl Settings {
    /// Loads the configuration, or tells all that is wrong with it.
    pub(super) fn load(&self) -> Result<Loaded, Exit> {
        self.read().map_err(|problems| {
            eprint!("{}", problems.render(colour_on_stderr()));
            Exit::Config
        })
    }

    /// Loads the configuration.
    pub(super) fn read(&self) -> Result<Loaded, Problems> {
        self.layers().and_then(|layers| config::load(&layers))
    }

    fn layers(&self) -> Result<Layers, Problems> {
        let file = match &self.config {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(SourceText::new(path, text)),
                Err(error) => {
                    let message = format!("cannot read {}: {error}", path.display());
                    return Err(Problems(vec![Problem::new(message)]));
                }
            },
        };
        let mut flags: Vec<(&'static str, &'static str, String)> = Vec::new();
        for (setting, flag, given) in [
            ("server.listen", "--listen", &self.listen),
            ("server.advertise", "--advertise", &self.advertise),
            ("server.admin_listen", "--admin-listen", &self.admin_listen),
            ("server.shards", "--shards", &self.shards),
        ] {
            flags.extend(given.clone().map(|text| (setting, flag, text)));
        }
        let data_dirs = (!self.data_dir.is_empty()).then(|| ("--data-dir", self.data_dir.clone()));
        Ok(Layers { file, environment: std::env::vars_os().collect(), flags, data_dirs })
    }
}
