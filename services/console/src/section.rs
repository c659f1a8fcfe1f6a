//! A section of a page. If its content cannot be read, it has the reason, and the rest of the page
//! works.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use maud::{Markup, html};
use service_kit::Chain;
use tokio::time::timeout;

/// Maximum time to read the content of a section.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The content of a section, or why it could not be read.
pub(crate) type Loaded<T> = Result<T, String>;

/// Reads the content of a section. A failure is logged.
pub(crate) async fn load<T, E: Error + 'static>(
    read: impl Future<Output = Result<T, E>>,
) -> Loaded<T> {
    let failure = match timeout(MAX_WAIT, read).await {
        Ok(Ok(content)) => return Ok(content),
        Ok(Err(error)) => Chain(&error).to_string(),
        Err(_) => format!("there was no response within {} s", MAX_WAIT.as_secs()),
    };
    tracing::warn!(error = failure, "section not available");
    Err(failure)
}

/// A section with a heading, which live updates replace.
pub(crate) fn section<T>(
    id: &str,
    heading: &str,
    loaded: &Loaded<T>,
    show: impl FnOnce(&T) -> Markup,
) -> Markup {
    html! {
        section id=(id) {
            h2 { (heading) }
            @match loaded {
                Ok(content) => (show(content)),
                Err(reason) => p.failure { "Not available: " (reason) },
            }
        }
    }
}
