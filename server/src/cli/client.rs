//! What the commands share that talk to a cluster: where it is, how they get there, and what they say if they don't. They
//! speak plain Kafka, so that any broker will do.

use super::output::OutputError;
use crate::{config::HostPort, exit::Exit};
use millrace_net::client::{Admin, CallError, Cluster, ClusterError, ClusterOptions, ConnectionOptions};
use millrace_runtime::{LaunchOptions, Launched, Pinning, launch};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    rc::Rc,
    time::Duration,
};

/// Which cluster.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Target {
    /// A broker to begin with; separate several by commas.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092", value_delimiter = ',')]
    bootstrap: Vec<HostPort>,
    /// How long to try, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u16,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Why a command did nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// No broker answers.
    #[error("no broker at {bootstrap}: {cause}")]
    Unreachable { bootstrap: String, cause: String },
    /// The cluster said no, in words for a person.
    #[error("{0}")]
    Refused(String),
    /// Something else went wrong on the way.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// What was asked for could not be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl CommandError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Cluster(ClusterError::Call(_)) => Exit::Unavailable,
            Self::Refused(_) | Self::Cluster(_) | Self::Output(_) => Exit::Failure,
        }
    }
}

impl Target {
    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }

    /// Runs `command` on a cluster that answers. The client lives on a shard of its own, unpinned, that ends with it.
    pub(super) fn run<F>(&self, command: impl FnOnce(Admin) -> F + Clone + Send + 'static) -> Exit
    where
        F: Future<Output = Result<(), CommandError>> + 'static,
    {
        let options = LaunchOptions {
            pinning: Pinning::Never,
            spin: Duration::ZERO,
            name: "client".to_owned(),
            ..LaunchOptions::default()
        };
        let target = self.clone();
        let launched = launch(&options, move |_| {
            let (target, command) = (target.clone(), command.clone());
            async move { command(Admin::new(target.connect().await?, target.timeout())).await }
        });
        let ended = match launched.map(Launched::join) {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => return tell(&panic, Exit::Bug),
            Err(error) => return tell(&error, (&error).into()),
        };
        match ended.into_iter().find_map(Result::err) {
            None => Exit::Success,
            Some(error) => tell(&error, error.exit()),
        }
    }

    /// One attempt for each address, and no more: a person waits.
    async fn connect(&self) -> Result<Cluster, CommandError> {
        let unreachable = |cause: String| {
            let bootstrap: Vec<String> = self.bootstrap.iter().map(ToString::to_string).collect();
            CommandError::Unreachable { bootstrap: bootstrap.join(","), cause }
        };
        let mut addresses = Vec::new();
        for HostPort { host, port } in &self.bootstrap {
            let found = (host.as_str(), *port).to_socket_addrs();
            addresses.extend(found.map_err(|error| unreachable(format!("{host}: {error}")))?);
        }
        if addresses.is_empty() {
            return Err(unreachable("the name has no address".to_owned()));
        }
        let cluster = Cluster::new(
            addresses,
            ClusterOptions {
                connection: ConnectionOptions {
                    connect_timeout: self.timeout(),
                    request_timeout: self.timeout(),
                    ..ConnectionOptions::default()
                },
                allow_auto_topic_creation: false,
                resolve: Rc::new(resolve),
                ..ClusterOptions::default()
            },
        );
        match cluster.any().await {
            Ok(_) => Ok(cluster),
            Err(CallError::Connect { cause, .. }) => Err(unreachable(cause)),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }
}

/// The address of a broker that goes by a name. Listeners on IPv4 alone are the commonest.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    preferred.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn tell(error: &impl std::error::Error, exit: Exit) -> Exit {
    eprintln!("millrace: {error}");
    exit
}
