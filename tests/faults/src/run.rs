//! A run of one row: start the system, inject faults under load, heal, drain, check.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use test_kit::Group;
use tokio::time::{Instant, sleep, sleep_until};

use crate::check::{Violation, check};
use crate::evidence::{Evidence, Poison};
use crate::fault::Findings;
use crate::journal::{Journal, Known, Request};
use crate::load::{Client, Followers, Load, Mixture, SUBJECTS};
use crate::rows::{Figure, Plan, Row};
use crate::system::{BACKGROUND, Fleet, Offsets, Testbed};

/// How long the system may take to drain before the checks find orders pending.
const DRAIN: Duration = Duration::from_mins(2);
/// How long followers of the feed and the health checks may take after that.
const SETTLING: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);
/// Requests of the final checks at the same time.
const CONCURRENCY: usize = 8;

/// What a run has found.
#[derive(Debug)]
pub struct Outcome {
    /// The schedule, as lines.
    pub schedule: Vec<String>,
    /// When the faults were healed, since the begin of the run.
    pub healed: Duration,
    /// How long the system took to drain after that; `None` if it did not in two minutes.
    pub drained: Option<Duration>,
    /// The notes of the faults.
    pub findings: Findings,
    /// Everything that the checks have read.
    pub evidence: Evidence,
    /// The violations of the invariants.
    pub violations: Vec<Violation>,
    /// How often background processes were killed.
    pub kills: usize,
    /// The figures of the row.
    pub figures: Vec<Figure>,
    /// The log of each process.
    pub logs: Vec<(String, String)>,
}

/// Runs a row once.
pub async fn run(testbed: Arc<Testbed>, row: &Row, seed: u64, seconds: u64, rate: u32) -> Outcome {
    let plan = Plan::of(row, seed, seconds);
    let mut fleet = Fleet::start(&testbed, plan.settings.clone()).await;
    let journal = Journal::begin();
    let mut findings = Findings::new(&journal);
    let followers = Followers::start(&fleet.url(), &journal);
    let mut mixture = Mixture::new(seed);
    if let Some(percent) = plan.cancels {
        mixture = mixture.with_cancels(percent);
    }
    let load = Load::begin(&fleet.url(), &journal, mixture, rate);
    let began = Instant::now();
    let offsets = plan.watches_offsets.then(|| Offsets::watch(&fleet));
    for step in &plan.steps {
        sleep_until(began + step.at).await;
        step.action.run(&mut fleet, &mut findings).await;
    }
    sleep_until(began + Duration::from_secs(seconds)).await;
    if let Some(offsets) = offsets {
        findings.note("offsets that went back", offsets.end().await);
    }
    fleet.heal().await;
    let healed = journal.now();
    load.settle().await;
    let drained =
        until_drained(&fleet, &findings.poison).await.then(|| journal.now().saturating_sub(healed));
    until_followed(&fleet, &journal).await;
    note_effects_of_a_replay(&fleet, &mut findings).await;
    let unhealthy = until_healthy(&mut fleet).await;
    ask_for_the_outcomes(&fleet.url(), &journal).await;
    followers.end().await;

    let mut evidence = Evidence::gather(&fleet.world, &journal, findings.poison.clone()).await;
    evidence.consumers_died = fleet.kills(&["delivery-service", "status-consumer"]) > 0;
    evidence.topics_were_cut = findings.topics_were_cut;
    let mut violations = check(&evidence);
    violations.extend(unhealthy.into_iter().map(|what| Violation {
        invariant: 8,
        order: None,
        what,
        history: Vec::new(),
    }));
    let mut outcome = Outcome {
        schedule: plan.steps.iter().map(ToString::to_string).collect(),
        healed,
        drained,
        findings,
        evidence,
        violations,
        kills: fleet.kills(&BACKGROUND),
        figures: Vec::new(),
        logs: fleet.logs(),
    };
    outcome.figures = (row.figures)(&outcome);
    outcome
}

/// After a replay: the steps of orders that were done before it, which must be none.
async fn note_effects_of_a_replay(fleet: &Fleet, findings: &mut Findings) {
    if findings.largest("orders that are replayed").is_none() {
        return;
    }
    let effects = "SELECT count(*) FROM sales.order_status_history h
        JOIN faults_done d ON d.id = h.order_id WHERE h.recorded_at > d.at";
    let effects = fleet.world.database.count(effects).await;
    findings.note("effects of the replay", f64::from(i32::try_from(effects).unwrap_or(i32::MAX)));
}

/// Waits until no order, event, request or record is pending. Returns whether that was in time.
pub async fn until_drained(fleet: &Fleet, poison: &[Poison]) -> bool {
    let deadline = Instant::now() + DRAIN;
    let refused = poison.iter().filter(|poison| matches!(poison, Poison::Event(_))).count();
    let pending = "SELECT
        (SELECT count(*) FROM sales.orders WHERE status NOT IN ('Delivered', 'Cancelled'))
        + (SELECT count(*) FROM sales.outbox_events)
        + (SELECT count(*) FROM delivery.shipments WHERE next_step_at IS NOT NULL)
        + (SELECT count(*) FROM sales.order_cancellations c JOIN sales.orders o ON o.id = c.order_id
           WHERE o.status <> 'Cancelled' AND c.refused_at IS NULL)";
    let world = &fleet.world;
    loop {
        let pending = world.database.count(pending).await;
        if usize::try_from(pending).is_ok_and(|pending| pending <= refused)
            && nothing_is_uncommitted(fleet).await
        {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        sleep(INTERVAL).await;
    }
}

async fn nothing_is_uncommitted(fleet: &Fleet) -> bool {
    let (stack, topics) = (&fleet.world.stack, &fleet.world.topics);
    for (group, topic) in [
        (&topics.delivery_group, &topics.order_events),
        (&topics.status_group, &topics.delivery_events),
    ] {
        let group = Group::new(stack, group, topic);
        let (ends, committed) = tokio::join!(group.ends(), group.committed());
        let is_behind = |(partition, end): (&i32, &i64)| {
            *end > 0 && committed.get(partition).is_none_or(|offset| offset < end)
        };
        if ends.iter().any(is_behind) {
            return false;
        }
    }
    true
}

/// Waits until the followers have received as many changes as there are, or some time has passed.
pub async fn until_followed(fleet: &Fleet, journal: &Journal) {
    let deadline = Instant::now() + SETTLING;
    let steps = "SELECT count(*) FROM sales.order_status_history";
    while Instant::now() < deadline {
        let steps = fleet.world.database.count(steps).await;
        if usize::try_from(steps).is_ok_and(|steps| journal.changes() >= steps) {
            return;
        }
        sleep(INTERVAL).await;
    }
}

/// Waits until every process is healthy. Returns those that are not in time.
async fn until_healthy(fleet: &mut Fleet) -> Vec<String> {
    let deadline = Instant::now() + SETTLING;
    loop {
        let unhealthy = fleet.unhealthy().await;
        if unhealthy.is_empty() || Instant::now() > deadline {
            return unhealthy;
        }
        sleep(INTERVAL).await;
    }
}

/// The clients replay each create, and read each order that they wanted to cancel.
pub async fn ask_for_the_outcomes(url: &str, journal: &Journal) {
    let client = Client::for_checks(url, journal);
    let requests = outcomes_to_ask_for(&journal.known());
    stream::iter(requests)
        .for_each_concurrent(CONCURRENCY, |(subject, request)| {
            let client = client.clone();
            async move { drop(client.send(subject, request).await) }
        })
        .await;
}

fn outcomes_to_ask_for(known: &Known) -> Vec<(&'static str, Request)> {
    let accepted = known.accepted();
    let mut requests = Vec::new();
    for subject in SUBJECTS {
        let mut asked = std::collections::BTreeSet::new();
        for entry in known.entries.iter().filter(|entry| entry.subject == subject) {
            let request = match &entry.request {
                Request::Create { key, .. } if entry.answer.status() == Some(201) => {
                    Some((key.clone(), entry.request.clone()))
                }
                Request::Cancel(order)
                    if accepted.get(order).is_some_and(|it| it.subject == subject) =>
                {
                    Some((order.to_string(), Request::Read(*order)))
                }
                _ => None,
            };
            if let Some((name, request)) = request
                && asked.insert(name)
            {
                requests.push((subject, request));
            }
        }
    }
    requests
}
