//! `salesctl outbox dead-letters`.

use conf::{Conf, Subcommands};
use contracts::message::EventMessage;
use contracts::timestamp_text;
use domain::OrderId;
use serde::Serialize;
use service_kit::config::number_in;
use store::DatabaseSettings;
use store::outbox::EventHeaders;
use store::outbox::dead_letters::{self, DeadLetter, DeadLetterDetails, DeadLetterFilter};

use super::connect;
use crate::failure::Failure;
use crate::output;

#[derive(Conf)]
pub(super) struct DeadLetters {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Maximum number of dead letters to list
    #[conf(long, default_value = "20", value_parser = parse_limit)]
    limit: i64,

    /// Only dead letters for this topic
    #[conf(long)]
    topic: Option<String>,

    /// Only dead letters of this order
    #[conf(long)]
    order: Option<OrderId>,

    /// Also dead letters that were put back
    #[conf(long)]
    all: bool,

    /// Prints JSON
    #[conf(long)]
    json: bool,

    #[conf(subcommands)]
    command: Option<Command>,
}

#[derive(Subcommands)]
enum Command {
    /// Shows one dead letter with its headers, its payload and the reason
    Show(Show),
}

#[derive(Conf)]
struct Show {
    /// Id of the dead letter, as in the list
    #[conf(pos)]
    id: i64,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

fn parse_limit(text: &str) -> Result<i64, String> {
    number_in(text, 1..=10_000)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: i64,
    event_id: String,
    order_id: String,
    topic: String,
    event_type: String,
    attempts: i16,
    reason: String,
    dead_lettered_at: String,
    redriven_at: Option<String>,
    redrive_count: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(flatten)]
    listed: Listed,
    occurred_at: String,
    enqueued_at: String,
    headers: EventHeaders<'a>,
    /// As text, byte for byte.
    payload: &'a str,
}

impl DeadLetters {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut connection = connect(&self.database).await?;
        if let Some(Command::Show(Show { id, json })) = self.command {
            let found = dead_letters::find(&mut connection, id).await?;
            let whole = found.ok_or_else(|| format!("there is no dead letter {id}"))?;
            return output::print(json, &Whole::from(&whole), Whole::text);
        }
        let filter = DeadLetterFilter { id: None, topic: self.topic, order: self.order };
        let letters = dead_letters::list(&mut connection, &filter, self.all, self.limit).await?;
        let listed: Vec<Listed> = letters.into_iter().map(Listed::from).collect();
        output::print(self.json, &listed, |listed| {
            if listed.is_empty() {
                return "no dead letters".to_owned();
            }
            listed.iter().map(Listed::text).collect::<Vec<_>>().join("\n")
        })
    }
}

impl From<DeadLetter> for Listed {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id,
            event_id: letter.event_id.to_string(),
            order_id: letter.order_id.to_string(),
            topic: letter.topic,
            event_type: letter.event_type,
            attempts: letter.attempts,
            reason: letter.reason,
            dead_lettered_at: timestamp_text(letter.dead_lettered_at),
            redriven_at: letter.redriven_at.map(timestamp_text),
            redrive_count: letter.redrive_count,
        }
    }
}

impl<'a> From<&'a DeadLetterDetails> for Whole<'a> {
    fn from(whole: &'a DeadLetterDetails) -> Self {
        let EventMessage { attributes, payload, .. } = &whole.event;
        Self {
            listed: whole.letter.clone().into(),
            occurred_at: timestamp_text(attributes.time),
            enqueued_at: timestamp_text(whole.enqueued_at),
            headers: attributes.into(),
            payload,
        }
    }
}

impl Listed {
    fn text(&self) -> String {
        let redriven = match (&self.redriven_at, self.redrive_count) {
            (Some(at), count) => format!(", put back {at} (redrive {count})"),
            (None, 0) => String::new(),
            (None, count) => format!(", was put back {count} times"),
        };
        format!(
            "{}  {}  {}  order {}  to {}{redriven}\n    {}",
            self.id, self.dead_lettered_at, self.event_type, self.order_id, self.topic, self.reason
        )
    }
}

impl Whole<'_> {
    fn text(&self) -> String {
        let Self { listed, headers, .. } = self;
        let mut lines = vec![
            listed.text(),
            format!("event id      {}", listed.event_id),
            format!("attempts      {}", listed.attempts),
            format!("occurred      {}", self.occurred_at),
            format!("in the outbox {}", self.enqueued_at),
            format!("source        {}", headers.source),
            format!("schema        {}", headers.data_schema),
        ];
        for (name, value) in [
            ("correlation  ", &headers.correlation_id),
            ("traceparent  ", &headers.traceparent),
            ("tracestate   ", &headers.tracestate),
        ] {
            lines.extend(value.iter().map(|value| format!("{name} {value}")));
        }
        lines.push(format!("\n{}", self.payload));
        lines.join("\n")
    }
}
