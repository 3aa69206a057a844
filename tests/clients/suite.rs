//! All clients with their cases, and what becomes of a case that runs.

use std::sync::{OnceLock, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::{Arguments, Completion, Failed};

use crate::broker::Broker;
use crate::install;
use crate::kcat::{self, Kcat};
use crate::program::{Install, Program};
use crate::restart::Rendezvous;

/// What a case comes to.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// The client is not to be had on this machine, or the broker can't be restarted; with the reason.
    Skipped(String),
}

/// A client, and how its cases are run.
struct Client {
    name: &'static str,
    cases: Vec<String>,
    driver: Driver,
}

enum Driver {
    /// A program of its own, in the client's language.
    Program(Program),
    /// kcat is a command: its cases are in Rust.
    Kcat(Kcat),
}

/// A case, by its place in the suite.
pub(crate) struct Case {
    client: usize,
    client_name: &'static str,
    name: String,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        format!("{}::{}", self.client_name, self.name)
    }
}

/// The case that needs the broker restarted, in every client that has it.
const RESTART: &str = "restart";

/// A case that Apache Kafka itself fails: it answers a first Metadata request for a topic that it is about to create
/// with "unknown topic", which `SimpleProducer` takes for final.
const STRICTER_THAN_KAFKA: &str = "simple_producer_to_new_topic";

/// The cases that every client with an admin of its own has, and those that are a client's.
macro_rules! usual_and {
    ($($other:literal),* $(,)?) => {
        &[
            "roundtrip_none",
            "roundtrip_gzip",
            "roundtrip_snappy",
            "roundtrip_lz4",
            "roundtrip_zstd",
            "bulk",
            "seek_mid_batch",
            "group_of_two",
            "restart",
            "commit_and_resume",
            "offsets_by_timestamp_none",
            "create_topic",
            "create_partitions",
            "delete_topic",
            "describe",
            "record_too_large",
            $($other),*
        ]
    };
}

const KAFKA_PYTHON: &[&str] =
    usual_and!["idempotent_producer", "offsets_by_timestamp_gzip", "compacted_topic_needs_keys"];

const CONFLUENT_KAFKA_PYTHON: &[&str] = usual_and![
    "idempotent_producer",
    "cooperative_group",
    "offsets_by_timestamp_gzip",
    "compacted_topic_needs_keys",
    "unknown_topic"
];

const AIOKAFKA: &[&str] = usual_and!["idempotent_producer", "offsets_by_timestamp_gzip"];

const JAVA: &[&str] = usual_and![
    "without_idempotence",
    "group_of_two_cooperative",
    "static_members",
    "offsets_by_timestamp_lz4",
    "compacted_topic_needs_keys",
    "alter_settings",
    "administer_group",
    "delete_records"
];

const FRANZ_GO: &[&str] =
    usual_and!["without_idempotence", "group_of_two_range", "group_churn", "offsets_by_timestamp_zstd"];

const SIMPLE_PRODUCER: &[&str] = &[
    "simple_producer_none",
    "simple_producer_gzip",
    "simple_producer_snappy",
    "simple_producer_to_new_topic",
    "simple_producer_without_acks",
    "keyed_producer_none",
    "keyed_producer_gzip",
    "producer_of_0_9_none",
    "producer_of_0_9_gzip",
    "producer_of_0_9_snappy",
    "producer_of_0_10_none",
    "producer_of_0_10_gzip",
    "producer_of_0_10_snappy",
    "producer_of_0_10_lz4",
    "group_without_api_versions",
];

/// Every client of the suite, and the probe, which is none but asks what no client would.
fn clients() -> Vec<Client> {
    fn client(name: &'static str, cases: &[&str], driver: Driver) -> Client {
        Client { name, cases: cases.iter().map(|&case| case.to_owned()).collect(), driver }
    }
    fn program(name: &'static str, cases: &[&str], install: Install) -> Client {
        client(name, cases, Driver::Program(Program::new(name, install)))
    }
    let exchanges = golden_exchanges();
    let exchanges: Vec<&str> = exchanges.iter().map(String::as_str).collect();
    vec![
        program("java", JAVA, install::java),
        program("kafka_python", KAFKA_PYTHON, install::kafka_python),
        program("confluent_kafka_python", CONFLUENT_KAFKA_PYTHON, install::confluent_kafka_python),
        program("franz_go", FRANZ_GO, install::franz_go),
        program("aiokafka", AIOKAFKA, install::aiokafka),
        client("kcat", kcat::CASES, Driver::Kcat(Kcat::default())),
        program("simple_producer", SIMPLE_PRODUCER, install::simple_producer),
        program("probe", &exchanges, install::probe),
    ]
}

/// The names of the exchanges for which Kafka's answers are kept.
fn golden_exchanges() -> Vec<String> {
    let golden: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(include_str!("probe/golden.json"))
            .expect("the golden file is JSON, by exchange");
    golden.into_iter().map(|(name, _)| name).collect()
}

/// The suite: its clients, the broker under test, and the state they share.
pub(crate) struct Suite {
    clients: Vec<Client>,
    /// The clients whose restart case was selected.
    restarting: Vec<usize>,
    broker: OnceLock<Result<Broker, String>>,
    /// Cases hold it shared; the restart of the broker holds it alone.
    undisturbed: RwLock<()>,
    /// What became of every restart case: they run together, around one restart.
    restarts: OnceLock<Vec<(usize, Outcome)>>,
    /// A part of every name on the broker, so that one broker can be tested many times.
    run: String,
}

impl Suite {
    pub(crate) fn new(selection: &Selection) -> Self {
        let clients = clients();
        let restarting = (0..clients.len())
            .filter(|&client| clients[client].cases.iter().any(|case| case == RESTART))
            .filter(|&client| selection.has(&format!("{}::{RESTART}", clients[client].name)))
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            clients,
            restarting,
            broker: OnceLock::new(),
            undisturbed: RwLock::new(()),
            restarts: OnceLock::new(),
            run: format!("{}-{now}", std::process::id()),
        }
    }

    /// All cases, the clients by turns: cases of one client run one after another, those of different clients together.
    /// The restarts come last, since nothing else runs beside them.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let longest = self.clients.iter().map(|client| client.cases.len()).max().unwrap_or(0);
        let mut cases: Vec<Case> = (0..longest)
            .flat_map(|turn| self.clients.iter().enumerate().map(move |(at, client)| (at, client, turn)))
            .filter_map(|(at, client, turn)| {
                let name = client.cases.get(turn)?.clone();
                Some(Case { client: at, client_name: client.name, name })
            })
            .filter(|case| case.name != STRICTER_THAN_KAFKA || !Broker::is_external())
            .collect();
        cases.sort_by_key(|case| case.name == RESTART);
        cases
    }

    /// Runs a case to its end.
    pub(crate) fn run(&self, case: &Case) -> Result<Completion, Failed> {
        let outcome = if case.name == RESTART {
            self.restarted(case.client)
        } else {
            let _undisturbed = self.undisturbed.read().map_err(|_| "a case panicked")?;
            self.run_on(case.client, &case.name, &|| {
                Err("only the case `restart` may restart the broker".into())
            })
        };
        match outcome {
            Outcome::Passed => Ok(Completion::Completed),
            Outcome::Failed(reason) => Err(reason.into()),
            Outcome::Skipped(reason) if std::env::var_os(REQUIRE_ALL).is_some_and(|value| value == "1") => {
                Err(format!("{reason}\n{REQUIRE_ALL}=1 makes this a failure").into())
            }
            Outcome::Skipped(reason) => Ok(Completion::ignored_with(reason.trim_end())),
        }
    }

    fn run_on(&self, client: usize, case: &str, restart: &dyn Fn() -> Result<(), String>) -> Outcome {
        let broker = match self.broker.get_or_init(Broker::start) {
            Ok(broker) => broker,
            Err(reason) => return Outcome::Failed(format!("no broker: {reason}")),
        };
        match &self.clients[client].driver {
            Driver::Program(program) => program.run(case, broker.address(), &self.run, restart),
            Driver::Kcat(kcat) => kcat.run(case, broker.address(), &self.run, restart),
        }
    }

    /// The outcome of a client's restart case; the first that asks runs those of all clients, around one restart.
    fn restarted(&self, client: usize) -> Outcome {
        let outcomes = self.restarts.get_or_init(|| {
            let _alone = self.undisturbed.write();
            let broker = self.broker.get_or_init(Broker::start);
            if let Some(reason) = broker.as_ref().ok().and_then(Broker::why_not_restartable) {
                return self.restarting.iter().map(|&at| (at, Outcome::Skipped(reason.to_owned()))).collect();
            }
            let restart = || broker.as_ref().map_err(Clone::clone).and_then(Broker::restart);
            let together = &Rendezvous::new(self.restarting.len(), &restart);
            std::thread::scope(|scope| {
                let running: Vec<_> = self
                    .restarting
                    .iter()
                    .map(|&at| {
                        (
                            at,
                            scope
                                .spawn(move || together.take_part(|arrive| self.run_on(at, RESTART, arrive))),
                        )
                    })
                    .collect();
                running
                    .into_iter()
                    .map(|(at, thread)| (at, thread.join().unwrap_or_else(|_| panicked())))
                    .collect()
            })
        });
        outcomes.iter().find(|(at, _)| *at == client).map_or_else(panicked, |(_, outcome)| outcome.clone())
    }
}

fn panicked() -> Outcome {
    Outcome::Failed("the restart case did not run to its end".to_owned())
}

/// Set to 1, a client that can't be had is a failure.
const REQUIRE_ALL: &str = "MILLRACE_TESTS_REQUIRE_ALL";

/// Which tests the command line selects, as libtest does: restart cases run together, before libtest asks for each.
pub(crate) struct Selection {
    filter: Option<String>,
    skip: Vec<String>,
    exact: bool,
}

impl Selection {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        Self { filter: arguments.filter.clone(), skip: arguments.skip.clone(), exact: arguments.exact }
    }

    fn has(&self, test: &str) -> bool {
        let matches = |pattern: &String| if self.exact { test == pattern } else { test.contains(pattern) };
        self.filter.as_ref().is_none_or(matches) && !self.skip.iter().any(matches)
    }
}
