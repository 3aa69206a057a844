//! The demo's topics.

use super::job::{DELAYS_TOPIC, FLIGHTS_TOPIC, LATE_TOPIC};
use millrace_net::{
    client::{Admin, Cluster, ClusterError, ClusterOptions, admin::NewTopic},
    kafka::ErrorCode,
};
use std::{net::SocketAddr, time::Duration};

/// Partitions of topic `flights`; each has a producer.
pub const FLIGHTS_PARTITIONS: u32 = 4;

/// Partitions of topic `delays`.
pub const DELAYS_PARTITIONS: u32 = 2;

/// How long creating one may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there are no topics.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The data directory has been used before.
    #[error("the data directory holds topic `{0}` already: give an empty one")]
    Exists(&'static str),
    /// The server refuses.
    #[error("creating the demo's topics: {0}")]
    Create(#[from] ClusterError),
}

/// Creates the topics that the job reads and writes.
///
/// # Errors
/// [`TopicsError`].
pub async fn create_topics(address: SocketAddr) -> Result<(), TopicsError> {
    let admin = Admin::new(Cluster::new(vec![address], ClusterOptions::default()), TIMEOUT);
    for (name, partitions) in
        [(FLIGHTS_TOPIC, FLIGHTS_PARTITIONS), (DELAYS_TOPIC, DELAYS_PARTITIONS), (LATE_TOPIC, 1)]
    {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: i32::try_from(partitions).ok(),
            replication_factor: None,
            configs: Vec::new(),
        };
        match admin.create_topic(&topic).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {
                return Err(TopicsError::Exists(name));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
