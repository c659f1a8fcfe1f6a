//! An incident, from finding its dead letters to the last of them, with nothing but a browser.

use domain::OrderId;
use messaging::Record;
use messaging::dead_letter::{DeadLetterReason, DeadLetters};
use test_kit::{PrivateStack, World, eventually};

use crate::chromium::{Chromium, Screen};
use crate::site::Site;

/// The classes of the records, with their numbers.
const POISON: [(&str, usize); 3] = [("status-gap", 100), ("tombstone", 60), ("invalid-value", 40)];
const OVERSIZED: usize = 20;

/// Dead-letters the records, as status-consumer does.
async fn dead_letter(world: &World) {
    let topics = &world.topics;
    let letters =
        DeadLetters::new(&world.config(), &topics.delivery_events, &topics.status_group).unwrap();
    let classes = POISON.iter().flat_map(|(class, count)| std::iter::repeat_n(*class, *count));
    for (offset, class) in (0..).zip(classes) {
        let record = Record {
            topic: topics.delivery_events.clone(),
            partition: 0,
            offset,
            timestamp_ms: Some(1_700_000_000_000),
            key: Some(OrderId::generate().to_string().into_bytes()),
            value: Some(b"{}".to_vec()),
            headers: Vec::new(),
        };
        let message = "the record cannot be processed".to_owned();
        letters
            .store(&record, &DeadLetterReason { class, message, quotes_record: false })
            .await
            .unwrap();
    }
}

/// The operator at the screen.
struct Operator<'a> {
    browser: &'a Chromium,
    site: &'a Site,
    letters: String,
}

impl Operator<'_> {
    /// Opens the list of a class, and presses the button of the first step.
    async fn choose(&self, list: &str, class: &str, action: &str) {
        let browser = self.browser;
        browser.open(&self.site.url(&format!("{list}?class={class}"))).await;
        let form = format!("form:has(input[name=action][value={action}])");
        if action == "discard" {
            let reason = browser.find(&format!("{form} input[name=reason]")).await;
            reason.send_keys("written by a faulty release").await.unwrap();
        }
        browser.follow(&format!("{form} button")).await;
    }

    /// Confirms what the second step names, and waits for the end of the action.
    async fn confirm(&self, label: &str) {
        let button = self.browser.find("form:has(input[name=count]) button").await;
        assert_eq!(button.text().await.unwrap(), label);
        self.browser.follow("form:has(input[name=count]) button").await;
        eventually("the page shows the outcome", async || {
            let facts = self.browser.find("#action .facts").await.text().await.ok()?;
            (facts.contains("Ended")).then_some(())
        })
        .await;
    }

    /// How many records wait, and of which classes, as the page says.
    async fn waiting(&self) -> String {
        self.browser.open(&self.site.url(&self.letters)).await;
        self.browser.find("#letters").await.text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_a_browser_clears_all_dead_letters_with_kafka_away_in_between() {
    let stack = PrivateStack::start("test-console-incident");
    let site = Site::start_in(World::create_on(stack.addresses()).await);
    dead_letter(&site.world).await;
    site.add_dead_letters(OVERSIZED, "MessageSizeTooLarge (Broker: Message size too large)").await;
    let browser = site.browser(Screen::Light).await;

    // Finds and understands them.
    browser.open(&site.url("/dead-letters")).await;
    let letters = format!("/dead-letters/topics/{}", site.world.topics.delivery_events_dlq());
    browser.follow(&format!("a[href='{letters}']")).await;
    let operator = Operator { browser: &browser, site: &site, letters: letters.clone() };
    let waiting = operator.waiting().await;
    assert!(waiting.contains("200 wait."), "{waiting}");
    // The first step counts the classes, and changes nothing.
    operator.choose(&letters, "", "redrive").await;
    let counts = browser.text().await;
    for (class, count) in POISON {
        assert!(counts.contains(&format!("{class} {count} ")), "{counts}");
    }

    operator.choose(&letters, "status-gap", "redrive").await;
    operator.confirm("Redrive 100 records").await;

    // Kafka goes away between the two steps: nothing happens, and the page tells so.
    operator.choose(&letters, "tombstone", "discard").await;
    stack.stop("kafka");
    browser.follow("form:has(input[name=count]) button").await;
    let alert = browser.find("[role=alert]").await.text().await.unwrap();
    assert_eq!(browser.find("h1").await.text().await.unwrap(), "Nothing was changed", "{alert}");

    // The oversized events are in the database, which is there.
    operator.choose("/dead-letters", "", "discard").await;
    operator.confirm("Discard 20 events").await;

    stack.start_again("kafka");
    eventually("the page shows the records again", async || {
        operator.waiting().await.contains("100 wait.").then_some(())
    })
    .await;
    operator.choose(&letters, "tombstone", "discard").await;
    operator.confirm("Discard 60 records").await;
    operator.choose(&letters, "invalid-value", "redrive").await;
    operator.confirm("Redrive 40 records").await;
    assert!(operator.waiting().await.contains("0 wait."));

    browser.open(&site.url("/audit")).await;
    let audit = browser.find("#actions").await.text().await.unwrap();
    assert_eq!(audit.matches("carol").count(), 4, "{audit}");
}
