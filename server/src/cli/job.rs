//! `millrace job`: speaks JSON with the admin interface of a running server.

use super::output::{OutputError, Table, put, red, yellow};
use crate::{
    config::HostPort,
    demo::utc,
    exit::Exit,
    job::{JobStatus, OperatorStatus, Phase, TaskStatus},
};
use clap::builder::NonEmptyStringValueParser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Over how long `describe` takes rates.
const INTERVAL_MS: u64 = 1_000;
/// How long a server may take to answer, beside what is asked of it.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Run a job that is linked into the server.
    Run(Run),
    /// List the server's jobs.
    List(List),
    /// Show a job: its operators with rates, lag, watermark and backpressure.
    Describe(Describe),
    /// Stop a job. What it has committed stays.
    Stop(Change),
    /// Start a job again that was stopped or has failed, from what it had committed.
    Start(Change),
}

#[derive(clap::Args)]
struct Target {
    /// The admin interface of the server.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9644")]
    admin: HostPort,
    /// Write what the server answers, for a program to read.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Run {
    /// The job's name in the server's binary.
    name: String,
    /// Set a parameter of the job.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Run it on these shards only.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    shards: Vec<u16>,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct Describe {
    /// The job's number, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    job: String,
    #[command(flatten)]
    target: Target,
}

#[derive(clap::Args)]
pub(super) struct Change {
    /// The job's number, or its name.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    job: String,
    #[command(flatten)]
    target: Target,
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// Nobody answers.
    #[error("no server at {admin}: {cause}")]
    Unreachable { admin: HostPort, cause: String },
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// It is something else that answers.
    #[error("{admin} is no admin interface of a server like this: {cause}")]
    Strange { admin: HostPort, cause: String },
    /// What was asked for could not be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

#[derive(Deserialize)]
struct Changed {
    id: u64,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("say KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What RFC 3986 does not call unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as a segment of a path.
fn segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, RESERVED)
}

pub(super) fn run(command: &Command) -> Exit {
    let done = match command {
        Command::Run(command) => command.run(),
        Command::List(List { target }) => list(target),
        Command::Describe(command) => command.run(),
        Command::Stop(change) => change.run("stop", "stopped"),
        Command::Start(change) => change.run("start", "started"),
    };
    match done {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("millrace: {error}");
            if matches!(error, CommandError::Unreachable { .. }) { Exit::Unavailable } else { Exit::Failure }
        }
    }
}

impl Target {
    fn agent() -> ureq::Agent {
        // A refusal has a body that says why.
        let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        config.build().into()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    fn get(&self, path: &str) -> Result<Value, CommandError> {
        self.answer(Self::agent().get(self.url(path)).call())
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        self.answer(Self::agent().post(self.url(path)).send_json(body))
    }

    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, CommandError> {
        let unreachable = |error| {
            let cause = match error {
                ureq::Error::Io(error) => error.to_string(),
                error => error.to_string(),
            };
            CommandError::Unreachable { admin: self.admin.clone(), cause }
        };
        let mut answer = answer.map_err(unreachable)?;
        let is_success = answer.status().is_success();
        let text = answer.body_mut().read_to_string().map_err(unreachable)?;
        let strange = || self.strange(format!("it says {} {text:?}", answer.status()));
        let body: Value = serde_json::from_str(&text).map_err(|_| strange())?;
        if is_success {
            return Ok(body);
        }
        Err(body["error"].as_str().map_or_else(strange, |error| CommandError::Refused(error.to_owned())))
    }

    fn strange(&self, cause: String) -> CommandError {
        CommandError::Strange { admin: self.admin.clone(), cause }
    }

    fn read<T: DeserializeOwned>(&self, body: &Value) -> Result<T, CommandError> {
        T::deserialize(body).map_err(|error| self.strange(error.to_string()))
    }
}

impl Run {
    fn run(&self) -> Result<(), CommandError> {
        let parameters: BTreeMap<_, _> = self.parameters.iter().cloned().collect();
        let body = json!({"name": self.name, "parameters": parameters, "shards": self.shards});
        let answer = self.target.post("/jobs", &body)?;
        if self.target.json {
            put(&answer)?;
        } else {
            let Changed { id } = self.target.read(&answer)?;
            put(format_args!("job {} runs as number {id}", self.name))?;
        }
        Ok(())
    }
}

impl Change {
    fn run(&self, what: &str, done: &str) -> Result<(), CommandError> {
        let answer = self.target.post(&format!("/jobs/{}/{what}", segment(&self.job)), &json!({}))?;
        if self.target.json {
            put(&answer)?;
        } else {
            let Changed { id } = self.target.read(&answer)?;
            put(format_args!("job {id} was {done}"))?;
        }
        Ok(())
    }
}

fn list(target: &Target) -> Result<(), CommandError> {
    let answer = target.get("/jobs")?;
    if target.json {
        put(&answer)?;
        return Ok(());
    }
    let jobs: Vec<JobStatus> = target.read(&answer)?;
    let mut table = Table::new(["ID", "NAME", "STATE", "ATTEMPT", "LAG", "RECORDS IN"]);
    for job in jobs {
        let lag = job.tasks.iter().filter_map(|task| task.lag).reduce(|a, b| a + b);
        let sources = job.tasks.iter().filter(|task| task.lag.is_some());
        let read: u64 =
            sources.filter_map(|task| task.operators.first()).map(|source| source.records_in).sum();
        table.row([
            job.id.to_string(),
            job.name,
            state(job.state),
            or_dash(job.attempt),
            or_dash(lag),
            read.to_string(),
        ]);
    }
    put(table)?;
    Ok(())
}

impl Describe {
    fn run(&self) -> Result<(), CommandError> {
        let answer = self.target.get(&format!("/jobs/{}?interval_ms={INTERVAL_MS}", segment(&self.job)))?;
        if self.target.json {
            put(&answer)?;
            return Ok(());
        }
        let job: JobStatus = self.target.read(&answer)?;
        put(format_args!("{} (number {}, version {}): {}", job.name, job.id, job.version, state(job.state)))?;
        if let Some(attempt) = job.attempt {
            put(format_args!("attempt {attempt}"))?;
        }
        if job.restarts > 0 {
            put(format_args!("restarts in a row: {} of at most {}", job.restarts, job.restarts_max))?;
        }
        if let Some(failure) = &job.failure {
            let at = job.failed_at_ms.map(|at_ms| format!(" ({})", utc::format(at_ms))).unwrap_or_default();
            put(format_args!("last failure{at}: {failure}"))?;
        }
        if let Some(at_ms) = job.next_start_ms {
            put(format_args!("starts again at {}", utc::format(at_ms)))?;
        }
        for (name, value) in &job.parameters {
            put(format_args!("{name} = {value}"))?;
        }
        if !job.tasks.is_empty() {
            put(operators(&job.tasks))?;
        }
        Ok(())
    }
}

fn operators(tasks: &[TaskStatus]) -> Table<9> {
    let mut table =
        Table::new(["OPERATOR", "IN/S", "OUT/S", "IN", "OUT", "LATE", "LAG", "WATERMARK", "BUSY/BLOCKED"]);
    for task in tasks {
        for (index, operator) in task.operators.iter().enumerate() {
            let OperatorStatus { name, records_in, records_out, late_records, .. } = operator;
            // What a chain of operators has together stands in its first line.
            let (lag, watermark, busy) = if index == 0 {
                let shares = format!("{:.0} %/{:.0} %", task.busy * 100.0, task.backpressure * 100.0);
                (or_dash(task.lag), task.watermark_ms.map_or_else(dash, utc::format), shares)
            } else {
                (String::new(), String::new(), String::new())
            };
            let name = if index == 0 { name.clone() } else { format!("  {name}") };
            table.row([
                name,
                format!("{:.0}", operator.records_in_per_s),
                format!("{:.0}", operator.records_out_per_s),
                records_in.to_string(),
                records_out.to_string(),
                late_records.to_string(),
                lag,
                watermark,
                busy,
            ]);
        }
    }
    table
}

fn state(phase: Phase) -> String {
    match phase {
        Phase::Running => "running".to_owned(),
        Phase::Starting => yellow("starting"),
        Phase::Stopped => "stopped".to_owned(),
        Phase::Failed => red("failed"),
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(number: Option<u64>) -> String {
    number.map_or_else(dash, |number| number.to_string())
}
