//! What an administrator may change: requests are checked against the image and become records, or a refusal.

use super::{Image, MetadataRecord, name::is_internal, topic_config, validate_name};
use millrace_record::TopicId;
use std::collections::BTreeMap;

/// The most partitions a topic may have: each costs a directory and a file even when idle.
const PARTITIONS_MAX: i32 = 100_000;

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct CreateTopic {
    /// Its name.
    pub name: String,
    /// Its number of partitions; -1 for the server's default.
    pub partitions: i32,
    /// How many nodes are to keep it; -1 for the server's default.
    pub replication_factor: i16,
    /// Partition -> nodes, given by the client instead of the two numbers.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Settings under Kafka's names. The protocol has settings without a value; they are refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// Why a topic can't be made, changed or removed. The texts go to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The name breaks the rules.
    #[error("Topic name is invalid: {0}")]
    InvalidName(String),
    /// There is one of this name, or one that differs only in '.' against '_'.
    #[error("{0}")]
    Exists(String),
    /// There is none.
    #[error("This server does not host this topic-partition.")]
    Unknown,
    /// The number of partitions makes no sense.
    #[error("{0}")]
    InvalidPartitions(String),
    /// There are not as many nodes.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// The assignment does not name each partition once, on nodes that exist.
    #[error("{0}")]
    InvalidAssignment(String),
    /// A setting is unknown, or its value wrong.
    #[error("{0}")]
    InvalidConfig(String),
    /// The request contradicts itself.
    #[error("{0}")]
    InvalidRequest(String),
    /// The server keeps this topic for itself.
    #[error("{0} is internal")]
    Internal(String),
    /// The metadata log can't be written: the disk is full, or the server stops.
    #[error("the metadata log can't be written: {0}")]
    NotWritten(String),
}

/// What a creation is checked against, beside the image.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Partitions of a topic created without a number.
    pub partitions: i32,
    /// This node's id: the only one there is.
    pub node: i32,
    /// Whether a replication factor above the number of nodes is taken for that number.
    pub clamp_replication_factor: bool,
}

/// The record that makes a topic with the id `id`.
///
/// # Errors
/// [`TopicError`].
pub fn create_topic(
    image: &Image,
    request: &CreateTopic,
    id: TopicId,
    defaults: Defaults,
) -> Result<MetadataRecord, TopicError> {
    validate_name(&request.name).map_err(TopicError::InvalidName)?;
    refuse_collision(image, &request.name)?;
    let partitions = if request.assignments.is_empty() {
        check_replication(request.replication_factor, defaults)?;
        match request.partitions {
            -1 => defaults.partitions,
            count => check_partitions(count)?,
        }
    } else {
        check_assignments(request, defaults)?
    };
    let mut configs = BTreeMap::new();
    for (name, value) in &request.configs {
        let Some(config) = topic_config(name) else {
            return Err(TopicError::InvalidConfig(format!("Unknown topic config name: {name}")));
        };
        let Some(value) = value else {
            return Err(TopicError::InvalidConfig(format!(
                "Null value not supported for topic config: {name}"
            )));
        };
        config.check(value).map_err(TopicError::InvalidConfig)?;
        configs.insert(name.clone(), value.clone());
    }
    Ok(MetadataRecord::Topic { id, name: request.name.clone(), partitions, configs })
}

/// The record that gives a topic more partitions.
///
/// # Errors
/// [`TopicError`]; partitions are never taken away.
pub fn create_partitions(
    image: &Image,
    name: &str,
    count: i32,
    assignments: Option<&[Vec<i32>]>,
    defaults: Defaults,
) -> Result<MetadataRecord, TopicError> {
    let topic = image.topic(name).ok_or(TopicError::Unknown)?;
    if is_internal(name) {
        return Err(TopicError::Internal(name.to_owned()));
    }
    if count <= topic.partitions {
        let now = topic.partitions;
        let text = if count == now {
            format!("Topic already has {now} partition(s).")
        } else {
            format!("The topic {name} currently has {now} partition(s); {count} would not be an increase.")
        };
        return Err(TopicError::InvalidPartitions(text));
    }
    let partitions = check_partitions(count)?;
    if let Some(assignments) = assignments {
        let added = usize::try_from(partitions - topic.partitions).unwrap_or(usize::MAX);
        if assignments.len() != added {
            let text = format!("{added} partition(s) are added, but {} assigned.", assignments.len());
            return Err(TopicError::InvalidAssignment(text));
        }
        for nodes in assignments {
            check_nodes(nodes, defaults)?;
        }
    }
    Ok(MetadataRecord::Partitions { id: topic.id, partitions })
}

/// The record that removes a topic.
///
/// # Errors
/// [`TopicError`].
pub fn delete_topic(image: &Image, id: TopicId) -> Result<MetadataRecord, TopicError> {
    let topic = image.topic_by_id(id).ok_or(TopicError::Unknown)?;
    if is_internal(&topic.name) {
        return Err(TopicError::Internal(topic.name.clone()));
    }
    Ok(MetadataRecord::RemoveTopic { id })
}

/// Metrics can't tell '.' from '_', so names that differ only there are refused.
fn refuse_collision(image: &Image, name: &str) -> Result<(), TopicError> {
    if image.topic(name).is_some() {
        return Err(TopicError::Exists(format!("Topic '{name}' already exists.")));
    }
    if name.contains(['.', '_']) {
        let folded = name.replace('.', "_");
        let other = image.topics().find(|topic| topic.name.replace('.', "_") == folded);
        if let Some(other) = other {
            let text = format!("Topic '{name}' collides with existing topic: {}", other.name);
            return Err(TopicError::InvalidName(text));
        }
    }
    Ok(())
}

fn check_partitions(count: i32) -> Result<i32, TopicError> {
    if count <= 0 {
        let text = "Number of partitions was set to an invalid non-positive value.";
        return Err(TopicError::InvalidPartitions(text.to_owned()));
    }
    if count > PARTITIONS_MAX {
        return Err(TopicError::InvalidPartitions(format!(
            "A topic has at most {PARTITIONS_MAX} partitions."
        )));
    }
    Ok(count)
}

fn check_replication(factor: i16, defaults: Defaults) -> Result<(), TopicError> {
    match factor {
        -1 | 1 => Ok(()),
        factor if factor > 1 && defaults.clamp_replication_factor => Ok(()),
        factor if factor > 1 => Err(TopicError::InvalidReplicationFactor(format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
             reached because only 1 broker(s) are registered."
        ))),
        _ => {
            Err(TopicError::InvalidReplicationFactor("Replication factor must be larger than 0.".to_owned()))
        }
    }
}

fn check_assignments(request: &CreateTopic, defaults: Defaults) -> Result<i32, TopicError> {
    if request.partitions != -1 || request.replication_factor != -1 {
        let text = "A manual partition assignment was specified, so the numbers of partitions and replicas must be -1.";
        return Err(TopicError::InvalidRequest(text.to_owned()));
    }
    let mut indexes: Vec<i32> = request.assignments.iter().map(|(index, _)| *index).collect();
    indexes.sort_unstable();
    let dense = indexes.iter().enumerate().all(|(at, index)| i32::try_from(at) == Ok(*index));
    if !dense {
        let text = "partitions should be a consecutive 0-based integer sequence";
        return Err(TopicError::InvalidAssignment(text.to_owned()));
    }
    for (_, nodes) in &request.assignments {
        check_nodes(nodes, defaults)?;
    }
    check_partitions(i32::try_from(indexes.len()).unwrap_or(i32::MAX))
}

fn check_nodes(nodes: &[i32], defaults: Defaults) -> Result<(), TopicError> {
    match nodes {
        [node] if *node == defaults.node => Ok(()),
        [] => Err(TopicError::InvalidAssignment("A partition is assigned to no broker.".to_owned())),
        _ => Err(TopicError::InvalidAssignment(format!(
            "A partition is assigned to brokers {nodes:?}, but only {} is registered.",
            defaults.node
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const DEFAULTS: Defaults = Defaults { partitions: 2, node: 1, clamp_replication_factor: false };

    fn id(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    fn named(name: &str) -> CreateTopic {
        CreateTopic {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    fn with(names: &[&str]) -> Image {
        let mut image = Image::default();
        for (number, name) in names.iter().enumerate() {
            image.apply(&create_topic(&image, &named(name), id(number as u128), DEFAULTS).unwrap());
        }
        image
    }

    #[test]
    fn a_topic_is_made_grown_and_removed() {
        let mut image = with(&["a"]);
        assert_eq!(image.topic("a").unwrap().partitions, 2);
        assert!(matches!(create_topic(&image, &named("a"), id(9), DEFAULTS), Err(TopicError::Exists(_))));
        image.apply(&create_partitions(&image, "a", 5, None, DEFAULTS).unwrap());
        assert_eq!(image.topic("a").unwrap().partitions, 5);
        assert!(create_partitions(&image, "a", 5, None, DEFAULTS).is_err());
        assert!(create_partitions(&image, "a", 4, None, DEFAULTS).is_err());
        image.apply(&delete_topic(&image, id(0)).unwrap());
        assert_eq!(image, Image::default());
        assert_eq!(delete_topic(&image, id(0)), Err(TopicError::Unknown));
    }

    #[test]
    fn a_name_can_be_used_again_after_its_topic_is_gone() {
        let mut image = with(&["a"]);
        image.apply(&delete_topic(&image, id(0)).unwrap());
        image.apply(&create_topic(&image, &named("a"), id(7), DEFAULTS).unwrap());
        assert_eq!(image.topic("a").unwrap().id, id(7));
    }

    #[test]
    fn replication_needs_nodes_or_the_config_says_otherwise() {
        let image = Image::default();
        let three = CreateTopic { replication_factor: 3, ..named("a") };
        assert!(matches!(
            create_topic(&image, &three, id(1), DEFAULTS),
            Err(TopicError::InvalidReplicationFactor(_))
        ));
        let clamped = Defaults { clamp_replication_factor: true, ..DEFAULTS };
        create_topic(&image, &three, id(1), clamped).unwrap();
        let none = CreateTopic { replication_factor: 0, ..named("a") };
        assert!(create_topic(&image, &none, id(1), clamped).is_err());
    }

    #[test]
    fn assignments_name_every_partition_once_on_this_node() {
        let image = Image::default();
        let assigned = |assignments: &[(i32, Vec<i32>)]| {
            let request = CreateTopic { assignments: assignments.to_vec(), ..named("a") };
            create_topic(&image, &request, id(1), DEFAULTS)
        };
        assert!(matches!(
            assigned(&[(1, vec![1]), (0, vec![1])]),
            Ok(MetadataRecord::Topic { partitions: 2, .. })
        ));
        for bad in
            [vec![(1, vec![1])], vec![(0, vec![2])], vec![(0, vec![])], vec![(0, vec![1]), (0, vec![1])]]
        {
            assert!(matches!(assigned(&bad), Err(TopicError::InvalidAssignment(_))), "{bad:?}");
        }
    }

    #[test]
    fn names_collide_across_dots_and_underscores() {
        let image = with(&["a.b"]);
        assert!(matches!(
            create_topic(&image, &named("a_b"), id(1), DEFAULTS),
            Err(TopicError::InvalidName(_))
        ));
    }

    #[test]
    fn internal_topics_are_not_for_clients() {
        let image = with(&["__consumer_offsets"]);
        assert!(matches!(delete_topic(&image, id(0)), Err(TopicError::Internal(_))));
        let grown = create_partitions(&image, "__consumer_offsets", 9, None, DEFAULTS);
        assert!(matches!(grown, Err(TopicError::Internal(_))));
    }

    #[test]
    fn unknown_settings_and_wrong_values_are_refused() {
        let image = Image::default();
        for (name, value) in [("no.such", "1"), ("retention.ms", "soon"), ("cleanup.policy", "shred")] {
            let configs = vec![(name.to_owned(), Some(value.to_owned()))];
            let request = CreateTopic { configs, ..named("a") };
            let refused = create_topic(&image, &request, id(1), DEFAULTS);
            assert!(matches!(refused, Err(TopicError::InvalidConfig(_))), "{name}");
        }
    }
}
