//! `salesctl dlq show`.

use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;
use conf::Conf;
use contracts::timestamp_text;
use messaging::redrive::Filter;
use messaging::{KafkaSettings, Record};
use operations::dead_letter_topics::{Found, Reading, letters, topics};
use operations::settings::TopicNames;
use serde::Serialize;
use service_kit::config::within;

use crate::failure::Failure;
use crate::output::{self, Output};

#[derive(Conf)]
pub(super) struct Show {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicNames,

    /// The dead letter topic; all of them when unset
    #[conf(long)]
    topic: Option<String>,

    /// Maximum number of records of each topic
    #[conf(long, default_value = "10", value_parser = within(1..=10_000))]
    limit: usize,

    /// Only this partition
    #[conf(long)]
    partition: Option<i32>,

    /// Begins at this offset; includes records that were redriven or discarded
    #[conf(long)]
    offset: Option<i64>,

    /// Also records that were redriven or discarded
    #[conf(long)]
    all: bool,

    #[conf(flatten)]
    output: Output,
}

impl Show {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        if self.topic.is_none() && (self.partition.is_some() || self.offset.is_some()) {
            eprintln!("error: --partition and --offset require --topic");
            return Ok(ExitCode::from(2));
        }
        let names = match &self.topic {
            Some(topic) => vec![topic.clone()],
            None => topics(&self.kafka, &self.names.clone().into()).await?,
        };
        let mut shown = Vec::new();
        for topic in names {
            shown.extend(self.read(&topic).await?);
        }
        self.output.print(&shown, || output::dead_letters(&shown, "\n\n", Shown::text))
    }

    async fn read(&self, topic: &str) -> Result<Vec<Shown>, Failure> {
        let reading = Reading {
            filter: Filter::default(),
            partition: self.partition,
            offset: self.offset,
            all: self.all,
            limit: self.limit,
            most_read: u64::MAX,
        };
        let found = letters(&self.kafka, topic, &reading).await?.found.into_iter();
        Ok(found.map(|Found { record, waiting }| Shown::new(record, waiting)).collect())
    }
}

#[derive(Serialize)]
struct Shown {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<String>,
    /// Whether it was neither redriven, discarded, nor moved to the end of the topic.
    waiting: bool,
    /// The `dlq-` headers.
    dlq: Vec<Named>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    /// The headers of the original record.
    headers: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    value: Option<Bytes>,
}

/// Arbitrary bytes, readable and without loss: text if they are UTF-8, otherwise base64.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Bytes {
    Text(String),
    Base64(String),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64(BASE64_STANDARD.encode(error.as_bytes())),
        }
    }
}

impl Shown {
    fn new(record: Record, waiting: bool) -> Self {
        let named = |(name, value): (String, Option<Vec<u8>>)| Named {
            name,
            value: value.map(Bytes::from),
        };
        let (dlq, headers) =
            record.headers.into_iter().map(named).partition(|named| named.name.starts_with("dlq-"));
        let timestamp = record.timestamp_ms.and_then(DateTime::from_timestamp_millis);
        Self {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: timestamp.map(timestamp_text),
            waiting,
            dlq,
            key: record.key.map(Bytes::from),
            value: record.value.map(Bytes::from),
            headers,
        }
    }
}

impl Shown {
    fn text(&self) -> String {
        let time = self.timestamp.as_deref().unwrap_or_default();
        let place = format!("{}[{}]@{}", self.topic, self.partition, self.offset);
        let state = if self.waiting { "" } else { "  (redriven, discarded, or moved to the end)" };
        let mut lines = vec![format!("{place}  {time}{state}")];
        let named = |named: &Named| format!("  {}: {}", named.name, text(named.value.as_ref()));
        lines.extend(self.dlq.iter().chain(&self.headers).map(named));
        lines.push(format!("  key: {}", text(self.key.as_ref())));
        lines.push(format!("  value: {}", text(self.value.as_ref())));
        lines.join("\n")
    }
}

fn text(bytes: Option<&Bytes>) -> String {
    match bytes {
        None => "(none)".to_owned(),
        Some(Bytes::Text(text)) => text.clone(),
        Some(Bytes::Base64(text)) => format!("base64:{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_base64() {
        assert_eq!(text(Some(&b"{}".to_vec().into())), "{}");
        assert_eq!(text(Some(&vec![0xff, 0].into())), "base64:/wA=");
    }
}
