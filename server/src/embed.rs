//! The whole server inside a program of yours: its shards on threads of their own, the rest on your tokio runtime.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use millrace::{config::Config, embed::Server, prelude::*};
//!
//! let mut jobs = Registry::new();
//! jobs.add("shout", |job| {
//!     job.source("quiet")
//!         .parse(|record| Some(String::from_utf8_lossy(record.value?).to_uppercase()))
//!         .to_topic("loud", |text, record| record.value().extend_from_slice(text.as_bytes()));
//! });
//! let server = Server::start(Config::default(), jobs).await?;
//! server.run_job("shout", []).await?;
//! println!("Kafka clients connect to {}", server.address());
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```

use crate::{
    config::{Config, Pin, Warning},
    control::{self, Shards, Unreachable},
    exit::Exit,
    job::{JobError, JobStatus, RunJob, status},
    shard::{Boot, ShardError, Started},
};
use millrace_engine::{epoch::JobId, registry::Registry};
use millrace_runtime::{LaunchError, LaunchOptions, Pinning, ShardId, ShardPanic, fs, launch};
use millrace_storage::OutOfFiles;
use std::{
    error::Error,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

/// A server that runs in this process. Dropped, it stops as if it were told to, and nobody waits for that.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    shards: Shards,
    ended: oneshot::Receiver<Result<(), ServerError>>,
    stop_admin: Option<oneshot::Sender<()>>,
    watchdog: AbortHandle,
}

/// Why a server did not start, or has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its threads can't be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A shard did not start, or could not go on.
    #[error(transparent)]
    Shard(ShardError),
    /// A shard panicked: a bug.
    #[error(transparent)]
    Panic(#[from] ShardPanic),
    /// It ended before it was ready, and nobody says why.
    #[error("the server has stopped")]
    Stopped,
}

impl ServerError {
    /// The exit code that a process ends with for it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Launch(error) => error.into(),
            Self::Panic(_) => Exit::Bug,
            Self::Stopped => Exit::Failure,
            Self::Shard(error) if is_out_of_files(error) => Exit::Machine,
            Self::Shard(error) => match error {
                ShardError::Fatal(_) | ShardError::Open(_) | ShardError::Io(_) => Exit::Storage,
                ShardError::Recover(_)
                | ShardError::Metadata(_)
                | ShardError::SetAside(_)
                | ShardError::Jobs(_)
                | ShardError::Dirs(_) => Exit::Data,
                _ => Exit::Failure,
            },
        }
    }
}

/// Whether it all comes from too low a limit on open files: no data is damaged then, and no disk is at fault.
fn is_out_of_files(error: &ShardError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<OutOfFiles>() || error.downcast_ref().is_some_and(fs::is_out_of_files) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Why something about jobs failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server refuses.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The server is stopping.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
}

impl Server {
    /// Starts a server with these jobs linked in, and returns when clients can connect. What it does beside its shards (the
    /// admin interface, the watchdog) runs on the tokio runtime that this is called on.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn start(config: Config, jobs: Registry) -> Result<Self, ServerError> {
        for Warning { setting, found, cure } in config.warnings() {
            tracing::warn!(setting, found, cure, "the configuration holds a risk");
        }
        let (tell, mut starting) = mpsc::unbounded_channel();
        let mut ended = launch_shards(&config, jobs, tell)?;
        let started = tokio::select! {
            biased;
            ended = &mut ended => return Err(told(ended).err().unwrap_or(ServerError::Stopped)),
            started = starting.recv() => started,
        };
        let Some(Started { address, shards }) = started else {
            return Err(told(ended.await).err().unwrap_or(ServerError::Stopped));
        };
        let (stop_admin, admin_stopped) = oneshot::channel();
        let admin_address = serve_admin(config.server.admin_listen, shards.clone(), admin_stopped).await;
        let watchdog = tokio::spawn(control::watch(shards.clone())).abort_handle();
        tracing::info!(%address, shards = shards.count(), "listening");
        Ok(Self { address, admin_address, shards, ended, stop_admin: Some(stop_admin), watchdog })
    }

    /// The address that Kafka clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin interface; `None` if its port was taken.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The way to its shards.
    #[must_use]
    pub const fn shards(&self) -> &Shards {
        &self.shards
    }

    /// Runs a job that is linked in, with these parameters; it goes on after the next start of the server.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn run_job(
        &self,
        name: &str,
        parameters: impl IntoIterator<Item = (String, String)>,
    ) -> Result<JobId, RequestError> {
        let job = RunJob {
            name: name.to_owned(),
            parameters: parameters.into_iter().collect(),
            ..RunJob::default()
        };
        Ok(self.shards.call(0, |shard| async move { shard.run_job(job).await }).await??)
    }

    /// All jobs, with rates over `span`: this waits so long.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn jobs(&self, span: Duration) -> Result<Vec<JobStatus>, RequestError> {
        Ok(status::statuses(&self.shards, span).await?)
    }

    /// Stops a job, by its name or number; what it has committed stays.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn stop_job(&self, name: &str) -> Result<JobId, RequestError> {
        let name = name.to_owned();
        Ok(self.shards.call(0, |shard| async move { shard.stop_job(name).await }).await??)
    }

    /// Waits until the server has ended by itself, which it does only when it can't go on. If that is one shard's failure,
    /// others may still run: the process should end.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn ended(&mut self) -> Result<(), ServerError> {
        told((&mut self.ended).await)
    }

    /// Answers what was asked, stops, and returns when everything is in order on disk.
    ///
    /// # Errors
    /// [`ServerError`].
    pub async fn stop(mut self) -> Result<(), ServerError> {
        self.shards.stop();
        told((&mut self.ended).await)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shards.stop();
        self.watchdog.abort();
        drop(self.stop_admin.take());
    }
}

/// Starts the shards. What is returned tells how they ended: all of them, or the first that could not go on.
fn launch_shards(
    config: &Config,
    jobs: Registry,
    tell: mpsc::UnboundedSender<Started>,
) -> Result<oneshot::Receiver<Result<(), ServerError>>, LaunchError> {
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
    let boot = Boot::new(config.clone(), shards, move |started| {
        // Who waits for it is gone only if the process ends.
        tell.send(started).ok();
    });
    let boot = boot.with_jobs(jobs);
    let (end, ended) = oneshot::channel();
    let end = Arc::new(Mutex::new(Some(end)));
    let first = Arc::clone(&end);
    let launched = launch(&options, move |shard| {
        let (boot, end) = (boot.clone(), Arc::clone(&first));
        async move {
            match boot.run(shard).await {
                // The shard at fault says why.
                Ok(()) | Err(ShardError::Aborted) => {}
                // Others may have nothing to do, and would never notice.
                Err(error) => tell_end(&end, Err(ServerError::Shard(error))),
            }
        }
    })?;
    let joining = thread::Builder::new().name("shards".to_owned()).spawn(move || {
        let joined = launched.join();
        tell_end(&end, joined.map(drop).map_err(ServerError::Panic));
    });
    joining.map_err(|cause| LaunchError::Thread { shard: ShardId(0), cause })?;
    Ok(ended)
}

/// Who comes first is heard; nobody hears it if the server was dropped.
fn tell_end(end: &Mutex<Option<oneshot::Sender<Result<(), ServerError>>>>, ended: Result<(), ServerError>) {
    let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(end.map(|end| end.send(ended)));
}

/// The server does its work without an admin interface too, so that an address in use is no reason to end.
async fn serve_admin(listen: SocketAddr, shards: Shards, stop: oneshot::Receiver<()>) -> Option<SocketAddr> {
    let bound = async {
        let listener = TcpListener::bind(listen).await?;
        Ok::<_, io::Error>((listener.local_addr()?, listener))
    };
    match bound.await {
        Ok((address, listener)) => {
            tracing::info!(%address, "admin interface");
            let serving = control::serve(listener, shards, async {
                // Told, or the server is gone: either way it is over.
                stop.await.ok();
            });
            drop(tokio::spawn(async {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "the admin interface ended");
                }
            }));
            Some(address)
        }
        Err(error) => {
            tracing::warn!(address = %listen, %error, "no admin interface");
            None
        }
    }
}

/// How the shards ended, if they told.
fn told(ended: Result<Result<(), ServerError>, oneshot::error::RecvError>) -> Result<(), ServerError> {
    ended.unwrap_or(Err(ServerError::Stopped))
}
