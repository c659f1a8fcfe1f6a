//! A section of a page. If what it shows cannot be read, it says so, and the rest of the page works.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use maud::{Markup, html};
use service_kit::Chain;
use tokio::time::timeout;

/// Maximum time to read what a section shows.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// What a section shows, or why it could not be read.
pub(crate) type Loaded<T> = Result<T, String>;

/// Reads what a section shows.
pub(crate) async fn load<T, E: Error + 'static>(
    read: impl Future<Output = Result<T, E>>,
) -> Loaded<T> {
    match timeout(MAX_WAIT, read).await {
        Ok(result) => result.map_err(|error| Chain(&error).to_string()),
        Err(_) => Err(format!("there was no response within {} s", MAX_WAIT.as_secs())),
    }
}

/// A section with a heading.
pub(crate) fn section<T>(
    heading: &str,
    loaded: &Loaded<T>,
    show: impl FnOnce(&T) -> Markup,
) -> Markup {
    html! {
        section {
            h2 { (heading) }
            @match loaded {
                Ok(shown) => (show(shown)),
                Err(reason) => p.failure role="alert" { "Not available: " (reason) },
            }
        }
    }
}
