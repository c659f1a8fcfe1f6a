//! The model is the scan from the beginning: a scan from the starts has to find the same rows,
//! whatever transactions insert, commit and roll back meanwhile, in whatever order.

mod stored_starts;

use std::time::Duration;

use diesel::sql_query;
use domain::OrderId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use test_kit::{World, outbox_event};
use uuid::Uuid;

use super::*;
use crate::outbox::{self, OutboxRow};
use crate::shards::{HeldShard, share};
use crate::shipments::{self, DueShipment, EventDone, NewShipment};
use crate::{Database, PooledConnection};

const WRITERS: usize = 4;

#[derive(Clone, Debug)]
enum Action {
    Begin {
        writer: usize,
    },
    Insert {
        writer: usize,
    },
    Commit {
        writer: usize,
    },
    RollBack {
        writer: usize,
    },
    Advance,
    Store,
    /// Another reader takes over.
    Restart,
    Publish {
        most_per_shard: i64,
    },
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        3 => (0..WRITERS).prop_map(|writer| Action::Begin { writer }),
        6 => (0..WRITERS).prop_map(|writer| Action::Insert { writer }),
        3 => (0..WRITERS).prop_map(|writer| Action::Commit { writer }),
        1 => (0..WRITERS).prop_map(|writer| Action::RollBack { writer }),
        3 => Just(Action::Advance),
        2 => Just(Action::Store),
        1 => Just(Action::Restart),
        2 => (1_i64..4).prop_map(|most_per_shard| Action::Publish { most_per_shard }),
    ];
    vec(action, 1..80)
}

/// The rows of a queue, as a writer and as the holder of its shards.
trait Rows {
    type Row: PartialEq + std::fmt::Debug;
    const QUEUE: QueueName;
    const TABLE: &'static str;
    /// Steps of one row until it is gone.
    const STEPS: usize;
    async fn insert(world: &World, writer: &mut Connection);
    async fn claim(reader: &mut Connection, starts: &[ShardStart], most: i64) -> Vec<Self::Row>;
    async fn publish(reader: &mut Connection, held: &[HeldShard], rows: Vec<Self::Row>) -> usize;
}

struct Outbox;

impl Rows for Outbox {
    type Row = OutboxRow;
    const QUEUE: QueueName = QueueName::Outbox;
    const TABLE: &'static str = "sales.outbox_events";
    const STEPS: usize = 1;

    async fn insert(world: &World, writer: &mut Connection) {
        let event = outbox_event(world, OrderId::generate(), "{}");
        outbox::enqueue(writer, &[event]).await.unwrap();
    }

    async fn claim(reader: &mut Connection, starts: &[ShardStart], most: i64) -> Vec<OutboxRow> {
        outbox::claim(reader, starts, &[], most).await.unwrap().rows
    }

    async fn publish(reader: &mut Connection, held: &[HeldShard], rows: Vec<OutboxRow>) -> usize {
        let rows: Vec<_> = rows.into_iter().map(|row| (held[index(row.shard)], row)).collect();
        outbox::delete_published(reader, &rows).await.unwrap()
    }
}

struct Shipments;

impl Rows for Shipments {
    type Row = DueShipment;
    const QUEUE: QueueName = QueueName::Shipments;
    const TABLE: &'static str = "delivery.shipments";
    const STEPS: usize = 2;

    async fn insert(_: &World, writer: &mut Connection) {
        let shipment = NewShipment {
            order_id: OrderId::generate(),
            delay: Duration::ZERO,
            correlation_id: None,
            trace: None,
        };
        shipments::insert(writer, &[shipment]).await.unwrap();
    }

    async fn claim(reader: &mut Connection, starts: &[ShardStart], most: i64) -> Vec<DueShipment> {
        shipments::claim(reader, starts, &[], most).await.unwrap().rows
    }

    async fn publish(reader: &mut Connection, held: &[HeldShard], rows: Vec<DueShipment>) -> usize {
        let done = |row: DueShipment| EventDone {
            held: held[index(row.shard)],
            order_id: row.order_id,
            event: row.event,
            at: row.due_at,
            delay: Duration::ZERO,
        };
        let done: Vec<EventDone> = rows.into_iter().map(done).collect();
        shipments::mark_done(reader, &done).await.unwrap()
    }
}

/// The connections of a test.
struct Fixture {
    world: World,
    writers: Vec<PooledConnection>,
    reader: PooledConnection,
    held: Vec<HeldShard>,
    all: Vec<i16>,
}

impl Fixture {
    async fn create(queue: QueueName) -> Self {
        let world = World::create().await;
        let connect = async || {
            let database = Database::by_index("test", &world.config());
            database.connection().await.unwrap()
        };
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(connect().await);
        }
        let mut reader = connect().await;
        let mut held = share(&mut reader, queue, Uuid::new_v4(), 600_000, None).await.unwrap();
        held.sort_by_key(|held| held.shard);
        Self { world, writers, reader, held, all: Shards::ALL.iter().collect() }
    }

    /// Whether a scan from the starts finds the rows that a scan from the beginning finds. Both see
    /// the same snapshot at the same time.
    async fn compare<R: Rows>(&mut self, starts: &ScanStarts) -> Result<(), TestCaseError> {
        let reader = &mut self.reader;
        run(reader, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
        let from_starts = R::claim(reader, &starts.of(&self.all), 1_000).await;
        let from_beginning = R::claim(reader, &ShardStart::beginnings(), 1_000).await;
        run(reader, "COMMIT").await;
        prop_assert_eq!(from_starts, from_beginning);
        Ok(())
    }

    async fn check<R: Rows>(&mut self, actions: &[Action]) -> Result<(), TestCaseError> {
        let mut starts = ScanStarts::new(R::QUEUE);
        // The rows of each open transaction.
        let mut open: [Option<usize>; WRITERS] = [None; WRITERS];
        let (mut committed, mut published) = (0, 0);
        for action in actions {
            match *action {
                Action::Begin { writer } => {
                    if open[writer].is_none() {
                        run(&mut self.writers[writer], "BEGIN").await;
                        open[writer] = Some(0);
                    }
                }
                Action::Insert { writer } => {
                    R::insert(&self.world, &mut self.writers[writer]).await;
                    match &mut open[writer] {
                        Some(rows) => *rows += 1,
                        None => committed += 1,
                    }
                }
                Action::Commit { writer } => {
                    if let Some(rows) = open[writer].take() {
                        run(&mut self.writers[writer], "COMMIT").await;
                        committed += rows;
                    }
                }
                Action::RollBack { writer } => {
                    if open[writer].take().is_some() {
                        run(&mut self.writers[writer], "ROLLBACK").await;
                    }
                }
                Action::Advance => starts.advance(&mut self.reader, &self.all).await.unwrap(),
                Action::Store => starts.store(&mut self.reader, &self.all).await.unwrap(),
                Action::Restart => {
                    starts = ScanStarts::new(R::QUEUE);
                    starts.current(&mut self.reader, &self.all).await.unwrap();
                }
                Action::Publish { most_per_shard } => {
                    published += self.publish::<R>(&starts, most_per_shard).await;
                }
            }
            self.compare::<R>(&starts).await?;
        }
        for (writer, rows) in self.writers.iter_mut().zip(open) {
            if let Some(rows) = rows {
                run(writer, "COMMIT").await;
                committed += rows;
            }
        }
        while published < R::STEPS * committed {
            let more = self.publish::<R>(&starts, 1_000).await;
            prop_assert!(more > 0, "{} of {} rows published", published, committed);
            published += more;
        }
        self.compare::<R>(&starts).await
    }

    async fn stored(&mut self, queue: QueueName) -> Vec<ShardStart> {
        let mut stored = stored(&mut self.reader, queue, &self.all).await.unwrap();
        stored.sort_by_key(|start| start.shard);
        stored
    }

    async fn publish<R: Rows>(&mut self, starts: &ScanStarts, most: i64) -> usize {
        let rows = R::claim(&mut self.reader, &starts.of(&self.all), most).await;
        R::publish(&mut self.reader, &self.held, rows).await
    }
}

async fn run(connection: &mut Connection, sql: &str) {
    sql_query(sql).execute(connection).await.unwrap();
}

/// Runs random schedules one after the other.
fn check_schedules<R: Rows>() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(Fixture::create(R::QUEUE));
    let fixture = tokio::sync::Mutex::new(fixture);
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&actions(), |actions| {
        runtime.block_on(async {
            let mut fixture = fixture.lock().await;
            let result = fixture.check::<R>(&actions).await;
            // A failed schedule leaves transactions open.
            let Fixture { writers, reader, .. } = &mut *fixture;
            for connection in writers.iter_mut().chain([reader]) {
                run(connection, "ROLLBACK").await;
            }
            run(&mut fixture.reader, &format!("TRUNCATE {}", R::TABLE)).await;
            let forget = format!("UPDATE {} SET scan_start = 0", R::QUEUE.shards());
            run(&mut fixture.reader, &forget).await;
            result
        })
    });
    checked.unwrap();
}

#[test]
fn a_scan_of_the_outbox_from_its_starts_finds_every_row() {
    check_schedules::<Outbox>();
}

#[test]
fn a_scan_of_the_shipments_from_its_starts_finds_every_row() {
    check_schedules::<Shipments>();
}

async fn starts_pass_rows_that_are_gone<R: Rows>() {
    let mut fixture = Fixture::create(R::QUEUE).await;
    // Has written, and could still see the rows that are deleted. But it cannot insert any.
    let elsewhere = "CREATE TABLE elsewhere AS SELECT count(*) FROM pg_class";
    let elsewhere = fixture.world.database.begin(elsewhere).await;
    let mut starts = ScanStarts::new(R::QUEUE);
    let mut passed = async |fixture: &mut Fixture| {
        for _ in 0..3 {
            starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
        }
        let before = starts.of(&fixture.all);
        R::insert(&fixture.world, &mut fixture.writers[0]).await;
        for _ in 0..R::STEPS {
            assert_eq!(fixture.publish::<R>(&starts, 10).await, 1);
        }
        for _ in 0..3 {
            starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
        }
        let after = starts.of(&fixture.all);
        before.iter().zip(&after).all(|(before, after)| before.position < after.position)
    };
    assert!(passed(&mut fixture).await);
    // Its rows may appear.
    run(&mut fixture.writers[1], "BEGIN").await;
    R::insert(&fixture.world, &mut fixture.writers[1]).await;
    passed(&mut fixture).await;
    assert!(!passed(&mut fixture).await);
    run(&mut fixture.writers[1], "ROLLBACK").await;
    assert!(passed(&mut fixture).await);
    elsewhere.commit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_transactions_that_write_the_outbox_hold_its_starts_back() {
    starts_pass_rows_that_are_gone::<Outbox>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_transactions_that_write_the_shipments_hold_their_starts_back() {
    starts_pass_rows_that_are_gone::<Shipments>().await;
}

/// The starts after a row was inserted and published.
async fn starts_after_a_row<R: Rows>(fixture: &mut Fixture) -> ScanStarts {
    let mut starts = ScanStarts::new(R::QUEUE);
    R::insert(&fixture.world, &mut fixture.writers[0]).await;
    for _ in 0..R::STEPS {
        assert_eq!(fixture.publish::<R>(&starts, 10).await, 1);
    }
    for _ in 0..2 {
        starts.advance(&mut fixture.reader, &fixture.all).await.unwrap();
    }
    assert!(starts.of(&fixture.all).iter().all(|start| start.position > BEGINNING));
    starts
}
