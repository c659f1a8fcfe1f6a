//! A short run without faults on the stack of the tests, with one poison record.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fault_suite::check::check;
use fault_suite::evidence::Evidence;
use fault_suite::fault::{Action, Findings, Topic};
use fault_suite::journal::Journal;
use fault_suite::load::{Followers, Load, Mixture};
use fault_suite::run::{ask_for_the_outcomes, until_drained, until_followed};
use fault_suite::system::{Fleet, Settings, Testbed};
use test_kit::{eventually, program};
use tokio::sync::OnceCell;

const PER_SECOND: u32 = 20;
const ORDERS: usize = 60;

/// The evidence of one run, which all tests share.
pub(crate) async fn evidence() -> Evidence {
    static EVIDENCE: OnceCell<Evidence> = OnceCell::const_new();
    EVIDENCE.get_or_init(run).await.clone()
}

/// A system of two processes of each service.
pub(crate) async fn fleet() -> Fleet {
    let salesctl = program("salesctl");
    let binaries = Path::new(salesctl.get_program()).parent().unwrap().to_owned();
    Fleet::start(&Arc::new(Testbed::of_tests(binaries)), Settings::default()).await
}

async fn run() -> Evidence {
    let mut fleet = fleet().await;
    let journal = Journal::begin();
    let followers = Followers::start(&fleet.url(), &journal);
    let mixture = Mixture::new(1).with_cancels(20);
    let load = Load::begin(&fleet.url(), &journal, mixture, PER_SECOND);
    eventually("orders are accepted", async || {
        (journal.known().accepted().len() >= ORDERS).then_some(())
    })
    .await;
    let mut findings = Findings::new(&journal);
    Action::Poison(Topic::Deliveries, 1).run(&mut fleet, &mut findings).await;
    load.settle().await;
    assert!(until_drained(&fleet, &findings.poison).await);
    until_followed(&fleet, &journal).await;
    ask_for_the_outcomes(&fleet.url(), &journal).await;
    followers.end().await;
    let evidence = Evidence::gather(&fleet.world, &journal, findings.poison).await;
    assert_eq!(check(&evidence), []);
    evidence
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_faults_violates_nothing() {
    let evidence = evidence().await;
    assert!(evidence.clients.accepted().len() >= ORDERS);
    let late = Duration::from_secs(u64::MAX);
    assert!(evidence.clients.creates(Duration::ZERO, late).count() >= ORDERS);
    assert_eq!(evidence.poison.len(), 1);
    for status in ["Delivered", "Cancelled"] {
        assert!(evidence.database.orders.iter().any(|order| order.status == status), "{status}");
    }
}
