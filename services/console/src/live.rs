//! Answers a page, or, if the client accepts `text/event-stream`, keeps it up to date: one address
//! serves both, as in the change feed of the API.

use std::future::Future;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, RETRY_AFTER};
use actix_web::rt::time::{Interval, interval};
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload};
use chrono::Utc;
use futures::stream::unfold;
use maud::{Markup, html};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::operator::{Denied, Operator};
use crate::page;
use crate::state::State;

/// Interval between two looks at what a page shows.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of looks without a change after which a comment shows that the connection is alive.
const QUIET_LOOKS: u32 = 15;

/// When the service begins to stop.
#[derive(Clone)]
pub(crate) struct Stop(pub(crate) CancellationToken);

/// The request for a page.
pub(crate) struct View {
    pub(crate) operator: Operator,
    pub(crate) state: Data<State>,
    path: String,
    is_live: bool,
    stop: Stop,
}

impl FromRequest for View {
    type Error = Denied;
    type Future = std::future::Ready<Result<Self, Denied>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let operator = Operator::from_request(request, payload).into_inner();
        let (Some(state), Some(stop)) =
            (request.app_data::<Data<State>>(), request.app_data::<Stop>())
        else {
            unreachable!("the state of the app is registered");
        };
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        std::future::ready(operator.map(|operator| Self {
            operator,
            state: state.clone(),
            path: request.path().to_owned(),
            is_live: accept.is_some_and(|accept| accept.starts_with("text/event-stream")),
            stop: stop.clone(),
        }))
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
        if self.is_live {
            return self.updates(main);
        }
        let content = main(self.state.clone()).await;
        let page = page::page(&self.operator, &self.path, title, &content, true);
        page::html_response(StatusCode::OK, &page)
    }

    /// A page that is not updated live.
    pub(crate) fn once(&self, status: StatusCode, title: &str, content: &Markup) -> HttpResponse {
        let page = page::page(&self.operator, &self.path, title, content, false);
        page::html_response(status, &page)
    }

    fn updates<F>(self, main: impl Fn(Data<State>) -> F + 'static) -> HttpResponse
    where
        F: Future<Output = Markup> + 'static,
    {
        let Ok(permit) = self.state.live_pages.clone().try_acquire_owned() else {
            return HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, "30")).finish();
        };
        let updates = Updates {
            main,
            state: self.state,
            stop: self.stop,
            expires_at: self.operator.expires_at,
            ticks: interval(INTERVAL),
            shown: None,
            quiet_looks: 0,
            has_ended: false,
            _permit: permit,
        };
        let stream = unfold(updates, async |mut updates| {
            let event = updates.next().await?;
            Some((Ok::<_, actix_web::Error>(Bytes::from(event)), updates))
        });
        HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((CACHE_CONTROL, "no-store"))
            .streaming(stream)
    }
}

/// The changes of one page.
struct Updates<M> {
    main: M,
    state: Data<State>,
    stop: Stop,
    expires_at: u64,
    ticks: Interval,
    shown: Option<String>,
    quiet_looks: u32,
    has_ended: bool,
    _permit: OwnedSemaphorePermit,
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
            tokio::select! {
                () = self.stop.0.cancelled() => {
                    self.has_ended = true;
                    // The browser connects again, to another instance or to the next one.
                    return Some("retry: 1000\n\n".to_owned());
                }
                _ = self.ticks.tick() => {}
            }
            if u64::try_from(Utc::now().timestamp()).is_ok_and(|now| now > self.expires_at) {
                self.has_ended = true;
                return Some("event: end\ndata: the token has expired\n\n".to_owned());
            }
            let content = (self.main)(self.state.clone()).await.into_string();
            if self.shown.as_ref() != Some(&content) {
                let event = event(&content);
                (self.shown, self.quiet_looks) = (Some(content), 0);
                return Some(event);
            }
            self.quiet_looks += 1;
            if self.quiet_looks >= QUIET_LOOKS {
                self.quiet_looks = 0;
                return Some(": nothing has changed\n\n".to_owned());
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

/// What is shown where something does not exist.
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
