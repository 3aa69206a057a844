//! `millrace serve`: the server, until it is told to stop.

use super::{check, notify, settings::Settings};
use crate::{
    config::{Config, LogFormat, Pin},
    control::{self, Shards},
    exit::Exit,
    shard::{Boot, ShardError, Started},
};
use millrace_runtime::{LaunchError, LaunchOptions, Launched, Pinning, ShardPanic, launch};
use std::{
    future::pending,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
};
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// A file to write the address to, once clients can connect.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// What became of every shard.
type Ended = Result<Vec<Result<(), ShardError>>, ShardPanic>;

pub(super) fn run(arguments: &Arguments) -> Exit {
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
    let (started, starting) = mpsc::unbounded_channel();
    let launched = match start(&config, started) {
        Ok(launched) => launched,
        Err(error) => return fail(Exit::Machine, &error.to_string()),
    };
    control.block_on(supervise(config, arguments.ready_file.clone(), launched, starting))
}

fn start(
    config: &Config,
    started: mpsc::UnboundedSender<Started>,
) -> Result<Launched<Result<(), ShardError>>, LaunchError> {
    let shards = config.shards();
    let options = LaunchOptions {
        shards,
        pinning: match config.runtime.pin {
            Pin::Auto => Pinning::Auto,
            Pin::Never => Pinning::Never,
        },
        spin: Duration::from_micros(config.runtime.spin_us),
        name: "shard".to_owned(),
    };
    let boot = Boot::new(config.clone(), shards, move |server| {
        // Who waits for it is gone only if the process ends.
        started.send(server).ok();
    });
    launch(&options, move |shard| boot.clone().run(shard))
}

/// Watches over the shards from their start to their end.
async fn supervise(
    config: Config,
    ready_file: Option<PathBuf>,
    launched: Launched<Result<(), ShardError>>,
    mut starting: mpsc::UnboundedReceiver<Started>,
) -> Exit {
    let mut ended = spawn_blocking(move || launched.join());
    let server = tokio::select! {
        server = starting.recv() => server,
        ended = &mut ended => return verdict(ended),
    };
    let Some(Started { address, shards }) = server else { return verdict(ended.await) };
    let (stop_admin, admin_stopped) = oneshot::channel::<()>();
    let admin = serve_admin(config.server.admin_listen, shards.clone(), admin_stopped).await;
    tracing::info!(%address, shards = shards.count(), "listening");
    if let Some(path) = ready_file
        && let Err(error) = write_ready_file(&path, &format!("{address}\n"))
    {
        shards.stop();
        return fail(Exit::Failure, &format!("cannot write {}: {error}", path.display()));
    }
    notify::ready(&format!("listening on {address}"));
    tokio::select! {
        () = told_to_stop() => {
            tracing::info!("stopping");
            notify::stopping();
            shards.stop();
        }
        ended = &mut ended => return verdict(ended),
    }
    drop(stop_admin);
    let exit = verdict(ended.await);
    admin.abort();
    exit
}

/// The server does its work without an admin interface too, so that an address in use is no reason to end.
async fn serve_admin(listen: SocketAddr, shards: Shards, stop: oneshot::Receiver<()>) -> JoinHandle<()> {
    let bound = async {
        let listener = TcpListener::bind(listen).await?;
        Ok::<_, std::io::Error>((listener.local_addr()?, listener))
    };
    match bound.await {
        Ok((address, listener)) => {
            tracing::info!(%address, "admin interface");
            let serving = control::serve(listener, shards, async {
                stop.await.ok();
            });
            tokio::spawn(async {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "the admin interface ended");
                }
            })
        }
        Err(error) => {
            tracing::warn!(address = %listen, %error, "no admin interface");
            tokio::spawn(async {})
        }
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

/// Waits for SIGTERM or SIGINT.
async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The exit that the shards' end comes to.
fn verdict(ended: Result<Ended, tokio::task::JoinError>) -> Exit {
    let shards = match ended {
        Ok(Ok(shards)) => shards,
        Ok(Err(panic)) => return fail(Exit::Bug, &panic.to_string()),
        Err(error) => return fail(Exit::Bug, &error.to_string()),
    };
    let mut worst = Exit::Success;
    for error in shards.into_iter().filter_map(Result::err) {
        let exit = match &error {
            ShardError::Fatal(_) | ShardError::Open(_) | ShardError::Io(_) => Exit::Storage,
            ShardError::Recover(_)
            | ShardError::Metadata(_)
            | ShardError::SetAside(_)
            | ShardError::Dirs(_) => Exit::Data,
            // The shard at fault says why.
            ShardError::Aborted => continue,
            _ => Exit::Failure,
        };
        worst = fail(exit, &error.to_string());
    }
    worst
}

fn fail(exit: Exit, message: &str) -> Exit {
    eprintln!("millrace: {message}");
    exit
}

fn init_logging(config: &Config) {
    let filter = EnvFilter::new(&config.log.filter);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => lines.with_ansi(super::output::colour_on_stderr()).init(),
        LogFormat::Json => lines.json().init(),
    }
}
