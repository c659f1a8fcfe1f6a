use std::collections::BTreeSet;

use service_kit::lifecycle::service::Service;
use test_kit::{GroupMember, Running, World, eventually, metrics};

use crate::recorder::{Choice, Recorder, group, produce, start};

fn named(instance: &'static str) -> Choice {
    Choice { instance: Some(instance), ..Choice::default() }
}

/// How often the members in this process received an assignment, or an empty one without a change.
async fn rebalances(port: u16, world: &World) -> u64 {
    let prefix =
        format!("consumer_rebalances_total{{topic=\"{}\"}} ", world.topics.delivery_events);
    let metrics = metrics(port).await;
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_within_the_session_timeout_moves_no_partition() {
    let world = World::create().await;
    let (group, recorder) = (group(&world), Recorder::default());
    let service = Service::bind("status-consumer", &world.config(), 0).unwrap();
    let port = service.management_port();
    let _management = Running::start(service);

    let stays = start(&world, &recorder, named("stays"));
    let before = group.until_settled(1).await;
    let stays_id = before.first().unwrap().id.clone();
    let restarts = start(&world, &recorder, named("restarts"));
    let before = group.until_settled(2).await;
    let of = |members: &BTreeSet<GroupMember>, stays: bool| {
        members.iter().find(|member| (member.id == stays_id) == stays).unwrap().clone()
    };
    let (mut orders, counted) = (produce(&world, 30).await, rebalances(port, &world).await);
    recorder.ledger.until_handled(&orders).await;

    restarts.stop().await;
    // The group keeps the stopped member until its session times out.
    assert_eq!(group.members().await, (true, before.clone()));
    orders.extend(produce(&world, 30).await);
    let restarts = start(&world, &recorder, named("restarts"));
    let after = eventually("the member is back", async || {
        let (stable, members) = group.members().await;
        assert!(stable, "the group was rebalanced");
        (members != before).then_some(members)
    })
    .await;
    assert_eq!(of(&after, true), of(&before, true));
    assert_ne!(of(&after, false).id, of(&before, false).id);
    assert_eq!(of(&after, false).partitions, of(&before, false).partitions);
    recorder.ledger.until_handled(&orders).await;
    recorder.ledger.assert_each_once(&orders);
    // Only its own start caused one.
    assert_eq!(rebalances(port, &world).await, counted + 1);
    for member in [stays, restarts] {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_instance_name_ends_the_old_member_while_it_waits() {
    let world = World::create().await;
    let (group, waiting, recorder) = (group(&world), Recorder::default(), Recorder::default());
    waiting.set_unavailable(true);
    let old = start(&world, &waiting, named("duplicate"));
    let orders = produce(&world, 10).await;
    eventually("the batch waits", async || (!waiting.calls().is_empty()).then_some(())).await;
    let new = start(&world, &recorder, named("duplicate"));
    eventually("the old member has ended", async || (!old.is_alive()).then_some(())).await;
    recorder.ledger.until_handled(&orders).await;
    group.until_all_is_committed().await;
    recorder.ledger.assert_each_once(&orders);
    drop(old);
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_instance_name_ends_the_old_member() {
    let world = World::create().await;
    let (group, recorder) = (group(&world), Recorder::default());
    let old = start(&world, &recorder, named("duplicate"));
    let before = group.until_settled(1).await;
    let new = start(&world, &recorder, named("duplicate"));
    eventually("the old member has ended", async || (!old.is_alive()).then_some(())).await;
    assert_ne!(group.until_settled(1).await, before);
    assert!(new.is_alive());
    drop(old);
    new.stop().await;
}
