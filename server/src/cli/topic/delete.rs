//! `millrace topic delete`.

use super::{
    super::{
        client::{CommandError, Target},
        output::put,
    },
    explain, is_unknown,
};
use crate::exit::Exit;
use millrace_net::client::{Admin, Cluster};
use std::time::Duration;

#[derive(clap::Args, Clone)]
pub(super) struct Arguments {
    /// The topics' names.
    #[arg(required = true)]
    names: Vec<String>,
    /// Succeed if a topic does not exist.
    #[arg(long)]
    if_exists: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(&self) -> Exit {
        let (arguments, timeout) = (self.clone(), self.target.timeout());
        self.target.run(move |cluster| arguments.delete(cluster, timeout))
    }

    /// One after the other; the first that fails ends it, once what was deleted has been told.
    async fn delete(self, cluster: Cluster, timeout: Duration) -> Result<(), CommandError> {
        let admin = Admin::new(cluster, timeout);
        let mut told = Vec::new();
        let mut failed = Ok(());
        for name in self.names {
            let deleted = match admin.delete_topic(&name).await {
                Ok(()) => true,
                Err(error) if self.if_exists && is_unknown(&error) => false,
                Err(error) => {
                    failed = Err(explain(&admin, "delete", &name, error).await);
                    break;
                }
            };
            if self.json {
                told.push(serde_json::json!({ "name": name, "deleted": deleted }));
            } else if deleted {
                put(format_args!("deleted topic {name}"));
            } else {
                put(format_args!("there is no topic {name}"));
            }
        }
        if self.json {
            put(format_args!("{:#}", serde_json::Value::Array(told)));
        }
        failed
    }
}
