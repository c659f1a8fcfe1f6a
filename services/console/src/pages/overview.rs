//! `GET /`: the state of the queues and of the consumers.

use actix_web::HttpResponse;
use futures::join;
use maud::{Markup, html};
use operations::topics::TopicStatus;
use store::outbox;
use store::shards::QueueStatus;

use crate::chart::{Chart, Line};
use crate::history::{SAMPLES, SPAN, Sample, oldest_event};
use crate::live::View;
use crate::page::{duration, number, seconds, table, text};
use crate::section::section;

pub(crate) async fn overview(view: View) -> HttpResponse {
    view.show("Overview", async |state| {
        let (outbox, shipments, topics) =
            join!(state.outbox.get(), state.shipments.get(), state.topics.get());
        html! {
            h1 { "Overview" }
            (charts(&state.history.samples()))
            (section("outbox", "Outbox", &outbox, outbox_section))
            (section("shipments", "Shipments", &shipments, shipments_section))
            (section("consumers", "Consumers", &topics, |topics| consumers_section(topics)))
        }
    })
    .await
}

/// The last minutes, as charts.
fn charts(samples: &[Sample]) -> Markup {
    let line = |name, value: fn(&Sample) -> Option<f64>| Line {
        name,
        values: samples.iter().map(value).collect(),
    };
    let rates =
        [line("accepted", |sample| sample.accepted), line("delivered", |sample| sample.delivered)];
    let oldest = [line("oldest", |sample| sample.oldest_event)];
    let lag = [line("unread", |sample| sample.lag)];
    let chart = |title, lines, top, text| {
        Chart { title, lines, room: SAMPLES, span: SPAN, top, text }.show()
    };
    html! {
        section id="charts" {
            h2 { "The last " (SPAN) }
            div.charts {
                (chart("Orders per second", &rates, 1.0, |rate| format!("{rate:.1}")))
                (chart("Oldest event in the outbox", &oldest, 1.0, duration))
                (chart("Records that consumers have to read", &lag, 100.0, |lag| format!("{lag:.0}")))
            }
        }
    }
}

fn figure(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn count(count: i64, is_exact: bool) -> Markup {
    html! { @if !is_exact { "at least " } (count) }
}

fn outbox_section(status: &outbox::Status) -> Markup {
    let waiting: i64 = status.topics.iter().map(|topic| topic.events).sum();
    let deferred: i64 = status.topics.iter().map(|topic| topic.deferred).sum();
    html! {
        dl.figures {
            (figure("events waiting", &html! {
                @if status.complete { (waiting) } @else { "about " (status.estimate.max(waiting)) }
            }))
            (figure("age of the oldest", &seconds(oldest_event(status))))
            (figure("deferred", &count(deferred, status.complete)))
            (figure("relays", &html! { (status.relays.len()) }))
            (figure("dead letters waiting", &html! {
                a href="/dead-letters" { (count(status.dead_letters, status.dead_letters_complete)) }
            }))
        }
        @if status.unheld_shards > 0 {
            p.failure { "No relay publishes " (status.unheld_shards) " of the 64 shards." }
        }
    }
}

fn shipments_section(status: &QueueStatus) -> Markup {
    html! {
        dl.figures {
            (figure("steps due", &html! { (status.events) }))
            (figure("overdue by", &seconds((status.events > 0).then_some(status.oldest_age))))
            (figure("deferred", &html! { (status.deferred) }))
            (figure("dispatchers", &html! { (status.holders) }))
            (figure("steps that Kafka refused", &html! { (status.dead_letters) }))
        }
        @if status.unheld_shards > 0 {
            p.failure { "No dispatcher publishes " (status.unheld_shards) " of the 64 shards." }
        }
    }
}

fn consumers_section(topics: &[TopicStatus]) -> Markup {
    let rows: Vec<Markup> = topics
        .iter()
        .flat_map(|topic| topic.groups.iter().map(move |group| (topic, group)))
        .map(|(topic, group)| {
            html! {
                tr {
                    td { (group.group) }
                    td { (topic.topic) }
                    td.number { (group.lag) }
                    td.number { (seconds(group.oldest_unread_seconds)) }
                }
            }
        })
        .collect();
    let columns = [text("group"), text("topic"), number("records unread"), number("oldest unread")];
    table("Consumers", &columns, &rows)
}
