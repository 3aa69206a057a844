//! `millrace topic delete`.

use super::{
    super::{
        client::{CommandError, Target},
        output::put,
    },
    explain, is_unknown,
};
use crate::exit::Exit;
use millrace_net::client::Admin;

#[derive(clap::Args, Clone)]
pub(super) struct Arguments {
    /// The topics' names.
    #[arg(required = true)]
    names: Vec<String>,
    /// Succeed if a topic does not exist.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    target: Target,
}

impl Arguments {
    pub(super) fn run(&self) -> Exit {
        let arguments = self.clone();
        self.target.run(move |admin| arguments.delete(admin))
    }

    /// One after the other; the first that fails ends it, once what was deleted has been told.
    async fn delete(self, admin: Admin) -> Result<(), CommandError> {
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
            if self.target.json {
                told.push(serde_json::json!({ "name": name, "deleted": deleted }));
            } else if deleted {
                put(format_args!("deleted topic {name}"))?;
            } else {
                put(format_args!("there is no topic {name}"))?;
            }
        }
        if self.target.json {
            put(format_args!("{:#}", serde_json::Value::Array(told)))?;
        }
        failed
    }
}
