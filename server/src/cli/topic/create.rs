//! `millrace topic create`.

use super::{
    super::{
        client::{CommandError, Target},
        output::put,
    },
    explain,
};
use crate::exit::Exit;
use millrace_net::{
    client::{Admin, admin::NewTopic},
    kafka::ErrorCode,
};

#[derive(clap::Args, Clone)]
pub(super) struct Arguments {
    /// The topic's name.
    name: String,
    /// Its number of partitions. The broker has a default.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Its replicas per partition. The broker has a default.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting under Kafka's name, such as retention.ms=3600000; give it again for several.
    #[arg(long = "config", short, value_name = "KEY=VALUE", value_parser = setting)]
    configs: Vec<(String, String)>,
    /// Succeed if the topic exists already, and leave it as it is.
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    target: Target,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it takes the form KEY=VALUE".to_owned()),
    }
}

impl Arguments {
    pub(super) fn run(&self) -> Exit {
        let arguments = self.clone();
        self.target.run(move |admin| arguments.create(admin))
    }

    async fn create(self, admin: Admin) -> Result<(), CommandError> {
        let name = self.name;
        let topic = NewTopic {
            name: name.clone(),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            configs: self.configs,
        };
        let exists = |error: &ErrorCode| *error == ErrorCode::TOPIC_ALREADY_EXISTS;
        let created = match admin.create_topic(&topic).await {
            Ok(created) => Some(created),
            Err(error) if error.code().as_ref().is_some_and(exists) => {
                if !self.if_not_exists {
                    let message = format!("topic {name} exists already; --if-not-exists would accept that");
                    return Err(CommandError::Refused(message));
                }
                None
            }
            Err(error) => return Err(explain(&admin, "create", &name, error).await),
        };
        if self.target.json {
            // A broker that is too old to tell says -1.
            let told = |number: i32| (number >= 0).then_some(number);
            let partitions = created.as_ref().and_then(|created| told(created.num_partitions));
            let replication_factor =
                created.as_ref().and_then(|created| told(created.replication_factor.into()));
            let json = serde_json::json!({
                "name": name,
                "created": created.is_some(),
                "partitions": partitions,
                "replication_factor": replication_factor,
            });
            put(format_args!("{json:#}"))?;
        } else {
            match created {
                None => put(format_args!("topic {name} exists already"))?,
                Some(created) if created.num_partitions >= 0 => {
                    let partitions = created.num_partitions;
                    let noun = if partitions == 1 { "partition" } else { "partitions" };
                    put(format_args!("created topic {name} with {partitions} {noun}"))?;
                }
                Some(_) => put(format_args!("created topic {name}"))?,
            }
        }
        Ok(())
    }
}
