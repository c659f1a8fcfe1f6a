//! `GET /topics`: the topics and their consumer groups.

mod records;

use actix_web::HttpResponse;
use maud::{Markup, html};
use operations::topics::TopicStatus;

pub(crate) use self::records::{download, list as browse, show};
use crate::live::View;
use crate::page::{number, table, text};
use crate::section::section;

pub(crate) async fn topics(view: View) -> HttpResponse {
    view.show("Topics", async |state| {
        let topics = state.topics.get().await;
        html! {
            h1 { "Topics" }
            (section("topics", "Topics of the system", &topics, |topics| list(topics)))
        }
    })
    .await
}

fn list(topics: &[TopicStatus]) -> Markup {
    let rows: Vec<Markup> = topics.iter().map(row).collect();
    let columns = [
        text("topic"),
        number("partitions"),
        number("replicas"),
        number("records"),
        text("read by"),
        number("unread"),
    ];
    table("Topics of the system", &columns, &rows)
}

fn row(topic: &TopicStatus) -> Markup {
    let groups = topic.groups.iter().map(|group| group.group.as_str()).collect::<Vec<_>>();
    let lag = topic.groups.iter().map(|group| group.lag).max();
    html! {
        tr {
            td { a href=(format!("/topics/{}", topic.topic)) { (topic.topic) } @if topic.partitions == 0 { " (missing)" } }
            td.number { (topic.partitions) }
            td.number { (topic.replicas) }
            td.number { (topic.records) }
            td { (groups.join(", ")) }
            td.number { @if let Some(lag) = lag { (lag) } @else { "-" } }
        }
    }
}
