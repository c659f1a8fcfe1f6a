//! `/dead-letters/topics/{topic}`: the records that a consumer group could not process. They can be
//! redriven or discarded in two steps: the first counts them, the second acts.

mod change;
mod list;
mod show;

use domain::OrderId;
use maud::{Markup, html};
use messaging::redrive;
use operations::dead_letter_topics::is_ours;
use serde::Deserialize;

use crate::live::View;
use crate::page::form_token;

pub(crate) use self::change::change;
pub(crate) use self::list::list;
pub(crate) use self::show::{download, show};

/// The selected dead letters of a topic. An empty field does not filter.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Filter {
    class: String,
    order: String,
    partition: String,
    offset: String,
}

impl Filter {
    fn parsed(&self) -> Result<redrive::Filter, String> {
        let key = match self.order.trim() {
            "" => None,
            order => Some(order.parse::<OrderId>().map_err(|error| format!("Order: {error}."))?),
        };
        let record = match (self.partition.trim(), self.offset.trim()) {
            ("", "") => None,
            (partition, offset) => {
                let numbers = partition.parse().ok().zip(offset.parse().ok());
                Some(numbers.ok_or("A partition and an offset are numbers.")?)
            }
        };
        let class = Some(self.class.trim()).filter(|class| !class.is_empty()).map(str::to_owned);
        Ok(redrive::Filter { class, key: key.map(|key| key.to_string()), record })
    }

    fn fields(&self) -> [(&'static str, String); 4] {
        [
            ("class", self.class.clone()),
            ("order", self.order.clone()),
            ("partition", self.partition.clone()),
            ("offset", self.offset.clone()),
        ]
    }
}

/// The address of the list.
fn path(topic: &str) -> String {
    format!("/dead-letters/topics/{topic}")
}

/// Whether the console shows this topic as one of dead letters.
fn is_shown(view: &View, topic: &str) -> bool {
    is_ours(&view.state.names, topic)
}

const UNKNOWN: &str = "There is no dead letter topic of this name.";

/// The forms of the first step. Each has one button, because the enter key presses the first one.
fn actions(view: &View, topic: &str, filter: &Filter, heading: &str) -> Markup {
    let fields = html! {
        (form_token(&view.operator))
        @for (name, value) in filter.fields() { input type="hidden" name=(name) value=(value); }
        // An action on everything must be meant.
        input type="hidden" name="scope" value=(if filter.offset.is_empty() { "filter" } else { "one" });
    };
    html! {
        section {
            h2 { (heading) }
            div.actions {
                form method="post" action=(path(topic)) {
                    (fields)
                    input type="hidden" name="action" value="redrive";
                    button { "Redrive..." }
                }
                form.filter method="post" action=(path(topic)) {
                    (fields)
                    input type="hidden" name="action" value="discard";
                    label { "Reason to discard" input name="reason" maxlength="200" required; }
                    button.plain { "Discard..." }
                }
            }
            p.note {
                "The next page counts them first. Records that wait in front of the last one are written to \
                 the end of the topic, unchanged."
            }
        }
    }
}
