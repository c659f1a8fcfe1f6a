//! How many orders are accepted and delivered, for a chart.

use diesel::Queryable;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use crate::statement::statement;
use crate::{Connection, StoreError};

/// Maximum number of changes that are read, so that the cost does not depend on the rate.
const ROWS: i64 = 2_000;

/// The changes of status after a position. Those of transactions that are still open are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct ChangeCounts {
    /// The last position.
    pub position: i64,
    /// Number of changes that were read.
    rows: i64,
    accepted: i64,
    delivered: i64,
}

statement! {
    struct Latest { after: i64, rows: i64 } -> (BigInt, BigInt, BigInt, BigInt);
    "SELECT COALESCE(max(position), " {BigInt = after} "), count(*),
         count(*) FILTER (WHERE status = 'Pending Shipment'), count(*) FILTER (WHERE status = 'Delivered')
     FROM (
         SELECT position, status FROM sales.order_status_history
         WHERE position > 0 AND position > " {BigInt = after} " ORDER BY position DESC LIMIT " {BigInt = rows} "
     ) AS latest"
}

impl ChangeCounts {
    /// Counts the changes after a position. Of more than 2,000, only the latest are counted.
    pub async fn after(connection: &mut Connection, after: i64) -> Result<Self, StoreError> {
        Ok(Latest { after: &after, rows: &ROWS }.get_result(connection).await?)
    }

    /// Number of orders that were accepted, and number of those that were delivered, since `after`,
    /// the position of an earlier read. If not all changes were counted, it is an estimate.
    pub fn accepted_and_delivered(&self, after: i64) -> (f64, f64) {
        let number = |count: i64| i32::try_from(count).map_or(f64::INFINITY, f64::from);
        let (accepted, delivered) = (number(self.accepted), number(self.delivered));
        if self.rows < ROWS {
            return (accepted, delivered);
        }
        let share = number(self.position - after) / number(self.rows);
        (accepted * share, delivered * share)
    }
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use super::{ChangeCounts, Latest, ROWS};
    use crate::statement::plan_by_index;

    #[tokio::test(flavor = "multi_thread")]
    async fn changes_after_a_position_are_counted_and_many_are_estimated() {
        let world = World::create().await;
        let add = |status: &str, rows: i64| {
            format!(
                "INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
                 SELECT gen_random_uuid(), 1, '{status}', gen_random_uuid(), now() FROM generate_series(1, {rows})"
            )
        };
        world.database.execute(&add("Delivered", 5)).await;
        let store = world.store();
        let mut connection = store.connection().await.unwrap();
        let first = ChangeCounts::after(&mut connection, 0).await.unwrap();
        assert_eq!(first.accepted_and_delivered(0), (0.0, 5.0));
        let after = first.position;
        let none = ChangeCounts::after(&mut connection, after).await.unwrap();
        assert_eq!((none.position, none.accepted_and_delivered(after)), (after, (0.0, 0.0)));

        world.database.execute(&add("Pending Shipment", 3 * ROWS)).await;
        world.database.execute(&add("Delivered", ROWS / 2)).await;
        let many = ChangeCounts::after(&mut connection, after).await.unwrap();
        assert_eq!(many.accepted_and_delivered(after), (3_500.0, 3_500.0));
    }

    #[tokio::test]
    async fn the_counts_use_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.order_status_history").await;
        let plan = plan_by_index(&world, &Latest { after: &0, rows: &ROWS }).await;
        assert!(plan.contains("Index Scan Backward using order_changes on"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
