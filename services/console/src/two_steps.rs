//! An action in two steps: the first counts, and its page asks for a confirmation; the second acts.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use operations::OperationError;
use service_kit::Chain;
use uuid::Uuid;

use crate::live::View;
use crate::page::form_token;

/// The forms of an action: their path, and the page that an operator returns to.
#[derive(Clone, Copy)]
pub(crate) struct Forms<'a> {
    pub(crate) path: &'a str,
    pub(crate) back: &'a str,
}

/// What the operator confirms.
pub(crate) struct Confirmation {
    /// The fields that the second step repeats.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// What was counted.
    pub(crate) content: Markup,
    /// The text of the button; without it, there is nothing to confirm.
    pub(crate) button: Option<String>,
}

impl Forms<'_> {
    /// A response that nothing was changed.
    pub(crate) fn refuse(self, view: &View, status: StatusCode, reason: &str) -> HttpResponse {
        let content = html! {
            h1 { "Nothing was changed" }
            p.failure role="alert" { (reason) }
            p { a href=(self.back) { "Back" } }
        };
        view.once(status, "Nothing was changed", &content)
    }

    /// The response to a form that is not of this operator's own pages.
    pub(crate) fn refuse_foreign(
        self,
        view: &View,
        request: &HttpRequest,
        token: &str,
    ) -> Option<HttpResponse> {
        let wrong = "The form was out of date. Reload the page, and try again.";
        (!view.operator.sent(request, token))
            .then(|| self.refuse(view, StatusCode::FORBIDDEN, wrong))
    }

    /// The response to a failure.
    pub(crate) fn failed(self, view: &View, error: &OperationError) -> HttpResponse {
        let status = match error {
            OperationError::Busy(_) | OperationError::NotWaiting { .. } => StatusCode::CONFLICT,
            OperationError::UnknownClass { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        self.refuse(view, status, &format!("{}.", capitalized(&Chain(error).to_string())))
    }

    /// The page of the first step.
    pub(crate) fn confirm(self, view: &View, confirmation: &Confirmation) -> HttpResponse {
        let Confirmation { fields, content, button } = confirmation;
        let content = html! {
            h1 { "Confirm" }
            section {
                (content)
                form.actions method="post" action=(self.path) {
                    (form_token(&view.operator))
                    @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                    // Sent twice, the form starts one action.
                    input type="hidden" name="request" value=(Uuid::new_v4());
                    @if let Some(button) = button { button { (button) } }
                    a href=(self.back) { "Back" }
                }
            }
        };
        view.once(StatusCode::OK, "Confirm", &content)
    }

    /// The response to the second step: the page of the action.
    pub(crate) fn started(self, view: &View, started: Result<i64, OperationError>) -> HttpResponse {
        match started {
            Ok(id) => HttpResponse::SeeOther()
                .insert_header((LOCATION, format!("/actions/{id}")))
                .finish(),
            Err(error) => self.failed(view, &error),
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// A number of things, such as `1 event`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
