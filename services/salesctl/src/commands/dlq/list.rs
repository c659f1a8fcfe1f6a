//! `salesctl dlq list`.

use std::collections::BTreeMap;

use conf::Conf;
use messaging::KafkaSettings;
use messaging::reader::{Span, TopicReader};
use messaging::redrive::{self, Letter};
use serde::Serialize;

use super::{TopicNames, topics};
use crate::failure::Failure;
use crate::output;

/// The most records of one topic that are read to count their classes.
const LOOK_AT_MOST: u64 = 100_000;

#[derive(Conf)]
pub(super) struct List {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicNames,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    topic: String,
    /// Those that were not sent back.
    waiting: u64,
    /// Everything in the topic.
    kept: u64,
    /// Those that wait, by error class.
    classes: BTreeMap<String, u64>,
    /// Otherwise the classes of only the oldest were counted.
    exact: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut listed = Vec::new();
        for topic in topics(&self.kafka, &self.names).await? {
            listed.push(count(&self.kafka, topic).await?);
        }
        output::print(self.json, &listed, |listed| {
            let mut lines = vec![format!("{:>9} {:>9}  topic", "waiting", "kept")];
            lines.extend(listed.iter().map(Listed::text));
            lines.join("\n")
        })
    }
}

async fn count(kafka: &KafkaSettings, topic: String) -> Result<Listed, Failure> {
    let mut reader = TopicReader::new(kafka, &topic, &redrive::group_of(&topic))?;
    let kept = reader.kept().await?;
    let waiting = redrive::waiting(&kept, &reader).await?;
    reader.begin(&waiting)?;
    let (mut classes, mut read) = (BTreeMap::<String, u64>::new(), 0);
    while read < LOOK_AT_MOST
        && let Some(record) = reader.next().await?
    {
        read += 1;
        // An announcement has none.
        if let Some(class) = Letter(&record).class() {
            *classes.entry(class.to_owned()).or_default() += 1;
        }
    }
    let count = |spans: &[Span]| spans.iter().map(Span::count).sum::<u64>();
    Ok(Listed {
        waiting: count(&waiting),
        kept: count(&kept),
        classes,
        exact: read < LOOK_AT_MOST,
        topic,
    })
}

impl Listed {
    fn text(&self) -> String {
        let mut lines = vec![format!("{:>9} {:>9}  {}", self.waiting, self.kept, self.topic)];
        lines.extend(self.classes.iter().map(|(class, count)| format!("{count:>9}  {class}")));
        if !self.exact {
            lines.push(format!("{:>9}  (classes of the oldest {LOOK_AT_MOST} only)", ""));
        }
        lines.join("\n")
    }
}
