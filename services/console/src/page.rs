//! The frame of every page, and what pages have in common.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, html};

use crate::assets;
use crate::operator::Operator;

/// The pages of the navigation.
const PAGES: [(&str, &str); 7] = [
    ("/", "Overview"),
    ("/orders", "Orders"),
    ("/dead-letters", "Dead letters"),
    ("/shipments", "Shipments"),
    ("/topics", "Topics"),
    ("/verify", "Verify"),
    ("/audit", "Audit"),
];

/// A page with the navigation. `main` is what the script updates, if the page is live.
pub(crate) fn page(
    operator: &Operator,
    path: &str,
    title: &str,
    main: &Markup,
    is_live: bool,
) -> Markup {
    let is_here = |page: &str| path == page || (page != "/" && path.starts_with(page));
    frame(
        title,
        &html! {
            header {
                strong { "Sales console" }
                nav aria-label="Pages" {
                    ul {
                        @for (page, name) in PAGES {
                            li {
                                a href=(page) aria-current=[is_here(page).then_some("page")] { (name) }
                            }
                        }
                    }
                }
                form.sign-out method="post" action="/sign-out" {
                    (form_token(operator))
                    span { (operator.name) }
                    button { "Sign out" }
                }
            }
            main id="main" data-live[is_live] { (main) }
            p.live id="live" role="status" {}
        },
    )
}

/// A page without the navigation.
pub(crate) fn message(status: StatusCode, title: &str, content: &Markup) -> HttpResponse {
    let page = frame(title, &html! { main id="main" { h1 { (title) } (content) } });
    html_response(status, &page)
}

/// The response with a page.
pub(crate) fn html_response(status: StatusCode, page: &Markup) -> HttpResponse {
    HttpResponse::build(status).content_type("text/html; charset=utf-8").body(page.0.clone())
}

/// The field of a form that shows that it is one of our pages.
pub(crate) fn form_token(operator: &Operator) -> Markup {
    html! { input type="hidden" name="formToken" value=(operator.form_token); }
}

fn frame(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - Sales console" }
                link rel="icon" href=(assets::ICON.url());
                link rel="stylesheet" href=(assets::STYLE.url());
                script src=(assets::SCRIPT.url()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (content)
            }
        }
    }
}

/// A time. The script shows it in the browser's time zone, and UTC on hover.
pub(crate) fn time(at: DateTime<Utc>) -> Markup {
    let machine = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let utc = at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(machine) title=(utc) { (utc) } }
}

/// The time of a record, or a dash.
pub(crate) fn time_of_record(timestamp_ms: Option<i64>) -> Markup {
    let at = timestamp_ms.and_then(DateTime::from_timestamp_millis);
    at.map_or_else(|| html! { "-" }, time)
}

/// A duration in seconds, or a dash.
pub(crate) fn seconds(seconds: Option<f64>) -> Markup {
    html! { (seconds.map_or_else(|| "-".to_owned(), duration)) }
}

/// A duration in seconds as text.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

/// A table, which scrolls by itself if the screen is narrow.
pub(crate) fn table(caption: &str, columns: &[Column], rows: &[Markup]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                thead {
                    tr {
                        @for column in columns {
                            th.number[column.is_number] scope="col" { (column.name) }
                        }
                    }
                }
                tbody { @for row in rows { (row) } }
            }
        }
    }
}

/// A column of a table.
pub(crate) struct Column {
    name: &'static str,
    is_number: bool,
}

/// A column of text.
pub(crate) const fn text(name: &'static str) -> Column {
    Column { name, is_number: false }
}

/// A column of numbers.
pub(crate) const fn number(name: &'static str) -> Column {
    Column { name, is_number: true }
}
