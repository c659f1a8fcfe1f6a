//! `salesctl topics`.

mod list;

use std::process::ExitCode;
use std::time::Duration;

use conf::{Conf, Subcommands};
use contracts::topics;
use messaging::KafkaSettings;
use messaging::topic_admin::{self, Creation, Replication, Topic, TopicAdminError};
use operations::settings::TopicSettings;
use serde_json::json;
use service_kit::config::within;
use service_kit::retry::outage::Outage;

use crate::failure::Failure;
use crate::max_wait::{parse_wait, wait_for};
use crate::output::{Output, lines};

/// Kafka stores a replication factor as a signed 16-bit integer.
const MAX_REPLICAS: u16 = 32_767;

#[derive(Conf)]
pub(crate) struct Topics {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Creates the topics that are missing
    Create(Create),
    /// Lists the topics of the system, their records, and the progress of their consumer groups
    List(list::List),
}

#[derive(Conf)]
#[conf(validation_predicate = Create::check)]
struct Create {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicSettings,

    /// Replicas of each partition of a new topic; the broker's default when unset
    #[conf(long, value_parser = within(1..=MAX_REPLICAS))]
    replication_factor: Option<u16>,

    /// Replicas that must have a record of a new topic before the broker acknowledges it; the
    /// broker's default when unset
    #[conf(long, value_parser = within(1..=MAX_REPLICAS))]
    min_insync_replicas: Option<u16>,

    /// Seconds to wait for a broker that is unavailable
    #[conf(long, default_value = "60", value_parser = parse_wait)]
    wait: u64,

    #[conf(flatten)]
    output: Output,
}

impl Topics {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Create(create) => create.run().await,
            Command::List(list) => list.run().await,
        }
    }
}

impl Create {
    /// With more in-sync replicas than replicas, no record could be written.
    fn check(create: &Self) -> Result<(), &'static str> {
        match (create.replication_factor, create.min_insync_replicas) {
            (Some(replicas), Some(in_sync)) if in_sync > replicas => {
                Err("--min-insync-replicas must not be more than --replication-factor")
            }
            _ => Ok(()),
        }
    }

    async fn run(self) -> Result<ExitCode, Failure> {
        let wanted = topics::Names::from(self.names).specs();
        let max_wait = Duration::from_secs(self.wait);
        // A failed authentication is retried: the users may not exist yet.
        let is_transient =
            |error: &TopicAdminError| !matches!(error, TopicAdminError::Refused { .. });
        let copies =
            Replication { replicas: self.replication_factor, in_sync: self.min_insync_replicas };
        let attempt = async || topic_admin::create(&self.kafka, &wanted, copies).await;
        let results = wait_for(Outage::of("kafka"), max_wait, is_transient, attempt).await?;
        let json = |(topic, creation): &(Topic, Creation)| {
            let created = *creation == Creation::Created;
            json!({ "topic": topic.name, "created": created, "replicas": topic.replicas })
        };
        self.output.print(&results.iter().map(json).collect::<Vec<_>>(), || {
            lines(&results, |result| line(result, self.replication_factor))
        })
    }
}

/// An existing topic is left as it is, and may have fewer replicas than requested.
fn line((topic, creation): &(Topic, Creation), wanted: Option<u16>) -> String {
    let Topic { name, replicas, .. } = topic;
    let done = if *creation == Creation::Created { "created" } else { "existed" };
    let less = wanted.filter(|wanted| *replicas < usize::from(*wanted));
    let left = less.map(|wanted| format!("  (replicas: {replicas}, not {wanted}; left as it is)"));
    format!("{done}  {name}{}", left.unwrap_or_default())
}
