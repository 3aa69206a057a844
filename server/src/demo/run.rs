//! The demo from its first line to its last.

use super::{
    data::{Flights, YEAR_DAYS},
    feed::{FeedError, feed},
    host::{Host, HostError},
    job::BOUND_MIN,
    meter::Meter,
    replay::{Pace, Replay},
    results::Results,
    summary::{Summary, how_to_read},
    topics::{FLIGHTS_PARTITIONS, TopicsError, create_topics},
    voice::Voice,
    watch::{WatchError, watch},
};
use crate::exit::Exit;
use millrace_runtime::{Instant, LaunchError, LaunchOptions, Launched, Pinning, ShardPanic, launch};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinError, spawn_blocking},
    time::{MissedTickBehavior, interval},
};

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(200);

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keep the server up at the end.
    pub is_stay: bool,
    /// How long the first pass over the year takes.
    pub year: Duration,
    /// Only the flights of so many days, from the first of the year.
    pub days: u16,
    /// Shards; nothing for one on each core.
    pub shards: Option<u16>,
    /// The data directory; nothing for one that goes with the demo.
    pub data_dir: Option<PathBuf>,
    /// Write the summary as JSON, and nothing else to standard output.
    pub is_json: bool,
    /// For how long after the schedule the job waits for a flight, in minutes.
    pub bound_min: u32,
}

impl Default for Options {
    fn default() -> Self {
        let year = Duration::from_secs(20);
        Self {
            is_stay: false,
            year,
            days: YEAR_DAYS,
            shards: None,
            data_dir: None,
            is_json: false,
            bound_min: BOUND_MIN,
        }
    }
}

/// Why the demo does not come to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("standard output: {0}")]
    Voice(#[source] io::Error),
    #[error(transparent)]
    Data(#[from] super::data::DataError),
    #[error("a temporary directory: {0}")]
    Directory(#[source] io::Error),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("starting the demo's own threads: {0}")]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Panic(#[from] ShardPanic),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Topics(#[from] TopicsError),
    #[error("the job has failed: {0}")]
    Job(String),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error("signals: {0}")]
    Signals(#[source] io::Error),
    #[error("what came out is not what went in")]
    Sum,
}

/// Runs the demo.
#[must_use]
pub fn run(options: &Options) -> Exit {
    let mut voice = Voice::new(options.is_json);
    let ran = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(DemoError::Signals)
        .and_then(|control| control.block_on(demo(options, &mut voice)));
    voice.leave();
    match ran {
        // Whoever reads us has seen enough, as in `demo | head`.
        Ok(()) | Err(DemoError::Voice(_)) => Exit::Success,
        Err(error) => {
            eprintln!("millrace demo: {error}");
            Exit::Failure
        }
    }
}

async fn demo(options: &Options, voice: &mut Voice) -> Result<(), DemoError> {
    let which = match options.days {
        YEAR_DAYS.. => "All flights that left New York in 2013.".to_owned(),
        1 => "The flights that left New York on the first day of 2013.".to_owned(),
        days => format!("The flights that left New York in the first {days} days of 2013."),
    };
    say(voice, &format!("Millrace demo: which airport and carrier run late? {which}"))?;
    let mut stop = Stop::new()?;
    let mut flights = Flights::load()?;
    flights.keep_days(options.days);
    let (data_dir, _temporary) = data_dir(options)?;
    let mut host = Host::start(data_dir.clone(), options.shards).await?;
    if let Some(taken) = host.taken() {
        say(voice, &format!("Port {taken} is taken."))?;
    }
    say(
        voice,
        &format!(
            "Server on {}, {}, data in {}, {}.",
            host.address(),
            shards(host.shards()),
            data_dir.display(),
            host.admin_address().map_or("no admin interface".to_owned(), |admin| format!("admin on {admin}"))
        ),
    )?;
    let ended = on_host(options, voice, &mut stop, &mut host, flights).await;
    let stopped = host.stop().await;
    ended?;
    Ok(stopped?)
}

fn shards(count: usize) -> String {
    if count == 1 { "1 shard".to_owned() } else { format!("{count} shards") }
}

/// The directory, and what removes it at the end if it is the demo's own.
fn data_dir(options: &Options) -> Result<(PathBuf, Option<TempDir>), DemoError> {
    if let Some(given) = &options.data_dir {
        return Ok((given.clone(), None));
    }
    let made = tempfile::Builder::new().prefix("millrace-demo-").tempdir().map_err(DemoError::Directory)?;
    Ok((made.path().to_owned(), Some(made)))
}

/// What happens while the server runs.
async fn on_host(
    options: &Options,
    voice: &mut Voice,
    stop: &mut Stop,
    host: &mut Host,
    flights: Flights,
) -> Result<(), DemoError> {
    let address = host.address();
    joined(launch(&threads(1), move |_| create_topics(address))?)
        .await?
        .into_iter()
        .collect::<Result<(), _>>()?;
    host.run_job(options.bound_min).await?;
    let passes = vec![Pace::Year(options.year), Pace::FlatOut];
    let bound_min = i32::try_from(options.bound_min).unwrap_or(i32::MAX);
    let results = Arc::new(Results::new(passes.len()));
    let replay = Arc::new(Replay::new(flights, passes, FLIGHTS_PARTITIONS, bound_min));
    if let Err(error) = play(voice, stop, host, &replay, &results).await {
        // Who reads the result only knows that it does not come.
        return Err(host.failure().await.map_or(error, DemoError::Job));
    }
    let summary = Summary::new(&replay, &results, host.counts().await?);
    voice.summary(&summary.text(), &summary.json(address)).map_err(DemoError::Voice)?;
    if !summary.is_whole {
        return Ok(());
    }
    if !summary.adds_up() {
        return Err(DemoError::Sum);
    }
    if options.is_stay {
        say(
            voice,
            &format!("\nThe server stays until Ctrl-C. To read the result:\n\n{}", how_to_read(address)),
        )?;
        tokio::select! {
            () = stop.wait() => return Ok(()),
            error = host.ended() => return Err(error.into()),
        }
    }
    say(
        voice,
        &format!("\nTo read the result, start with `demo --stay`, and type:\n\n{}", how_to_read(address)),
    )
}

/// Sends, reads and draws, until everything has come out or somebody says stop.
async fn play(
    voice: &mut Voice,
    stop: &mut Stop,
    host: &mut Host,
    replay: &Arc<Replay>,
    results: &Arc<Results>,
) -> Result<(), DemoError> {
    let address = host.address();
    let (fed, watched) = (Arc::clone(replay), (Arc::clone(replay), Arc::clone(results)));
    let clients = launch(&threads(2), move |shard| {
        let (fed, watched) = (Arc::clone(&fed), watched.clone());
        async move {
            match shard.id.index() {
                0 => feed(&fed, address).await.map_err(DemoError::from),
                _ => watch(&watched.0, &watched.1, address).await.map_err(DemoError::from),
            }
        }
    })?;
    let mut clients = std::pin::pin!(joined(clients));
    let (mut meter, mut frames) = (Meter::default(), interval(FRAME));
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            ended = &mut clients => {
                ended?.into_iter().collect::<Result<(), _>>()?;
                // What is left to see is the end.
                return voice.show(&meter.frame(Instant::now(), address, replay, results)).map_err(DemoError::Voice);
            }
            error = host.ended() => {
                replay.stop();
                return Err(error.into());
            }
            () = stop.wait(), if !replay.stopped() => replay.stop(),
            _ = frames.tick() => {
                let shown = voice.show(&meter.frame(Instant::now(), address, replay, results));
                if let Err(error) = shown {
                    replay.stop();
                    clients.await?;
                    return Err(DemoError::Voice(error));
                }
            }
        }
    }
}

/// The demo's own threads, beside the server's: not pinned, not spinning, since they share the machine with it.
fn threads(count: u16) -> LaunchOptions {
    let (pinning, spin) = (Pinning::Never, Duration::ZERO);
    LaunchOptions { shards: count, pinning, spin, name: "demo".to_owned() }
}

async fn joined<T: Send + 'static>(launched: Launched<T>) -> Result<Vec<T>, DemoError> {
    Ok(spawn_blocking(move || launched.join()).await??)
}

fn say(voice: &mut Voice, text: &str) -> Result<(), DemoError> {
    voice.say(text).map_err(DemoError::Voice)
}

/// Ctrl-C, or a request to terminate.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, DemoError> {
        let interrupt = signal(SignalKind::interrupt()).map_err(DemoError::Signals)?;
        let terminate = signal(SignalKind::terminate()).map_err(DemoError::Signals)?;
        Ok(Self { interrupt, terminate })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
