//! `millrace topic describe`.

use super::{
    super::{
        client::{CommandError, Target},
        output::{OutputError, Table, bold, put},
    },
    explain,
};
use crate::exit::Exit;
use futures_util::future::{join, join_all};
use millrace_net::{
    client::{Admin, ClusterError},
    kafka::{
        describe_configs::{DescribeConfigsResourceResult, SOURCE_TOPIC},
        list_offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP},
        metadata::{MetadataResponsePartition, MetadataResponseTopic},
    },
};
use serde_json::json;

#[derive(clap::Args, Clone)]
pub(super) struct Arguments {
    /// The topics' names; all but the broker's own if there is none.
    names: Vec<String>,
    /// Show all settings, not only those that were set for the topic.
    #[arg(long)]
    all_configs: bool,
    #[command(flatten)]
    target: Target,
}

/// A topic with what is known of it.
struct Described {
    topic: MetadataResponseTopic,
    configs: Vec<DescribeConfigsResourceResult>,
    /// First and next offset of each partition, in their order. A partition without a leader has none.
    offsets: Vec<Option<(i64, i64)>>,
}

impl Arguments {
    pub(super) fn run(&self) -> Exit {
        let arguments = self.clone();
        self.target.run(move |admin| arguments.describe(admin))
    }

    async fn describe(self, admin: Admin) -> Result<(), CommandError> {
        let names = if self.names.is_empty() {
            let all = admin.list_topics().await?.topics;
            let mut names: Vec<_> =
                all.into_iter().filter(|topic| !topic.is_internal).filter_map(|topic| topic.name).collect();
            names.sort();
            names
        } else {
            self.names
        };
        let mut all = Vec::new();
        for name in names {
            let mut described = match gather(&admin, &name).await {
                Ok(described) => described,
                Err(error) => return Err(explain(&admin, "describe", &name, error).await),
            };
            described.configs.retain(|config| self.all_configs || config.config_source == SOURCE_TOPIC);
            if self.target.json {
                all.push(described.as_json());
            } else {
                described.print()?;
            }
        }
        if self.target.json {
            put(format_args!("{:#}", serde_json::Value::Array(all)))?;
        }
        Ok(())
    }
}

async fn gather(admin: &Admin, name: &str) -> Result<Described, ClusterError> {
    let mut topic = admin.describe_topic(name).await?;
    topic.partitions.sort_by_key(|partition| partition.partition_index);
    let configs = admin.describe_topic_configs(name).await?;
    let ends = topic.partitions.iter().map(async |partition| {
        if partition.leader_id < 0 {
            return None;
        }
        let index = partition.partition_index;
        let both = join(
            admin.list_offset(name, index, EARLIEST_TIMESTAMP),
            admin.list_offset(name, index, LATEST_TIMESTAMP),
        );
        match both.await {
            (Ok(start), Ok(end)) => Some((start.offset, end.offset)),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("millrace: offsets of {name}-{index}: {error}");
                None
            }
        }
    });
    let offsets = join_all(ends).await;
    Ok(Described { topic, configs, offsets })
}

impl Described {
    fn rows(&self) -> impl Iterator<Item = (&MetadataResponsePartition, Option<(i64, i64)>)> {
        self.topic.partitions.iter().zip(self.offsets.iter().copied())
    }

    fn name(&self) -> &str {
        self.topic.name.as_deref().unwrap_or_default()
    }

    fn as_json(&self) -> serde_json::Value {
        let partitions = self.rows().map(|(partition, offsets)| {
            json!({
                "partition": partition.partition_index,
                "leader": partition.leader_id,
                "leader_epoch": partition.leader_epoch,
                "replicas": partition.replica_nodes,
                "in_sync_replicas": partition.isr_nodes,
                "start_offset": offsets.map(|(start, _)| start),
                "end_offset": offsets.map(|(_, end)| end),
            })
        });
        let configs = self.configs.iter().map(|config| (config.name.clone(), json!(config.value)));
        json!({
            "name": self.name(),
            "id": (!self.topic.topic_id.is_nil()).then(|| self.topic.topic_id.to_string()),
            "internal": self.topic.is_internal,
            "partitions": partitions.collect::<Vec<_>>(),
            "configs": configs.collect::<serde_json::Map<_, _>>(),
        })
    }

    fn print(&self) -> Result<(), OutputError> {
        put(format_args!("{}", bold(self.name())))?;
        if !self.topic.topic_id.is_nil() {
            put(format_args!("  id {}", self.topic.topic_id))?;
        }
        for config in &self.configs {
            put(format_args!("  {} = {}", config.name, config.value.as_deref().unwrap_or("(secret)")))?;
        }
        let mut table = Table::new(["  PARTITION", "LEADER", "REPLICAS", "IN SYNC", "START", "END"]);
        for (partition, offsets) in self.rows() {
            let offset =
                |offset: Option<i64>| offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            table.row([
                format!("  {}", partition.partition_index),
                if partition.leader_id < 0 { "none".to_owned() } else { partition.leader_id.to_string() },
                nodes(&partition.replica_nodes),
                nodes(&partition.isr_nodes),
                offset(offsets.map(|(start, _)| start)),
                offset(offsets.map(|(_, end)| end)),
            ]);
        }
        put(&table)
    }
}

fn nodes(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
