//! `salesctl topics list`: the records of the topics, and the lag of the consumer groups.

use std::process::ExitCode;

use conf::Conf;
use contracts::topics::Names;
use messaging::KafkaSettings;
use operations::settings::TopicSettings;
use operations::topics::{self, GroupStatus, TopicStatus};

use crate::failure::Failure;
use crate::output::Output;

#[derive(Conf)]
pub(super) struct List {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicSettings,

    /// Also lists the other topics of the cluster
    #[conf(long)]
    all: bool,

    #[conf(flatten)]
    output: Output,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let listed = topics::status(&self.kafka, &Names::from(self.names), self.all).await?;
        self.output.print(&listed, || text(&listed))
    }
}

fn text(listed: &[TopicStatus]) -> String {
    let mut lines = vec![format!("partitions  replicas  {:>10}  topic", "records")];
    lines.extend(listed.iter().map(|it| {
        let TopicStatus { topic, partitions, replicas, records, .. } = it;
        let missing = if *partitions == 0 { "  (missing)" } else { "" };
        format!("{partitions:>10}  {replicas:>8}  {records:>10}  {topic}{missing}")
    }));
    lines.push(format!("\n{:>10}  {:>10}  {:>13}  group", "committed", "lag", "oldest unread"));
    for listed in listed {
        lines.extend(listed.groups.iter().map(|it| {
            let GroupStatus { group, committed, lag, oldest_unread_seconds } = it;
            let oldest = oldest_unread_seconds.map_or("-".to_owned(), |age| format!("{age:.1} s"));
            format!("{committed:>10}  {lag:>10}  {oldest:>13}  {group} of {}", listed.topic)
        }));
    }
    lines.join("\n")
}
