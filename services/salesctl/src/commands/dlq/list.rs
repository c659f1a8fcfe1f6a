//! `salesctl dlq list`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use conf::Conf;
use messaging::KafkaSettings;
use messaging::reader::{OffsetRange, TopicReader};
use messaging::redrive::{self, Letter};
use operations::settings::TopicNames;
use serde::Serialize;

use super::topics;
use crate::failure::Failure;
use crate::output::{Output, lines};

/// Maximum number of records of one topic that are read to count their classes.
const MAX_RECORDS_READ: u64 = 100_000;

#[derive(Conf)]
pub(super) struct List {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicNames,

    #[conf(flatten)]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    topic: String,
    /// Records that were neither sent back nor discarded; `None` for announcements, which wait for
    /// nobody.
    waiting: Option<u64>,
    /// All records in the topic.
    kept: u64,
    /// Waiting records by error class.
    classes: BTreeMap<String, u64>,
    /// `false` if only the oldest records were read to count the classes.
    exact: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let mut listed = Vec::new();
        for topic in topics(&self.kafka, &self.names).await? {
            listed.push(count(&self.kafka, topic).await?);
        }
        self.output.print(&listed, || {
            format!("{:>9} {:>9}  topic\n{}", "waiting", "kept", lines(&listed, Listed::text))
        })
    }
}

async fn count(kafka: &KafkaSettings, topic: String) -> Result<Listed, Failure> {
    let mut reader = TopicReader::new(kafka, &topic, &redrive::group_of(&topic))?;
    let kept = reader.kept().await?;
    let waiting = redrive::waiting(&kept, &reader).await?;
    reader.begin(&waiting)?;
    let (mut classes, mut read) = (BTreeMap::<String, u64>::new(), 0);
    while read < MAX_RECORDS_READ
        && let Some(record) = reader.next().await?
    {
        read += 1;
        // An announcement has no class.
        if let Some(class) = Letter(&record).class() {
            *classes.entry(class.to_owned()).or_default() += 1;
        }
    }
    let count = |ranges: &[OffsetRange]| ranges.iter().map(OffsetRange::count).sum::<u64>();
    Ok(Listed {
        waiting: redrive::is_dead_letter_topic(&topic).then(|| count(&waiting)),
        kept: count(&kept),
        classes,
        exact: read < MAX_RECORDS_READ,
        topic,
    })
}

impl Listed {
    fn text(&self) -> String {
        let waiting = self.waiting.map_or_else(|| "-".to_owned(), |waiting| waiting.to_string());
        let mut lines = vec![format!("{waiting:>9} {:>9}  {}", self.kept, self.topic)];
        lines.extend(self.classes.iter().map(|(class, count)| format!("{count:>9}  {class}")));
        if !self.exact {
            lines.push(format!("{:>9}  (classes of the oldest {MAX_RECORDS_READ} only)", ""));
        }
        lines.join("\n")
    }
}
