//! Actions that run: all operators see them, and can stop them.

use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{World, eventually, outbox_event, put_into_dead_letters};

use crate::browser::Browser;

/// Starts a redrive of 2,000 events whose third batch waits.
async fn start(world: &World, browser: &Browser) -> (String, test_kit::OpenTransaction) {
    let event = |number: usize| outbox_event(world, OrderId::generate(), &number.to_string());
    let events: Vec<_> = (0..2_000).map(event).collect();
    put_into_dead_letters(world, &events, "too large").await;
    let row = "SELECT FROM sales.outbox_dead_letters WHERE id = 1200 FOR UPDATE";
    let held = world.database.begin(row).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let first = [("formToken", token.as_str()), ("action", "redrive"), ("scope", "filter")];
    let page = browser.post("/dead-letters", &first).await;
    let action = browser.confirm(&page).await.location().to_owned();
    world.database.until_a_statement_waits_for_a_lock().await;
    (action, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_shows_its_progress_to_all_and_another_operator_stops_it() {
    let world = World::create().await;
    let [carol, dave] =
        [Browser::signed_in_as(&world, "carol").await, Browser::signed_in_as(&world, "dave").await];
    let (action, held) = start(&world, &carol).await;
    for path in [action.as_str(), "/dead-letters", "/audit"] {
        eventually(path, async || {
            let page = dave.get(path).await.body;
            let is_shown = page.contains("1000 of 2000") && page.contains("carol");
            is_shown.then_some(())
        })
        .await;
    }
    let stop = format!("{action}/stop");
    let guessed = dave.post(&stop, &[("formToken", "guessed")]).await;
    assert_eq!(guessed.status, StatusCode::FORBIDDEN);
    let token = dave.get(&action).await.field("formToken");
    let form = [("formToken", token.as_str())];
    assert_eq!(dave.post(&stop, &form).await.location(), action);
    assert_eq!(dave.post(&stop, &form).await.status, StatusCode::CONFLICT);
    eventually("it is being stopped", async || {
        let page = carol.get(&action).await.body;
        page.contains("Is being stopped by dave").then_some(())
    })
    .await;
    // The action has read the request with its next report.
    let read = "SELECT count(*) FROM sales.operator_actions a, sales.operator_actions s
        WHERE a.stop_requested_by = 'dave' AND s.outcome = 'it was asked to stop' AND a.reported_at > s.finished_at";
    world.database.until_count("it was read", read, 1).await;
    held.commit().await;
    eventually("it has stopped", async || {
        let page = carol.get(&action).await.body;
        page.contains("stopped by dave: 1500 events were redriven").then_some(())
    })
    .await;
    let audit = carol.get("/audit?subject=dave").await.body;
    assert!(audit.contains("stop action") && audit.contains("it was asked to stop"), "{audit}");
    assert_eq!(carol.get("/actions/99").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_without_reports_is_shown_as_interrupted() {
    let world = World::create().await;
    let browser = Browser::signed_in(&world).await;
    let interrupted =
        "INSERT INTO sales.operator_actions (subject, action, parameters, done, total, reported_at)
        VALUES ('<b>carol', 'repair', '{}', 17, 20, now() - interval '1 minute')";
    world.database.execute(interrupted).await;
    for path in ["/actions/1", "/audit"] {
        let page = browser.get(path).await.body;
        assert!(page.contains("it was interrupted at 17 of 20"), "{page}");
        assert!(page.contains("&lt;b&gt;carol") && !page.contains("<b>carol"), "{page}");
    }
    assert!(browser.get("/dead-letters").await.body.contains("No action is running."));
}
