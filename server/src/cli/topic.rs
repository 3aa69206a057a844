//! `millrace topic`: one file per subcommand. Works with any broker that speaks Kafka's protocol.

mod create;
mod delete;
mod describe;
mod list;

use super::client::CommandError;
use crate::{config::nearest, exit::Exit};
use millrace_net::{
    client::{Admin, ClusterError},
    kafka::ErrorCode,
};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Create a topic.
    Create(create::Arguments),
    /// List topics.
    List(list::Arguments),
    /// Show topics' partitions, replicas, offsets and settings.
    Describe(describe::Arguments),
    /// Delete topics with all their records.
    Delete(delete::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Create(arguments) => arguments.run(),
        Command::List(arguments) => arguments.run(),
        Command::Describe(arguments) => arguments.run(),
        Command::Delete(arguments) => arguments.run(),
    }
}

/// Whether the cluster does not know the topic.
fn is_unknown(error: &ClusterError) -> bool {
    error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

/// The error of an operation on a topic, for a person. A topic that is unknown is told with the one most like it.
async fn explain(admin: &Admin, what: &str, name: &str, error: ClusterError) -> CommandError {
    if is_unknown(&error) {
        let known = admin.list_topics().await.map(|cluster| cluster.topics).unwrap_or_default();
        let hint = nearest(name, known.into_iter().filter_map(|topic| topic.name));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        return CommandError::Refused(format!("there is no topic {name}{hint}"));
    }
    match error {
        ClusterError::Refused { code, message, .. } => {
            let message = message.map(|message| format!(": {message}")).unwrap_or_default();
            CommandError::Refused(format!("cannot {what} topic {name}: {code}{message}"))
        }
        error => error.into(),
    }
}
