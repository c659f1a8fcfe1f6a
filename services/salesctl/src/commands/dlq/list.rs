//! `salesctl dlq list`.

use std::process::ExitCode;

use conf::Conf;
use messaging::KafkaSettings;
use operations::dead_letter_topics::{Counts, MAX_RECORDS_READ, counts, topics};
use operations::settings::TopicNames;

use crate::failure::Failure;
use crate::output::{Output, lines};

#[derive(Conf)]
pub(super) struct List {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicNames,

    #[conf(flatten)]
    output: Output,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let mut listed = Vec::new();
        for topic in topics(&self.kafka, &self.names.into()).await? {
            listed.push(counts(&self.kafka, topic).await?);
        }
        self.output.print(&listed, || {
            format!("{:>9} {:>9}  topic\n{}", "waiting", "kept", lines(&listed, text))
        })
    }
}

fn text(counts: &Counts) -> String {
    let Counts { topic, waiting, kept, classes, exact } = counts;
    let waiting = waiting.map_or_else(|| "-".to_owned(), |waiting| waiting.to_string());
    let mut lines = vec![format!("{waiting:>9} {kept:>9}  {topic}")];
    lines.extend(classes.iter().map(|(class, count)| format!("{count:>9}  {class}")));
    if !exact {
        lines.push(format!("{:>9}  (classes of the oldest {MAX_RECORDS_READ} only)", ""));
    }
    lines.join("\n")
}
