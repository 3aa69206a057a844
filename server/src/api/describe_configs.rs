//! DescribeConfigs: settings under Kafka's names, since tools ask for them and act on what they read.

use super::{Asker, errors::Code};
use crate::{
    cluster::{ConfigKind, TOPIC_CONFIGS, Topic, TopicConfig, TopicError, validate_name},
    shard::Context,
};
use millrace_net::kafka::{
    ErrorCode,
    describe_configs::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
        DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
    },
};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

pub(super) fn answer(asker: &Asker, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let mut result = describe(asker, resource);
        for config in &mut result.configs {
            if !request.include_synonyms {
                config.synonyms.clear();
            }
            if !request.include_documentation {
                config.documentation = None;
            }
        }
        result
    });
    DescribeConfigsResponse { results: results.collect(), ..Default::default() }
}

fn describe(asker: &Asker, resource: DescribeConfigsResource) -> DescribeConfigsResult {
    let found = match resource.resource_type {
        TOPIC => {
            let name = &resource.resource_name;
            let topic = asker.shard.image().topic(name).cloned();
            let unknown = || {
                let error =
                    validate_name(name).map_or_else(TopicError::InvalidName, |()| TopicError::Unknown);
                (error.code(), error.to_string())
            };
            topic.map(|topic| of_topic(&asker.shard, &topic)).ok_or_else(unknown)
        }
        BROKER => {
            let node = asker.shard.options().node_id;
            if resource.resource_name.is_empty() {
                // What was set for all brokers at run time: nothing can be.
                Ok(Vec::new())
            } else if resource.resource_name.parse() == Ok(node) {
                Ok(of_broker(&asker.shard))
            } else {
                let name = &resource.resource_name;
                Err((
                    ErrorCode::INVALID_REQUEST,
                    format!("Unexpected broker id, expected {node}, but received {name}"),
                ))
            }
        }
        other => Err((ErrorCode::INVALID_REQUEST, format!("Unsupported resource type: {other}"))),
    };
    let (error_code, error_message, mut configs) = match found {
        Ok(configs) => (ErrorCode::NONE, None, configs),
        Err((code, message)) => (code, Some(message), Vec::new()),
    };
    // An empty list asks for all, as none does.
    if let Some(wanted) = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
        configs.retain(|config| wanted.contains(&config.name));
    }
    DescribeConfigsResult {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
    }
}

/// A topic's settings: its own, else the server's, else Kafka's defaults.
pub(super) fn of_topic(shard: &Context, topic: &Topic) -> Vec<DescribeConfigsResourceResult> {
    let describe = |config: &TopicConfig| {
        let server = shard.options().topic_default(config.name);
        let default = config.default.to_owned();
        let server = server.filter(|server| *server != default);
        let own = topic.configs.get(config.name).cloned();
        let mut synonyms = Vec::new();
        let broker_name = broker_name(config.name);
        for (name, value, source) in [
            (config.name, own, SOURCE_TOPIC),
            (broker_name, server, SOURCE_STATIC_BROKER),
            (broker_name, Some(default), SOURCE_DEFAULT),
        ] {
            if let Some(value) = value {
                synonyms.push(DescribeConfigsSynonym { name: name.to_owned(), value: Some(value), source });
            }
        }
        let (value, config_source) =
            synonyms.first().map_or((None, SOURCE_DEFAULT), |first| (first.value.clone(), first.source));
        DescribeConfigsResourceResult {
            name: config.name.to_owned(),
            value,
            read_only: false,
            config_source,
            is_sensitive: false,
            synonyms,
            config_type: type_of(config.kind),
            documentation: Some(config.doc.to_owned()),
        }
    };
    TOPIC_CONFIGS.iter().map(describe).collect()
}

/// The server's settings that tools ask brokers for.
fn of_broker(shard: &Context) -> Vec<DescribeConfigsResourceResult> {
    let options = shard.options();
    let config = &options.config;
    let fixed = [
        ("auto.create.topics.enable", config.topic.auto_create.to_string(), 1),
        ("broker.id", options.node_id.to_string(), 3),
        ("default.replication.factor", "1".to_owned(), 3),
        ("group.initial.rebalance.delay.ms", config.group.initial_rebalance_delay_ms.to_string(), 3),
        ("group.max.session.timeout.ms", config.group.session_timeout_ms_max.to_string(), 3),
        ("group.min.session.timeout.ms", config.group.session_timeout_ms_min.to_string(), 3),
        ("node.id", options.node_id.to_string(), 3),
        ("num.partitions", config.topic.partitions.to_string(), 3),
        ("offsets.retention.minutes", config.group.offsets_retention_minutes.to_string(), 3),
        ("offsets.topic.num.partitions", config.group.offsets_partitions.to_string(), 3),
        ("offsets.topic.replication.factor", "1".to_owned(), 4),
        ("socket.request.max.bytes", config.server.request_bytes_max.0.to_string(), 3),
    ];
    let topics =
        TOPIC_CONFIGS.iter().filter(|config| broker_name(config.name) != config.name).map(|config| {
            let value = options.topic_default(config.name).unwrap_or_else(|| config.default.to_owned());
            (broker_name(config.name), value, type_of(config.kind))
        });
    let mut all: Vec<DescribeConfigsResourceResult> = fixed
        .into_iter()
        .chain(topics)
        .map(|(name, value, config_type)| DescribeConfigsResourceResult {
            name: name.to_owned(),
            value: Some(value),
            read_only: true,
            config_source: SOURCE_STATIC_BROKER,
            config_type,
            ..Default::default()
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// The broker's name for a topic's setting, where it has one.
fn broker_name(topic_name: &'static str) -> &'static str {
    match topic_name {
        "cleanup.policy" => "log.cleanup.policy",
        "compression.type" => "compression.type",
        "delete.retention.ms" => "log.cleaner.delete.retention.ms",
        "flush.messages" => "log.flush.interval.messages",
        "flush.ms" => "log.flush.interval.ms",
        "index.interval.bytes" => "log.index.interval.bytes",
        "max.message.bytes" => "message.max.bytes",
        "message.timestamp.after.max.ms" => "log.message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms" => "log.message.timestamp.before.max.ms",
        "message.timestamp.type" => "log.message.timestamp.type",
        "retention.bytes" => "log.retention.bytes",
        "retention.ms" => "log.retention.ms",
        "segment.bytes" => "log.segment.bytes",
        "segment.ms" => "log.roll.ms",
        other => other,
    }
}

/// Kafka's number for a setting's type.
fn type_of(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Word(_) => 2,
        ConfigKind::Int(_) => 3,
        ConfigKind::Long(_) => 5,
        ConfigKind::Ratio => 6,
        ConfigKind::Words(_) | ConfigKind::Replicas => 7,
    }
}
