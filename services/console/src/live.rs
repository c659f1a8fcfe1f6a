//! Answers a page, or, if the client accepts `text/event-stream`, keeps it up to date: one address
//! serves both, as in the change feed of the API.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, RETRY_AFTER};
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use futures::stream::unfold;
use maud::{Markup, html};
use service_kit::close_connections::Stopping;
use service_kit::event_stream::{self, HEARTBEAT};
use tokio::time::{Instant, sleep, sleep_until};

use crate::operator::{Denied, Operator};
use crate::page;
use crate::state::{LivePage, State};

/// Pause between two reads of the content.
const PAUSE: Duration = Duration::from_secs(1);
/// The request for a page.
pub(crate) struct View {
    pub(crate) operator: Operator,
    pub(crate) state: Data<State>,
    path: String,
    is_live: bool,
    stopping: Data<Stopping>,
}

impl FromRequest for View {
    type Error = Denied;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Denied>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let operator = Operator::from_request(request, payload);
        let (Some(state), Some(stopping)) =
            (request.app_data::<Data<State>>().cloned(), request.app_data().cloned())
        else {
            unreachable!("the state of the app is registered");
        };
        let accept = request.headers().get_all(ACCEPT);
        let is_live = event_stream::is_accepted(accept.filter_map(|value| value.to_str().ok()));
        let path = request.path().to_owned();
        Box::pin(
            async move { Ok(Self { operator: operator.await?, state, path, is_live, stopping }) },
        )
    }
}

impl View {
    /// The page, with the content that `main` reads.
    pub(crate) async fn show<F>(
        self,
        title: &str,
        main: impl Fn(Data<State>) -> F + 'static,
    ) -> HttpResponse
    where
        F: Future<Output = Markup> + 'static,
    {
        let main = move |state| {
            // A page of many sections is a large future.
            let content = Box::pin(main(state));
            async { Some(content.await) }
        };
        self.show_if_exists(title, "", main).await
    }

    /// The page, with the content that `main` reads; a page with `missing`, if there is none.
    pub(crate) async fn show_if_exists<F>(
        self,
        title: &str,
        missing: &'static str,
        main: impl Fn(Data<State>) -> F + 'static,
    ) -> HttpResponse
    where
        F: Future<Output = Option<Markup>> + 'static,
    {
        if self.is_live {
            return self.updates(move |state| {
                let content = main(state);
                async move { content.await.unwrap_or_else(|| nothing(missing)) }
            });
        }
        let Some(content) = main(self.state.clone()).await else {
            return self.missing(title, missing);
        };
        let page = page::page(&self.operator, &self.path, title, &content, true);
        page::html_response(StatusCode::OK, &page)
    }

    /// A page that is not updated live.
    pub(crate) fn once(&self, status: StatusCode, title: &str, content: &Markup) -> HttpResponse {
        let page = page::page(&self.operator, &self.path, title, content, false);
        page::html_response(status, &page)
    }

    /// A page about something that does not exist.
    pub(crate) fn missing(&self, title: &str, what: &str) -> HttpResponse {
        let content = html! { h1 { (title) } (nothing(what)) };
        self.once(StatusCode::NOT_FOUND, title, &content)
    }

    /// A page about something that could not be read.
    pub(crate) fn unavailable(&self, title: &str, reason: &str) -> HttpResponse {
        let content =
            html! { h1 { (title) } p.failure role="alert" { "Not available: " (reason) } };
        self.once(StatusCode::SERVICE_UNAVAILABLE, title, &content)
    }

    fn updates<F>(self, main: impl Fn(Data<State>) -> F + 'static) -> HttpResponse
    where
        F: Future<Output = Markup> + 'static,
    {
        let Some(live_page) = self.state.live_pages.open(&self.operator.name) else {
            return HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "30")).finish();
        };
        let now = Instant::now();
        let updates = Updates {
            main,
            state: self.state,
            stopping: self.stopping,
            expires_at: now + self.operator.time_left,
            heartbeat_at: now + HEARTBEAT,
            shown: None,
            has_ended: false,
            _live_page: live_page,
        };
        let stream = unfold(updates, async |mut updates| {
            let event = updates.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(event)), updates))
        });
        event_stream::response().streaming(stream)
    }
}

/// The changes of one page.
struct Updates<M> {
    main: M,
    state: Data<State>,
    stopping: Data<Stopping>,
    expires_at: Instant,
    heartbeat_at: Instant,
    shown: Option<String>,
    has_ended: bool,
    _live_page: LivePage,
}

impl<M, F> Updates<M>
where
    M: Fn(Data<State>) -> F,
    F: Future<Output = Markup>,
{
    /// The next event. `None` after the last one.
    async fn next(&mut self) -> Option<String> {
        if self.has_ended {
            return None;
        }
        loop {
            // A read is not interrupted: a dropped one may leave a transaction behind.
            if self.shown.is_some() {
                tokio::select! {
                    () = self.stopping.0.cancelled() => {
                        self.has_ended = true;
                        // The browser connects again, to another instance or to the next one.
                        return Some("retry: 1000\n\n".to_owned());
                    }
                    () = sleep_until(self.expires_at) => {
                        self.has_ended = true;
                        return Some("event: end\ndata: the token has expired\n\n".to_owned());
                    }
                    () = sleep_until(self.heartbeat_at) => {
                        self.heartbeat_at = Instant::now() + HEARTBEAT;
                        return Some(": heartbeat\n\n".to_owned());
                    }
                    () = sleep(PAUSE) => {}
                }
            }
            let content = (self.main)(self.state.clone()).await.into_string();
            if self.shown.as_ref() != Some(&content) {
                let event = event(&content);
                self.shown = Some(content);
                return Some(event);
            }
        }
    }
}

/// An event whose data is the content, each line of it by itself. A carriage return would end a line
/// of the event too.
fn event(content: &str) -> String {
    let mut event = "event: page\n".to_owned();
    for line in content.replace('\r', "&#13;").split('\n') {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

/// A section without content.
pub(crate) fn nothing(what: &str) -> Markup {
    html! { p.empty { (what) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_each_line_of_the_content() {
        assert_eq!(event("<p>a\nb</p>"), "event: page\ndata: <p>a\ndata: b</p>\n\n");
        assert_eq!(event("a\rb"), "event: page\ndata: a&#13;b\n\n");
    }
}
