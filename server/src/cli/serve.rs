//! `millrace serve`: the server, until it is told to stop.

use super::{check, notify, settings::Settings};
use crate::{
    config::{Config, LogFormat},
    embed::Server,
    exit::Exit,
};
use millrace_engine::registry::Registry;
use std::{
    path::{Path, PathBuf},
    pin::pin,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// A file to write the address to, once clients can connect.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, jobs: Registry) -> Exit {
    let config = match arguments.settings.load() {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    init_logging(&config);
    if let Err(exit) = check::at_start(&config) {
        return exit;
    }
    let control = tokio::runtime::Builder::new_current_thread().enable_all().thread_name("control").build();
    let control = match control {
        Ok(control) => control,
        Err(error) => return fail(Exit::Machine, &format!("cannot start the control thread: {error}")),
    };
    control.block_on(supervise(config, jobs, arguments.ready_file.clone()))
}

/// Watches over the server from its start to its end.
async fn supervise(config: Config, jobs: Registry, ready_file: Option<PathBuf>) -> Exit {
    // Before anything that takes long: a start may wait for a replay, or for space on the disk.
    let mut told = match Told::listen() {
        Ok(told) => told,
        Err(error) => return fail(Exit::Machine, &format!("cannot listen to signals: {error}")),
    };
    let mut starting = pin!(Server::start(config, jobs));
    let started = tokio::select! {
        () = told.stop() => None,
        started = &mut starting => Some(started),
    };
    let Some(started) = started else {
        // What is durable stays as it is, and so it is after a kill: the next start does again what this one had begun.
        tracing::info!("told to stop before the start was over");
        std::process::exit(Exit::Success.code().into());
    };
    let mut server = match started {
        Ok(server) => server,
        Err(error) => return fail(error.exit(), &error.to_string()),
    };
    let address = server.address();
    if let Some(path) = ready_file
        && let Err(error) = write_ready_file(&path, &format!("{address}\n"))
    {
        return fail(Exit::Failure, &format!("cannot write {}: {error}", path.display()));
    }
    notify::ready(&format!("listening on {address}"));
    let ended = tokio::select! {
        () = told.stop() => None,
        ended = server.ended() => Some(ended),
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            tracing::info!("stopping");
            notify::stopping();
            server.stop().await
        }
    };
    match ended {
        Ok(()) => Exit::Success,
        Err(error) => fail(error.exit(), &error.to_string()),
    }
}

/// All or nothing: whoever waits for the file never reads half of it. The control thread may block for it.
#[expect(
    clippy::disallowed_methods,
    reason = "no shard runs here, and no simulated world has a command line"
)]
fn write_ready_file(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

/// SIGTERM and SIGINT.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The last line of the log says why there is no other.
fn fail(exit: Exit, message: &str) -> Exit {
    tracing::error!(exit_code = exit.code(), error = message, "the server ends");
    exit
}

fn init_logging(config: &Config) {
    let filter = EnvFilter::new(&config.log.filter);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => lines.with_ansi(super::output::colour_on_stderr()).init(),
        LogFormat::Json => {
            lines.json().init();
            // A panic is a line like others, for who reads them with a program.
            std::panic::set_hook(Box::new(|panic| {
                let backtrace = std::backtrace::Backtrace::capture();
                tracing::error!(%panic, %backtrace, "panicked");
            }));
        }
    }
}
