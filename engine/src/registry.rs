//! Jobs by name: what a binary can run.

use crate::{
    exchange::ExchangeOptions,
    key::KeyGroups,
    plan::{BuildError, BuildErrors, Plan, ambiguous_names, long_names},
    stream::{Graph, Source},
};
use std::{any::type_name, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

/// A function that builds a job. Run once per shard; what it builds need not be `Send`.
type Build = dyn Fn(&mut JobBuilder) + Send + Sync;

/// The jobs that are linked into a binary. Shared by all shards.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Entry>);

#[derive(Clone)]
struct Entry {
    version: u32,
    build: Arc<Build>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No job of that name.
    #[error("no job `{name}` is linked into this binary; there are: {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The job can't be built.
    #[error(transparent)]
    Build(#[from] BuildErrors),
}

impl Registry {
    /// No jobs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job, version 1.
    ///
    /// # Panics
    /// If there is a job of that name.
    pub fn add(&mut self, name: &str, build: impl Fn(&mut JobBuilder) + Send + Sync + 'static) -> &mut Self {
        self.add_version(name, 1, build)
    }

    /// Adds a job with its version, which is part of the plan.
    ///
    /// # Panics
    /// If there is a job of that name.
    pub fn add_version(
        &mut self,
        name: &str,
        version: u32,
        build: impl Fn(&mut JobBuilder) + Send + Sync + 'static,
    ) -> &mut Self {
        let entry = Entry { version, build: Arc::new(build) };
        assert!(self.0.insert(name.to_owned(), entry).is_none(), "there are two jobs `{name}`");
        self
    }

    /// The names and versions of the jobs.
    pub fn jobs(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry.version))
    }

    /// Builds the plan of a job for one shard.
    ///
    /// # Errors
    /// [`RegistryError`]: there is no such job, or it can't be built; then with everything that is wrong with it.
    pub fn plan(&self, name: &str, parameters: &Parameters) -> Result<Plan, RegistryError> {
        let entry = self.0.get(name).ok_or_else(|| RegistryError::Unknown {
            name: name.to_owned(),
            known: self.0.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        Ok(build(name, entry.version, parameters, &*entry.build)?)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.jobs()).finish()
    }
}

/// Values given to a job when it is started: `--set name=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.insert(name.to_owned(), value.to_string());
        self
    }
}

impl FromIterator<(String, String)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(parameters: I) -> Self {
        Self(parameters.into_iter().collect())
    }
}

/// What a job is built with.
pub struct JobBuilder {
    graph: Graph,
    groups: KeyGroups,
    exchange: ExchangeOptions,
    parameters: Parameters,
    /// The parameters that the job asked for.
    known: Vec<String>,
}

impl JobBuilder {
    /// Begins a stream with the records of a topic.
    pub fn source(&mut self, topic: &str) -> Source {
        Source::new(&self.graph, topic)
    }

    /// A value given when the job is started, or the default. A value that is none of its type is an error of the build.
    pub fn parameter<T: FromStr>(&mut self, name: &str, default: T) -> T {
        self.known.push(name.to_owned());
        let Some(value) = self.parameters.0.get(name) else { return default };
        value.parse().unwrap_or_else(|_| {
            let (name, value) = (name.to_owned(), value.clone());
            self.graph.error(BuildError::Parameter { name, value, expected: type_name::<T>() });
            default
        })
    }

    /// Sets the number of key groups, which bounds how many shards can share the job's keys. Part of the job for good.
    pub fn key_groups(&mut self, groups: KeyGroups) {
        self.groups = groups;
    }

    /// Sets the sizes of what is on its way between tasks.
    pub fn exchange(&mut self, options: ExchangeOptions) {
        self.exchange = options;
    }

    pub(crate) const fn graph(&self) -> &Graph {
        &self.graph
    }
}

impl fmt::Debug for JobBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBuilder").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// Builds the plan of a job that is in no registry.
///
/// # Errors
/// Everything that is wrong with the job.
pub fn build(
    name: &str,
    version: u32,
    parameters: &Parameters,
    build: impl Fn(&mut JobBuilder),
) -> Result<Plan, BuildErrors> {
    let mut job = JobBuilder {
        graph: Graph::default(),
        groups: KeyGroups::default(),
        exchange: ExchangeOptions::default(),
        parameters: parameters.clone(),
        known: Vec::new(),
    };
    build(&mut job);
    let JobBuilder { graph, groups, exchange, parameters, known } = job;
    let (stages, edges, mut errors) = graph.finish();
    if stages.is_empty() && errors.is_empty() {
        errors.push(BuildError::Empty);
    }
    errors.extend(long_names(&stages));
    errors.extend(ambiguous_names(&stages));
    let unknown = parameters.0.into_keys().filter(|name| !known.contains(name));
    errors.extend(unknown.map(|name| BuildError::UnknownParameter {
        name,
        known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
    }));
    if errors.is_empty() {
        return Ok(Plan::new(name.to_owned(), version, groups, exchange, stages, edges));
    }
    Err(BuildErrors { job: name.to_owned(), errors })
}
