//! `/dead-letters`: the events that Kafka refused. They can be redriven or discarded in two steps:
//! the first counts them, the second acts.

mod change;
mod list;
mod show;

use domain::OrderId;
use maud::{Markup, html};
use serde::Deserialize;
use store::outbox::dead_letters::{DeadLetter, DeadLetterFilter};

use crate::operator::Operator;
use crate::page::{form_token, time};

pub(crate) use self::change::{MAX_REDRIVES, change, reason};
pub(crate) use self::list::list;
pub(crate) use self::show::{download, show};

const TITLE: &str = "Dead letters of the outbox";

/// The selected dead letters. An empty field does not filter.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Filter {
    id: String,
    topic: String,
    order: String,
}

impl Filter {
    fn parsed(&self) -> Result<DeadLetterFilter, String> {
        let id = match self.id.trim() {
            "" => None,
            id => Some(id.parse().map_err(|_| "The id of a dead letter is a number.".to_owned())?),
        };
        let order = match self.order.trim() {
            "" => None,
            order => Some(order.parse::<OrderId>().map_err(|error| format!("Order: {error}."))?),
        };
        let topic = Some(self.topic.trim()).filter(|topic| !topic.is_empty()).map(str::to_owned);
        Ok(DeadLetterFilter { id, topic, order })
    }

    fn hidden_fields(&self) -> Markup {
        html! {
            @for (name, value) in [("id", &self.id), ("topic", &self.topic), ("order", &self.order)] {
                input type="hidden" name=(name) value=(value);
            }
        }
    }
}

fn waits(letter: &DeadLetter) -> bool {
    letter.redriven_at.is_none() && letter.discarded_at.is_none()
}

fn outcome(letter: &DeadLetter) -> Markup {
    html! {
        @if let Some(at) = letter.redriven_at {
            "redriven " (time(at))
        } @else if let Some(at) = letter.discarded_at {
            "discarded " (time(at)) ": " (letter.discard_reason.as_deref().unwrap_or_default())
        } @else {
            "waits"
            @if letter.redrive_count > 0 { ", was redriven " (letter.redrive_count) " times" }
        }
    }
}

/// The forms of the first step. Each has one button, because the enter key presses the first one.
fn actions(operator: &Operator, filter: &Filter, heading: &str) -> Markup {
    let fields = html! {
        (form_token(operator))
        (filter.hidden_fields())
        // An action on everything must be meant.
        input type="hidden" name="scope" value=(if filter.id.is_empty() { "filter" } else { "one" });
    };
    html! {
        section {
            h2 { (heading) }
            div.actions {
                form method="post" action="/dead-letters" {
                    (fields)
                    input type="hidden" name="action" value="redrive";
                    button { "Redrive..." }
                }
                form.filter method="post" action="/dead-letters" {
                    (fields)
                    input type="hidden" name="action" value="discard";
                    label { "Reason to discard" input name="reason" maxlength="200" required; }
                    button.plain { "Discard..." }
                }
            }
            p.note { "The next page counts them first." }
        }
    }
}
