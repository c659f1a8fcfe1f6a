//! The report of a verification.

use maud::{Markup, html};
use serde_json::Value;

pub(crate) fn report(report: &Value) -> Markup {
    html! { pre tabindex="0" { (report.to_string()) } }
}
