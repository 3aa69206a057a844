//! The server that the demo runs in its own process.

use super::{
    job::{BOUND, DEPARTED, FLIGHTS_TOPIC, JOB, delays},
    summary::JobCounts,
};
use crate::{
    config::{Auto, Config, Pin},
    embed::{RequestError, Server, ServerError},
    job::{JobStatus, OperatorStatus},
};
use millrace_engine::registry::Registry;
use std::{io, net::SocketAddr, path::PathBuf, time::Duration};
use tokio::net::TcpListener;

/// Why there is no server, or not any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostError {
    /// No port is free.
    #[error("finding a port: {0}")]
    Port(#[source] io::Error),
    /// It does not start, or has ended.
    #[error("the server: {0}")]
    Server(#[from] ServerError),
    /// It ended without being told to.
    #[error("the server has stopped")]
    Ended,
    /// The job is not run, or not told of.
    #[error("the job: {0}")]
    Request(#[from] RequestError),
    /// There is no such job.
    #[error("the server knows no job {JOB}")]
    NoJob,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Host {
    server: Server,
    taken: Option<u16>,
}

impl Host {
    /// Starts a server on Kafka's port, or another if that is taken.
    pub(super) async fn start(data_dir: PathBuf, shards: Option<u16>) -> Result<Self, HostError> {
        let mut config = Config::default();
        config.server.data_dirs = vec![data_dir];
        config.server.shards = shards.map_or(Auto::Auto, Auto::Given);
        let wanted = config.server.listen;
        config.server.listen = free(wanted).await?;
        config.server.admin_listen = free(config.server.admin_listen).await?;
        // The demo's producers and its reader share the cores with the server.
        config.runtime.pin = Pin::Never;
        config.runtime.spin_us = 0;
        let taken = (config.server.listen != wanted).then_some(wanted.port());
        let mut jobs = Registry::new();
        jobs.add(JOB, delays);
        Ok(Self { server: Server::start(config, jobs).await?, taken })
    }

    /// The port that was wanted, if somebody else has it.
    pub(super) const fn taken(&self) -> Option<u16> {
        self.taken
    }

    /// The address that Kafka clients connect to.
    pub(super) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address of the admin interface, if there is one.
    pub(super) const fn admin_address(&self) -> Option<SocketAddr> {
        self.server.admin_address()
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.server.shards().count()
    }

    /// Runs the job. Its topics are there.
    pub(super) async fn run_job(&self, bound_min: u32) -> Result<(), HostError> {
        self.server.run_job(JOB, [(BOUND.to_owned(), bound_min.to_string())]).await?;
        Ok(())
    }

    async fn status(&self) -> Result<JobStatus, HostError> {
        let jobs = self.server.jobs(Duration::ZERO).await?;
        jobs.into_iter().find(|job| job.name == JOB).ok_or(HostError::NoJob)
    }

    /// What the job has counted.
    pub(super) async fn counts(&self) -> Result<JobCounts, HostError> {
        let status = self.status().await?;
        let operators = || status.tasks.iter().flat_map(|task| &task.operators);
        let sum = |name: &str, count: fn(&OperatorStatus) -> u64| -> u64 {
            operators().filter(|operator| operator.name == name).map(count).sum()
        };
        let of_each = |count: fn(&OperatorStatus) -> u64| sum(FLIGHTS_TOPIC, count) + sum(DEPARTED, count);
        Ok(JobCounts {
            read: sum(FLIGHTS_TOPIC, |operator| operator.records_in),
            // What parsing drops, and what does not leave.
            skipped: of_each(|operator| operator.records_in) - of_each(|operator| operator.records_out),
            late: operators().map(|operator| operator.late_records).sum(),
        })
    }

    /// Why the job has failed, if it has.
    pub(super) async fn failure(&self) -> Option<String> {
        self.status().await.ok()?.failure
    }

    /// Waits until the server has ended by itself.
    pub(super) async fn ended(&mut self) -> HostError {
        self.server.ended().await.map_or_else(HostError::from, |()| HostError::Ended)
    }

    /// Stops it.
    pub(super) async fn stop(self) -> Result<(), HostError> {
        Ok(self.server.stop().await?)
    }
}

/// An address to listen on: this one, or if it is taken the same with port 0, for which the server finds a free one.
async fn free(wanted: SocketAddr) -> Result<SocketAddr, HostError> {
    match TcpListener::bind(wanted).await {
        Ok(_) => Ok(wanted),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(SocketAddr::new(wanted.ip(), 0)),
        Err(error) => Err(HostError::Port(error)),
    }
}
