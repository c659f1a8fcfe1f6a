use std::collections::HashSet;

use contracts::message::Origin;
use diesel::sql_query;
use domain::{Currency, OrderId, Owner};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use test_kit::{World, order_draft};

// No glob import: the query builder's traits have methods with the same names as the test's database.
use super::{ClosedChanges, Page, WINDOW, page};
use crate::orders::{NewOrder, insert_batch};
use crate::statement::plan_by_index;
use crate::{Connection, Database, PooledConnection};

const WRITERS: usize = 4;
const OWNERS: [&str; 2] = ["alice", "bob"];

#[derive(Clone, Debug)]
enum Action {
    Begin { writer: usize },
    Insert { writer: usize, owner: usize },
    Commit { writer: usize },
    RollBack { writer: usize },
    Read { limit: u16 },
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        3 => (0..WRITERS).prop_map(|writer| Action::Begin { writer }),
        6 => (0..WRITERS, 0..OWNERS.len()).prop_map(|(writer, owner)| Action::Insert { writer, owner }),
        3 => (0..WRITERS).prop_map(|writer| Action::Commit { writer }),
        1 => (0..WRITERS).prop_map(|writer| Action::RollBack { writer }),
        4 => (1_u16..4).prop_map(|limit| Action::Read { limit }),
    ];
    vec(action, 1..80)
}

fn owner(name: &str) -> Owner {
    name.to_owned().try_into().unwrap()
}

/// Inserts an order, whose acceptance is its first change.
async fn place(connection: &mut Connection, name: &str) -> OrderId {
    let key = OrderId::generate().to_string().try_into().unwrap();
    let order =
        NewOrder::new(owner(name), key, order_draft(), Currency::EUR, Origin::new("/test", "test"));
    insert_batch(connection, &[&order]).await.unwrap();
    order.id
}

async fn run(connection: &mut Connection, sql: &str) {
    diesel_async::RunQueryDsl::execute(sql_query(sql), connection).await.unwrap();
}

/// A client that follows the feed of one owner, or the whole feed.
#[derive(Default)]
struct Follower {
    owner: Option<Owner>,
    after: i64,
    seen: Vec<OrderId>,
}

impl Follower {
    async fn read(&mut self, connection: &mut Connection, closed: i64, limit: u16) {
        let page = page(connection, self.owner.as_ref(), self.after, closed, limit).await.unwrap();
        assert!(page.next >= self.after && page.changes.len() <= usize::from(limit));
        self.after = page.next;
        self.seen.extend(page.changes.iter().map(|change| change.order_id));
    }
}

struct Fixture {
    _world: World,
    writers: Vec<PooledConnection>,
    reader: PooledConnection,
}

impl Fixture {
    async fn create() -> Self {
        let world = World::create().await;
        let connect = async || {
            let database = Database::by_index("test", &world.config());
            database.connection().await.unwrap()
        };
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(connect().await);
        }
        let reader = connect().await;
        Self { _world: world, writers, reader }
    }

    async fn check(&mut self, actions: &[Action]) -> Result<(), TestCaseError> {
        let mut closed = ClosedChanges::default();
        let after = closed.advance(&mut self.reader).await.unwrap().next - 1;
        let mut all = Follower { after, ..Follower::default() };
        let mut bobs = Follower { owner: Some(owner("bob")), after, ..Follower::default() };
        // The orders of each open transaction, and those that were committed.
        let mut open: [Option<Vec<(OrderId, usize)>>; WRITERS] = Default::default();
        let mut committed = Vec::new();
        for action in actions {
            match *action {
                Action::Begin { writer } => {
                    if open[writer].is_none() {
                        run(&mut self.writers[writer], "BEGIN").await;
                        open[writer] = Some(Vec::new());
                    }
                }
                Action::Insert { writer, owner } => {
                    let order = place(&mut self.writers[writer], OWNERS[owner]).await;
                    open[writer].as_mut().unwrap_or(&mut committed).push((order, owner));
                }
                Action::Commit { writer } => {
                    if let Some(orders) = open[writer].take() {
                        run(&mut self.writers[writer], "COMMIT").await;
                        committed.extend(orders);
                    }
                }
                Action::RollBack { writer } => {
                    if open[writer].take().is_some() {
                        run(&mut self.writers[writer], "ROLLBACK").await;
                    }
                }
                Action::Read { limit } => {
                    let closed = closed.advance(&mut self.reader).await.unwrap().closed;
                    all.read(&mut self.reader, closed, limit).await;
                    bobs.read(&mut self.reader, closed, limit).await;
                }
            }
        }
        for (writer, orders) in self.writers.iter_mut().zip(open) {
            if let Some(orders) = orders {
                run(writer, "COMMIT").await;
                committed.extend(orders);
            }
        }
        let end = closed.advance(&mut self.reader).await.unwrap();
        prop_assert_eq!(end.closed, end.next);
        for follower in [&mut all, &mut bobs] {
            while follower.after < end.closed - 1 {
                follower.read(&mut self.reader, end.closed, 3).await;
            }
        }
        let unique: HashSet<OrderId> = all.seen.iter().copied().collect();
        prop_assert_eq!(unique.len(), all.seen.len(), "a change was seen twice");
        let expected: HashSet<OrderId> = committed.iter().map(|(order, _)| *order).collect();
        prop_assert_eq!(unique, expected);
        let of_bob = committed.iter().filter(|(_, owner)| OWNERS[*owner] == "bob");
        let of_bob: HashSet<OrderId> = of_bob.map(|(order, _)| *order).collect();
        prop_assert_eq!(bobs.seen.len(), of_bob.len());
        prop_assert_eq!(bobs.seen.into_iter().collect::<HashSet<_>>(), of_bob);
        Ok(())
    }
}

#[test]
fn a_follower_sees_every_change_once_whatever_the_order_of_the_commits() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = tokio::sync::Mutex::new(runtime.block_on(Fixture::create()));
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&actions(), |actions| {
        runtime.block_on(async {
            let mut fixture = fixture.lock().await;
            let result = fixture.check(&actions).await;
            // A failed schedule leaves transactions open.
            for connection in &mut fixture.writers {
                run(connection, "ROLLBACK").await;
            }
            result
        })
    });
    checked.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_transactions_that_write_the_history_hold_the_feed_back() {
    let mut fixture = Fixture::create().await;
    // Has written, but no change.
    run(&mut fixture.writers[0], "BEGIN").await;
    run(&mut fixture.writers[0], "CREATE TABLE elsewhere ()").await;
    let mut closed = ClosedChanges::default();
    place(&mut fixture.writers[1], "alice").await;
    let now = closed.advance(&mut fixture.reader).await.unwrap();
    assert_eq!(now.closed, now.next);
    run(&mut fixture.writers[2], "BEGIN").await;
    place(&mut fixture.writers[2], "alice").await;
    let held = closed.advance(&mut fixture.reader).await.unwrap();
    assert!(held.closed < held.next, "{held:?}");
    run(&mut fixture.writers[2], "COMMIT").await;
    let now = closed.advance(&mut fixture.reader).await.unwrap();
    assert_eq!(now.closed, now.next);
}

#[tokio::test]
async fn a_page_of_the_feed_uses_the_index_with_a_plan_for_empty_tables() {
    let world = World::create().await;
    world.database.execute("VACUUM ANALYZE sales.orders, sales.order_status_history").await;
    let page = Page { owner: &None, after: &0, closed: &1, window: &WINDOW, limit: &20 };
    let plan = plan_by_index(&world, &page).await;
    for index in ["order_changes on", "orders_pkey on"] {
        assert!(plan.contains(&format!("Index Scan using {index}")), "{plan}");
    }
    assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
}
