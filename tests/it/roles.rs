//! Each service works with the rights of its own role only.

use std::collections::BTreeSet;

use chrono::DateTime;
use domain::OrderId;
use messaging::Publisher;
use serde_json::json;
use store::Connection;
use store::outbox::{claim, defer, sample_status};
use store::shards::{QueueName, SHARDS, ScanStarts, ShardStart, extend, release, share};
use store::shipments::{self, DueShipment};
use system_tests::{System, answer, stop_all};
use test_kit::{World, bearer_with, delete_topic, outbox_event, put_into_outbox, seconds_from_now};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const TABLES: [&str; 15] = [
    "delivery.__diesel_schema_migrations",
    "delivery.dispatchers",
    "delivery.shards",
    "delivery.shipments",
    "sales.__diesel_schema_migrations",
    "sales.inbox",
    "sales.operator_actions",
    "sales.order_cancellations",
    "sales.order_items",
    "sales.order_status_history",
    "sales.orders",
    "sales.outbox_dead_letters",
    "sales.outbox_events",
    "sales.outbox_relays",
    "sales.outbox_shards",
];

/// Role, table and privileges. A column in parentheses limits a privilege to that column.
const RIGHTS: &str = "
sales_api         sales.orders                SELECT INSERT
sales_api         sales.order_items           SELECT INSERT
sales_api         sales.order_status_history  SELECT INSERT
sales_api         sales.order_cancellations   SELECT INSERT
sales_api         sales.operator_actions      INSERT SELECT(id) UPDATE(outcome)
sales_api         sales.operator_actions      UPDATE(finished_at)
sales_api         sales.outbox_events         INSERT SELECT(event_id) SELECT(aggregate_id)
outbox_relay      sales.outbox_events         SELECT INSERT DELETE
outbox_relay      sales.outbox_events         UPDATE(attempts) UPDATE(next_attempt_at)
outbox_relay      sales.outbox_events         UPDATE(last_error)
outbox_relay      sales.outbox_shards         SELECT UPDATE(owner) UPDATE(token)
outbox_relay      sales.outbox_shards         UPDATE(lease_until) UPDATE(lease_ms)
outbox_relay      sales.outbox_shards         UPDATE(scan_start)
outbox_relay      sales.outbox_relays         SELECT INSERT DELETE
outbox_relay      sales.outbox_relays         UPDATE(lease_until) UPDATE(lease_ms)
outbox_relay      sales.outbox_dead_letters   INSERT SELECT(redriven_at) SELECT(discarded_at)
delivery_service  delivery.shipments          SELECT INSERT UPDATE(state) UPDATE(next_step_at)
delivery_service  delivery.shipments          UPDATE(refused_step_at) UPDATE(refusal)
delivery_service  delivery.shipments          UPDATE(lease_token) UPDATE(lease_until)
delivery_service  delivery.shipments          UPDATE(next_attempt_at)
delivery_service  delivery.shipments          UPDATE(shipped_at) UPDATE(delivered_at)
delivery_service  delivery.shipments          UPDATE(cancelled_at) UPDATE(resume_at)
delivery_service  delivery.shipments          UPDATE(cancellation)
delivery_service  delivery.shipments          UPDATE(cancellation_requested_at)
delivery_service  delivery.shipments          UPDATE(cancellation_refused_at)
delivery_service  delivery.shipments          UPDATE(cancellation_correlation_id)
delivery_service  delivery.shipments          UPDATE(cancellation_traceparent)
delivery_service  delivery.shipments          UPDATE(cancellation_tracestate)
delivery_service  delivery.shards             SELECT UPDATE(owner) UPDATE(token)
delivery_service  delivery.shards             UPDATE(lease_until) UPDATE(lease_ms)
delivery_service  delivery.shards             UPDATE(scan_start) UPDATE(claimed_until)
delivery_service  delivery.dispatchers        SELECT INSERT DELETE
delivery_service  delivery.dispatchers        UPDATE(lease_until) UPDATE(lease_ms)
status_consumer   sales.orders                SELECT(id) SELECT(status) UPDATE(status)
status_consumer   sales.order_status_history  INSERT SELECT(order_id) SELECT(sequence)
status_consumer   sales.order_status_history  SELECT(event_id)
status_consumer   sales.order_cancellations   SELECT(order_id) SELECT(refused_at)
status_consumer   sales.order_cancellations   UPDATE(refusal) UPDATE(refused_at)
status_consumer   sales.inbox                 SELECT INSERT DELETE UPDATE(received_at)
sales_reader      delivery.dispatchers        SELECT
sales_reader      delivery.shards             SELECT
sales_reader      delivery.shipments          SELECT
sales_reader      sales.operator_actions      SELECT
sales_reader      sales.order_cancellations   SELECT
sales_reader      sales.order_items           SELECT
sales_reader      sales.order_status_history  SELECT
sales_reader      sales.orders                SELECT
sales_reader      sales.outbox_dead_letters   SELECT
sales_reader      sales.outbox_events         SELECT
sales_reader      sales.outbox_relays         SELECT
sales_reader      sales.outbox_shards         SELECT
sales_operator    delivery.dispatchers        SELECT
sales_operator    delivery.shards             SELECT UPDATE(scan_start)
sales_operator    delivery.shipments          SELECT UPDATE(next_step_at)
sales_operator    delivery.shipments          UPDATE(refused_step_at) UPDATE(refusal)
sales_operator    sales.operator_actions      SELECT INSERT UPDATE(outcome)
sales_operator    sales.operator_actions      UPDATE(finished_at)
sales_operator    sales.operator_actions      UPDATE(done) UPDATE(total)
sales_operator    sales.operator_actions      UPDATE(reported_at) UPDATE(stop_requested_by)
sales_operator    sales.operator_actions      UPDATE(result)
sales_operator    sales.order_cancellations   SELECT
sales_operator    sales.order_items           SELECT
sales_operator    sales.order_status_history  SELECT
sales_operator    sales.orders                SELECT
sales_operator    sales.outbox_dead_letters   SELECT UPDATE(redriven_at) UPDATE(redrive_count)
sales_operator    sales.outbox_dead_letters   UPDATE(discarded_at) UPDATE(discard_reason)
sales_operator    sales.outbox_events         SELECT INSERT
sales_operator    sales.outbox_relays         SELECT
sales_operator    sales.outbox_shards         SELECT
sales_console     delivery.dispatchers        SELECT
sales_console     delivery.shards             SELECT UPDATE(scan_start)
sales_console     delivery.shipments          SELECT UPDATE(next_step_at)
sales_console     delivery.shipments          UPDATE(refused_step_at) UPDATE(refusal)
sales_console     sales.operator_actions      SELECT INSERT UPDATE(outcome)
sales_console     sales.operator_actions      UPDATE(finished_at)
sales_console     sales.operator_actions      UPDATE(done) UPDATE(total)
sales_console     sales.operator_actions      UPDATE(reported_at) UPDATE(stop_requested_by)
sales_console     sales.operator_actions      UPDATE(result)
sales_console     sales.order_cancellations   SELECT
sales_console     sales.order_items           SELECT
sales_console     sales.order_status_history  SELECT
sales_console     sales.orders                SELECT
sales_console     sales.outbox_dead_letters   SELECT UPDATE(redriven_at) UPDATE(redrive_count)
sales_console     sales.outbox_dead_letters   UPDATE(discarded_at) UPDATE(discard_reason)
sales_console     sales.outbox_events         SELECT INSERT
sales_console     sales.outbox_relays         SELECT
sales_console     sales.outbox_shards         SELECT
";

/// The rights, each as `role table privilege`.
fn rights() -> BTreeSet<String> {
    let right = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (role, table) = (words.next().unwrap(), words.next().unwrap());
        words.map(|privilege| format!("{role} {table} {privilege}")).collect::<Vec<_>>()
    };
    RIGHTS.trim().lines().flat_map(right).collect()
}

const ROLES: [&str; 7] = [
    "sales_api",
    "outbox_relay",
    "delivery_service",
    "status_consumer",
    "sales_reader",
    "sales_operator",
    "sales_console",
];

/// A world whose database has the roles.
pub(crate) async fn world() -> World {
    let world = World::create().await;
    grant(&world).await;
    world
}

async fn grant(world: &World) {
    let migrated = answer(world, &["migrate", "--roles"]).await;
    assert!(migrated.as_array().unwrap().iter().all(|schema| schema["roles"] == true));
}

/// Creates a login that is a member of `role` only. Everything configured from now on uses it.
pub(crate) async fn become_member(world: &mut World, role: &str) {
    let login = format!("test_{role}_{}", Uuid::new_v4().simple());
    let create = format!("CREATE ROLE {login} LOGIN PASSWORD 'of-a-role' IN ROLE {role}");
    world.database.execute(&create).await;
    let url = world.database.url();
    let (_, server) = url.rsplit_once('@').unwrap();
    world.set("DATABASE_URL", format!("postgres://{login}:of-a-role@{server}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_processes_an_order_with_the_rights_of_its_role() {
    let mut world = world().await;
    become_member(&mut world, "sales_api").await;
    let mut system = System::start_in(world);
    let mut services = Vec::new();
    become_member(&mut system.world, "outbox_relay").await;
    services.push(system.start_relay());
    become_member(&mut system.world, "status_consumer").await;
    services.push(system.start_status());
    // Before delivery-service has read the order.
    let order = system.accept().await;
    simulate(&system, &order).await;
    become_member(&mut system.world, "delivery_service").await;
    services.push(system.start_delivery());
    system.deliver(4).await;
    let listed = answer(&system.world, &["orders", "list"]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(5), "{listed}");
    let all_delivered = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
    system.world.database.until_count("all are delivered", all_delivered, 5).await;
    stop_all(services).await;

    become_member(&mut system.world, "sales_reader").await;
    let verdict = answer(&system.world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["delivered"], 5, "{verdict:#}");
    let status = answer(&system.world, &["outbox", "status"]).await;
    assert_eq!(status["deadLetters"]["count"], 0, "{status}");

    delete_topic(&system.world.stack, &system.world.topics.order_events).await;
    answer(&system.world, &["topics", "create"]).await;
    become_member(&mut system.world, "sales_operator").await;
    assert_eq!(answer(&system.world, &["repair", "--yes"]).await["published"], 5);
}

async fn simulate(system: &System, order: &str) {
    let api = &system.world.variables()["API_URL"];
    let claims = json!({ "sub": "support", "role": "operator", "exp": seconds_from_now(60) });
    let answer = reqwest::Client::new()
        .post(format!("{api}/api/orders/{order}/simulate-delivery"))
        .header("Authorization", bearer_with(&claims))
        .json(&json!({ "status": "shipped" }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_lettering_and_redriving_work_with_the_rights_of_a_role() {
    let mut world = world().await;
    let large = format!("\"{}\"", "x".repeat(1_100_000));
    put_into_outbox(&world, &[outbox_event(&world, OrderId::generate(), &large)]).await;
    become_member(&mut world, "outbox_relay").await;
    let publisher = Publisher::new("test", &world.topics.order_events, &world.config()).unwrap();
    let mut relay = outbox_relay::relay(&world.config(), world.store(), publisher);
    assert_eq!(relay.run_once().await.unwrap().dead_lettered, 1);
    // The announcement of the dead letter.
    assert_eq!(relay.run_once().await.unwrap().published, 1);

    become_member(&mut world, "sales_operator").await;
    assert_eq!(answer(&world, &["outbox", "redrive", "--yes"]).await["redriven"], 1);
    assert_eq!(answer(&world, &["outbox", "dead-letters", "--all"]).await[0]["redriveCount"], 1);
    let refused = "INSERT INTO delivery.shipments (order_id, refused_step_at, refusal)
        VALUES (gen_random_uuid(), now(), 'too large')";
    world.database.execute(refused).await;
    assert_eq!(answer(&world, &["shipments", "redrive", "--yes"]).await["redriven"], 1);
    // The relay defers an event that it cannot publish now.
    become_member(&mut world, "outbox_relay").await;
    let mut connection = world.store().connection().await.unwrap();
    let successor = Uuid::new_v4();
    let all_free = "UPDATE sales.outbox_shards SET owner = NULL, lease_until = '-infinity';
        DELETE FROM sales.outbox_relays";
    world.database.execute(all_free).await;
    let held = share(&mut connection, QueueName::Outbox, successor, 60_000, None).await.unwrap();
    let starts = starts(&mut connection, QueueName::Outbox).await;
    let claimed = claim(&mut connection, &starts, &[], 10).await.unwrap();
    let row = claimed.rows[0].clone();
    let held = *held.iter().find(|held| held.shard == row.shard).unwrap();
    assert_eq!(defer(&mut connection, &[(held, row)], "unavailable").await.unwrap(), 1);
    let share = extend(&mut connection, QueueName::Outbox, successor, 60_000).await.unwrap();
    assert_eq!(share.held.len(), 64);
    release(&mut connection, QueueName::Outbox, successor, None).await.unwrap();
    // The query of the relay's metrics.
    assert_eq!(sample_status(&mut connection, &starts).await.unwrap().dead_letters, 0);
}

/// The starts of all shards, after the statements that move them.
async fn starts(connection: &mut Connection, queue: QueueName) -> Vec<ShardStart> {
    let (mut starts, all) = (ScanStarts::new(queue), (0..SHARDS).collect::<Vec<_>>());
    for _ in 0..2 {
        starts.current(connection, &all).await.unwrap();
    }
    starts.store(connection, &all).await.unwrap();
    starts.of(&all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_defers_and_dead_letters_with_the_rights_of_its_role() {
    let mut world = world().await;
    let due = "INSERT INTO delivery.shipments (order_id, next_step_at)
        SELECT gen_random_uuid(), now() FROM generate_series(1, 2)";
    world.database.execute(due).await;
    become_member(&mut world, "delivery_service").await;
    let mut connection = world.store().connection().await.unwrap();
    let (queue, dispatcher) = (QueueName::Shipments, Uuid::new_v4());
    let claimed = Some(DateTime::UNIX_EPOCH);
    let held = share(&mut connection, queue, dispatcher, 60_000, claimed).await.unwrap();
    let starts = starts(&mut connection, queue).await;
    let steps = shipments::claim(&mut connection, &starts, &[], 10).await.unwrap().rows;
    let of = |step: &DueShipment| *held.iter().find(|held| held.shard == step.shard).unwrap();
    let [first, second] = steps.as_slice() else { panic!("{steps:?}") };
    let deferred = [(of(first), first.order_id)];
    assert_eq!(shipments::defer(&mut connection, &deferred).await.unwrap(), 1);
    assert!(shipments::refuse(&mut connection, of(second), second, "refused").await.unwrap());
    // The query of the dispatcher's metrics.
    assert_eq!(shipments::status(&mut connection, &starts).await.unwrap().dead_letters, 1);
    assert_eq!(extend(&mut connection, queue, dispatcher, 60_000).await.unwrap().held.len(), 64);
    release(&mut connection, queue, dispatcher, claimed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_have_exactly_the_listed_rights() {
    let world = world().await;
    // `migrate --roles` reverts manual grants and revokes.
    let by_hand = "GRANT ALL ON sales.orders TO status_consumer, sales_reader;
        REVOKE SELECT ON sales.orders FROM sales_api; CREATE TABLE sales.later (id int)";
    world.database.execute(by_hand).await;
    grant(&world).await;

    let granted = "
        SELECT grantee || ' ' || table_schema || '.' || table_name || ' ' || privilege_type
        FROM information_schema.table_privileges WHERE table_schema IN ('sales', 'delivery')
        UNION ALL
        SELECT c.grantee || ' ' || c.table_schema || '.' || c.table_name || ' ' || c.privilege_type
            || '(' || c.column_name || ')'
        FROM information_schema.column_privileges c
        WHERE c.table_schema IN ('sales', 'delivery') AND NOT EXISTS (
            SELECT FROM information_schema.table_privileges t
            WHERE (t.grantee, t.table_schema, t.table_name, t.privilege_type)
                = (c.grantee, c.table_schema, c.table_name, c.privilege_type))";
    let rows = world.database.query(granted).await;
    let owner = world.database.query("SELECT current_user::text").await[0].get::<_, String>(0);
    let granted: BTreeSet<String> = rows
        .iter()
        .map(|row| row.get::<_, String>(0))
        .filter(|right| !right.starts_with(&format!("{owner} ")))
        .collect();
    assert_eq!(granted, rights());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_rejects_statements_outside_the_rights_of_a_role() {
    let mut world = world().await;
    // Rights to whole tables.
    let mut allowed = rights();
    allowed.retain(|right| !right.contains('('));
    let mut attempts = 0;
    for role in ROLES {
        become_member(&mut world, role).await;
        let login = connect(&world.variables()["DATABASE_URL"]).await;
        let refuses = async |statement: &str| {
            let error = login.batch_execute(statement).await.unwrap_err();
            assert_eq!(
                error.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{role}: {statement}"
            );
        };
        for table in TABLES {
            let column = first_column(&world, table).await;
            for (privilege, statement) in [
                ("SELECT", format!("SELECT * FROM {table} LIMIT 0")),
                ("INSERT", format!("INSERT INTO {table} DEFAULT VALUES")),
                ("UPDATE", format!("UPDATE {table} SET {column} = DEFAULT WHERE false")),
                ("DELETE", format!("DELETE FROM {table} WHERE false")),
                ("TRUNCATE", format!("TRUNCATE {table}")),
                ("DROP", format!("DROP TABLE {table}")),
            ] {
                if !allowed.contains(&format!("{role} {table} {privilege}")) {
                    refuses(&statement).await;
                    attempts += 1;
                }
            }
        }
        for statement in
            ["CREATE TABLE sales.mine (id int)", "CREATE SCHEMA mine", "CREATE ROLE mine"]
        {
            refuses(statement).await;
        }
    }
    // 6 statements for each role and table, minus the allowed ones.
    assert_eq!(attempts, ROLES.len() * TABLES.len() * 6 - allowed.len());
}

async fn first_column(world: &World, table: &str) -> String {
    let first = format!(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum = 1"
    );
    world.database.query(&first).await[0].get(0)
}

pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
