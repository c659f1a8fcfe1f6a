//! The console and its operators.

use console::build;
use domain::OrderId;
use serde_json::json;
use test_kit::{
    Running, World, bearer_with, outbox_event, put_into_dead_letters, seconds_from_now,
};

use crate::chromium::{Chromium, Screen};

/// A console with a world of its own.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) world: World,
    console: Running,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_in(World::create().await)
    }

    pub(crate) fn start_in(mut world: World) -> Self {
        // The browser speaks http to it.
        world.set("SECURE_COOKIES", "off");
        let console = world.start(build);
        Self { world, console }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.console.url())
    }

    /// A browser in which carol is signed in, at the page to which the sign-in leads.
    pub(crate) async fn browser(&self, screen: Screen) -> Chromium {
        let browser = Chromium::start(screen).await;
        browser.open(&self.url("/sign-in")).await;
        sign_in(&browser, &operator_token(3600)).await;
        browser.find("nav").await;
        browser
    }

    /// Adds dead letters to the outbox. No relay may run.
    pub(crate) async fn add_dead_letters(&self, count: usize, reason: &str) {
        let event = |number: usize| {
            let payload =
                json!({ "customerId": format!("customer-{number}"), "note": "<b>bold</b>" });
            outbox_event(&self.world, OrderId::generate(), &payload.to_string())
        };
        let events: Vec<_> = (0..count).map(event).collect();
        put_into_dead_letters(&self.world, &events, reason).await;
    }
}

/// A token of the operator carol that is valid for this time. The services accept a token for 30
/// seconds longer.
pub(crate) fn operator_token(seconds: i64) -> String {
    let claims = json!({ "sub": "carol", "role": "operator", "exp": seconds_from_now(seconds) });
    bearer_with(&claims).trim_start_matches("Bearer ").to_owned()
}

/// Fills in the form of the sign-in, and sends it.
pub(crate) async fn sign_in(browser: &Chromium, token: &str) {
    browser.find("textarea[name=token]").await.send_keys(token).await.unwrap();
    browser.follow("form[data-sign-in] button").await;
}
