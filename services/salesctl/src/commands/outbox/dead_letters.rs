//! `salesctl outbox dead-letters`.

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use contracts::timestamp_text;
use domain::OrderId;
use serde_json::{Value, json};
use service_kit::config::within;
use store::DatabaseSettings;
use store::outbox::EventHeaders;
use store::outbox::dead_letters::{self, DeadLetter, DeadLetterDetails, DeadLetterFilter};

use super::connect;
use crate::failure::Failure;
use crate::output::{self, Output};

#[derive(Conf)]
pub(super) struct DeadLetters {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Maximum number of dead letters to list
    #[conf(long, default_value = "20", value_parser = within(1..=10_000))]
    limit: i64,

    /// Only dead letters for this topic
    #[conf(long)]
    topic: Option<String>,

    /// Only dead letters of this order
    #[conf(long)]
    order: Option<OrderId>,

    /// Also dead letters that were redriven or discarded
    #[conf(long)]
    all: bool,

    #[conf(flatten)]
    output: Output,

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

    #[conf(flatten)]
    output: Output,
}

impl DeadLetters {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let mut connection = connect(&self.database).await?;
        if let Some(Command::Show(Show { id, output })) = self.command {
            let found = dead_letters::find(&mut connection, id).await?;
            let details = found.ok_or_else(|| format!("there is no dead letter {id}"))?;
            return output.print(&json_with_event(&details), || text_with_event(&details));
        }
        let filter = DeadLetterFilter { id: None, topic: self.topic, order: self.order };
        let letters = dead_letters::list(&mut connection, &filter, self.all, self.limit).await?;
        let listed: Vec<Value> = letters.iter().map(json).collect();
        self.output.print(&listed, || output::dead_letters(&letters, "\n", text))
    }
}

fn json(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "eventId": letter.event_id,
        "orderId": letter.order_id.as_uuid(),
        "topic": letter.topic,
        "eventType": letter.event_type,
        "reason": letter.reason,
        "deadLetteredAt": timestamp_text(letter.dead_lettered_at),
        "redrivenAt": letter.redriven_at.map(timestamp_text),
        "redriveCount": letter.redrive_count,
        "discardedAt": letter.discarded_at.map(timestamp_text),
        "discardReason": letter.discard_reason,
    })
}

fn text(letter: &DeadLetter) -> String {
    let redriven = match (letter.redriven_at.map(timestamp_text), letter.redrive_count) {
        (Some(at), count) => format!(", redriven {at} (redrive {count})"),
        (None, 0) => String::new(),
        (None, count) => format!(", was redriven {count} times"),
    };
    let discarded = match (letter.discarded_at, &letter.discard_reason) {
        (Some(at), Some(why)) => format!("\n    discarded {}: {why}", timestamp_text(at)),
        _ => String::new(),
    };
    let DeadLetter { id, event_type, order_id, topic, reason, .. } = letter;
    let at = timestamp_text(letter.dead_lettered_at);
    format!(
        "{id}  {at}  {event_type}  order {order_id}  to {topic}{redriven}\n    {reason}{discarded}"
    )
}

/// The payload is text, byte for byte.
fn json_with_event(DeadLetterDetails { letter, event, enqueued_at }: &DeadLetterDetails) -> Value {
    let mut json = json(letter);
    json["occurredAt"] = timestamp_text(event.attributes.time).into();
    json["enqueuedAt"] = timestamp_text(*enqueued_at).into();
    json["headers"] = json!(EventHeaders::from(&event.attributes));
    json["payload"] = event.payload.as_str().into();
    json
}

fn text_with_event(DeadLetterDetails { letter, event, enqueued_at }: &DeadLetterDetails) -> String {
    let headers = EventHeaders::from(&event.attributes);
    let mut lines = vec![
        text(letter),
        format!("event id      {}", letter.event_id),
        format!("occurred      {}", timestamp_text(event.attributes.time)),
        format!("in the outbox {}", timestamp_text(*enqueued_at)),
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
    lines.push(format!("\n{}", event.payload));
    lines.join("\n")
}
