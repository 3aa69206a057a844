//! `millrace topic list`.

use super::super::{
    client::{CommandError, Target},
    output::{Table, put},
};
use crate::exit::Exit;
use millrace_net::client::Admin;

#[derive(clap::Args, Clone)]
pub(super) struct Arguments {
    /// List the broker's own topics too.
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(&self) -> Exit {
        let arguments = self.clone();
        self.target.run(move |admin| arguments.list(admin))
    }

    async fn list(self, admin: Admin) -> Result<(), CommandError> {
        let mut topics = admin.list_topics().await?.topics;
        topics.retain(|topic| self.internal || !topic.is_internal);
        topics.sort_by(|one, other| one.name.cmp(&other.name));
        let replicas = |replicas: Option<usize>| replicas.unwrap_or(0);
        let rows = topics.iter().map(|topic| {
            let first = topic.partitions.first();
            let factor = replicas(first.map(|partition| partition.replica_nodes.len()));
            (topic.name.clone().unwrap_or_default(), topic.partitions.len(), factor, topic.is_internal)
        });
        if self.target.json {
            let all = rows.map(|(name, partitions, replication_factor, internal)| {
                serde_json::json!({
                    "name": name,
                    "partitions": partitions,
                    "replication_factor": replication_factor,
                    "internal": internal,
                })
            });
            put(format_args!("{:#}", serde_json::Value::Array(all.collect())))?;
        } else {
            let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICAS"]);
            for (name, partitions, factor, _) in rows {
                table.row([name, partitions.to_string(), factor.to_string()]);
            }
            put(&table)?;
        }
        Ok(())
    }
}
