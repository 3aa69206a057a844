//! Several connections: who leads what, and another try where one may help.

use super::connection::{CallError, Connection, ConnectionOptions};
use crate::{
    kafka::{
        ApiKey, Call, ErrorCode,
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic},
    },
    signal::Waiters,
};
use millrace_runtime::{Instant, sleep, spawn};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};
use uuid::Uuid;

/// Finds the address of a broker's host and port. There is no resolver on a shard: a program that meets names brings
/// its own.
pub type Resolve = dyn Fn(&str, u16) -> io::Result<SocketAddr>;

/// How a client treats a cluster.
#[derive(Clone)]
pub struct ClusterOptions {
    /// How it connects.
    pub connection: ConnectionOptions,
    /// The wait before a second attempt; it doubles with each further one.
    pub retry_backoff_min: Duration,
    /// The longest wait between attempts.
    pub retry_backoff_max: Duration,
    /// Whether topics that do not exist may come into being by being asked for.
    pub allow_auto_topic_creation: bool,
    /// Finds brokers' addresses. By default only addresses and `localhost` are understood.
    pub resolve: Rc<Resolve>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            connection: ConnectionOptions::default(),
            retry_backoff_min: Duration::from_millis(20),
            retry_backoff_max: Duration::from_secs(1),
            allow_auto_topic_creation: true,
            resolve: Rc::new(resolve_address),
        }
    }
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions").field("connection", &self.connection).finish_non_exhaustive()
    }
}

fn resolve_address(host: &str, port: u16) -> io::Result<SocketAddr> {
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => host.parse().map_err(|_| {
            let message = format!("{host} is not an IP address, and no resolver was given");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// Why something asked of the cluster did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No broker gave a response.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A broker answered with an error.
    #[error("{api} of {what}: {code}{}", Text(.message))]
    Refused {
        /// What was called.
        api: ApiKey,
        /// Of what: a topic, a partition, a group.
        what: String,
        /// The error.
        code: ErrorCode,
        /// The broker's own words, if it had any.
        message: Option<String>,
    },
    /// A broker's host could not be resolved.
    #[error("broker {node_id} is at {host}: {cause}")]
    Unresolved {
        /// The broker.
        node_id: i32,
        /// Its host.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// A response leaves out what was asked for.
    #[error("{api} of {what}: the response does not mention it")]
    Missing {
        /// What was called.
        api: ApiKey,
        /// Of what.
        what: String,
    },
}

struct Text<'a>(&'a Option<String>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl ClusterError {
    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Call(error) => error.is_retriable(),
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Unresolved { .. } | Self::Missing { .. } => false,
        }
    }

    /// The broker's error code, if it answered with one.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Success, or [`ClusterError::Refused`].
pub(super) fn accepted(
    api: ApiKey,
    what: impl fmt::Display,
    code: ErrorCode,
    message: Option<&String>,
) -> Result<(), ClusterError> {
    code.ok().map_err(|code| ClusterError::Refused {
        api,
        what: what.to_string(),
        code,
        message: message.cloned(),
    })
}

/// A topic, as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id; nil if the broker is too old to tell.
    pub id: Uuid,
    /// Its partitions' leaders, by number.
    pub leaders: Vec<Leader>,
}

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The leader's broker id, -1 if there is none.
    pub node_id: i32,
    /// Its epoch, -1 if the broker is too old to tell.
    pub epoch: i32,
}

/// A cluster, reached through any of its brokers. Clones are the same.
#[derive(Clone, Debug)]
pub struct Cluster(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    bootstrap: Vec<SocketAddr>,
    options: ClusterOptions,
    connections: RefCell<BTreeMap<SocketAddr, Slot>>,
    connections_changed: Waiters,
    next_attempt: Cell<u64>,
    brokers: RefCell<BTreeMap<i32, Broker>>,
    topics: RefCell<BTreeMap<String, Rc<Topic>>>,
    /// Which bootstrap address is asked next.
    next_bootstrap: Cell<usize>,
}

#[derive(Debug)]
enum Slot {
    Connecting { attempt: u64 },
    Connected(Connection),
    Failed { attempt: u64, error: CallError },
}

#[derive(Clone, Debug)]
struct Broker {
    host: String,
    port: u16,
}

impl Cluster {
    /// A cluster with brokers at `bootstrap`. Nothing is connected yet.
    ///
    /// # Panics
    /// If `bootstrap` is empty.
    #[must_use]
    pub fn new(bootstrap: Vec<SocketAddr>, options: ClusterOptions) -> Self {
        assert!(!bootstrap.is_empty(), "a cluster is reached through at least one address");
        Self(Rc::new(Shared {
            bootstrap,
            options,
            connections: RefCell::default(),
            connections_changed: Waiters::default(),
            next_attempt: Cell::new(0),
            brokers: RefCell::default(),
            topics: RefCell::default(),
            next_bootstrap: Cell::new(0),
        }))
    }

    /// A connection to any broker: one that is open, else the next bootstrap address that answers.
    ///
    /// # Errors
    /// [`CallError`], of the last address tried.
    pub async fn any(&self) -> Result<Connection, CallError> {
        let open = self.0.connections.borrow().values().find_map(|slot| match slot {
            Slot::Connected(connection) if !connection.is_closed() => Some(connection.clone()),
            _ => None,
        });
        if let Some(connection) = open {
            return Ok(connection);
        }
        let mut attempts = self.0.bootstrap.len();
        loop {
            let next = self.0.next_bootstrap.get();
            self.0.next_bootstrap.set((next + 1) % self.0.bootstrap.len());
            attempts -= 1;
            match self.connection(self.0.bootstrap[next]).await {
                Err(_) if attempts > 0 => {}
                result => return result,
            }
        }
    }

    /// The connection to an address; whoever asks while it is being made waits for the same. It is made by a task of
    /// its own: a caller that is not polled for a while, or gives up, must not hold up the others.
    async fn connection(&self, address: SocketAddr) -> Result<Connection, CallError> {
        let attempt = match self.0.connections.borrow().get(&address) {
            Some(Slot::Connected(connection)) if !connection.is_closed() => return Ok(connection.clone()),
            Some(Slot::Connecting { attempt }) => Some(*attempt),
            _ => None,
        };
        let attempt = attempt.unwrap_or_else(|| self.start_connecting(address));
        let outcome = || match self.0.connections.borrow().get(&address) {
            Some(Slot::Connected(connection)) => Some(Ok(connection.clone())),
            Some(Slot::Failed { attempt: failed, error }) if *failed >= attempt => Some(Err(error.clone())),
            _ => None,
        };
        self.0.connections_changed.until(outcome).await
    }

    fn start_connecting(&self, address: SocketAddr) -> u64 {
        let attempt = self.0.next_attempt.get();
        self.0.next_attempt.set(attempt + 1);
        self.0.connections.borrow_mut().insert(address, Slot::Connecting { attempt });
        let shared = Rc::clone(&self.0);
        drop(spawn(async move {
            let slot = match Connection::connect(address, shared.options.connection.clone()).await {
                Ok(connection) => Slot::Connected(connection),
                Err(error) => Slot::Failed { attempt, error },
            };
            shared.connections.borrow_mut().insert(address, slot);
            shared.connections_changed.wake_all();
        }));
        attempt
    }

    /// A connection to the broker of that id.
    ///
    /// # Errors
    /// [`ClusterError`]. A broker that is not known is LEADER_NOT_AVAILABLE, for which one tries again.
    pub async fn broker(&self, node_id: i32) -> Result<Connection, ClusterError> {
        let broker = self.0.brokers.borrow().get(&node_id).cloned();
        let Some(Broker { host, port }) = broker else {
            let what = format!("broker {node_id}");
            let code = ErrorCode::LEADER_NOT_AVAILABLE;
            return Err(ClusterError::Refused { api: ApiKey::Metadata, what, code, message: None });
        };
        let address = (self.0.options.resolve)(&host, port).map_err(|error| ClusterError::Unresolved {
            node_id,
            host,
            cause: error.to_string(),
        })?;
        Ok(self.connection(address).await?)
    }

    /// Calls any broker, again and again until `deadline` where that may help.
    ///
    /// # Errors
    /// [`ClusterError`], of the last attempt.
    pub async fn call_any<C: Call>(
        &self,
        deadline: Instant,
        request: &C,
    ) -> Result<C::Response, ClusterError> {
        self.retry(deadline, async || Ok(self.any().await?.call(request).await?)).await
    }

    /// Repeats `attempt` until it succeeds, fails for good, or `deadline` has passed.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn retry<T>(
        &self,
        deadline: Instant,
        mut attempt: impl AsyncFnMut() -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let mut backoff = self.0.options.retry_backoff_min;
        loop {
            match attempt().await {
                Err(error) if error.is_retriable() && Instant::now() + backoff < deadline => {
                    tracing::debug!(%error, "trying again");
                }
                result => return result,
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(self.0.options.retry_backoff_max);
        }
    }

    /// Asks any broker about `topics`, or about all, and remembers brokers and leaders.
    ///
    /// # Errors
    /// [`CallError`]. Errors of single topics are in the response.
    pub async fn metadata(
        &self,
        topics: Option<&[&str]>,
        allow_auto_topic_creation: bool,
    ) -> Result<MetadataResponse, CallError> {
        let topics = topics.map(|topics| topics.iter().map(|&topic| named(topic)).collect());
        let request = MetadataRequest { topics, allow_auto_topic_creation, ..Default::default() };
        let response = self.any().await?.call(&request).await?;
        let brokers = response.brokers.iter().filter_map(|broker| {
            let port = u16::try_from(broker.port).ok()?;
            Some((broker.node_id, Broker { host: broker.host.clone(), port }))
        });
        self.0.brokers.replace(brokers.collect());
        for topic in &response.topics {
            if let Some(name) = &topic.name {
                if topic.error_code.is_none() {
                    self.0.topics.borrow_mut().insert(name.clone(), Rc::new(Topic::of(topic)));
                } else {
                    self.0.topics.borrow_mut().remove(name);
                }
            }
        }
        Ok(response)
    }

    /// What is known of a topic, asked for if nothing is.
    ///
    /// # Errors
    /// [`ClusterError`]. Nothing is tried again.
    pub async fn topic(&self, name: &str) -> Result<Rc<Topic>, ClusterError> {
        let known = self.0.topics.borrow().get(name).cloned();
        if let Some(topic) = known {
            return Ok(topic);
        }
        let create = self.0.options.allow_auto_topic_creation;
        let response = self.metadata(Some(&[name]), create).await?;
        for topic in &response.topics {
            if topic.name.as_deref() == Some(name) {
                accepted(ApiKey::Metadata, name, topic.error_code, None)?;
                return Ok(Rc::new(Topic::of(topic)));
            }
        }
        Err(ClusterError::Missing { api: ApiKey::Metadata, what: name.to_owned() })
    }

    /// Who leads a partition, as far as is known; asked for if nothing is.
    ///
    /// # Errors
    /// [`ClusterError`]. Nothing is tried again.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<(Rc<Topic>, Leader), ClusterError> {
        let known = self.topic(topic).await?;
        let leader = usize::try_from(partition).ok().and_then(|at| known.leaders.get(at)).copied();
        let code = match leader {
            Some(leader) if leader.node_id >= 0 => return Ok((known, leader)),
            Some(_) => ErrorCode::LEADER_NOT_AVAILABLE,
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        self.forget(topic);
        let what = format!("{topic}-{partition}");
        Err(ClusterError::Refused { api: ApiKey::Metadata, what, code, message: None })
    }

    /// Forgets what is known of a topic, so that the next who asks gets it fresh: its leader turned out to be another,
    /// or cannot be reached.
    pub fn forget(&self, topic: &str) {
        self.0.topics.borrow_mut().remove(topic);
    }

    /// How the cluster is treated.
    #[must_use]
    pub fn options(&self) -> &ClusterOptions {
        &self.0.options
    }
}

fn named(topic: &str) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() }
}

impl Topic {
    fn of(topic: &MetadataResponseTopic) -> Self {
        let mut partitions: Vec<_> = topic.partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        let leaders = partitions
            .iter()
            .map(|partition| Leader { node_id: partition.leader_id, epoch: partition.leader_epoch })
            .collect();
        Self { id: topic.topic_id, leaders }
    }
}
